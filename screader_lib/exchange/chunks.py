"""HDF5 chunks read and packed outside HDF5, so that several threads can do it at a time.

HDF5 runs one call at a time, deflate included. Here it only tells where bytes lie, or takes packed
chunks; deflate (RFC 1950) and shuffle (HDF5 specification, "Filter Behavior in HDF5") are undone
and done by whoever calls. What is stored in another way is left to HDF5.
"""

from __future__ import annotations

import os
import weakref
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any, cast

import h5py
import numpy as np

try:
    from isal import isal_zlib as inflate  # two to three times as fast
except ModuleNotFoundError:  # no wheel for every processor
    import zlib as inflate  # type: ignore[no-redef]

SHUFFLE, DEFLATE = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
UNREADABLE = (OSError, RuntimeError, ValueError, cast(type[Exception], inflate.error))
WAITING = 64  # packed rows of chunks at most that wait to be written


class ChunkReader:
    """Reads stretches of a one-dimensional array; any number of threads may at a time.

    An array that is not HDF5's, such as zarr's or numpy's, is asked as it is.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.filters = _filters(dataset) if isinstance(dataset, h5py.Dataset) else None
        self._file = -1
        if self.filters is not None and _is_plain_file(dataset):
            self._file = os.open(dataset.file.filename, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return int(self.dataset.shape[0])

    def read(self, start: int, stop: int) -> np.ndarray:
        """``dataset[start:stop]``."""
        found = None
        if self._file >= 0 and start < stop:
            found = (
                self._contiguous(start, stop)
                if self.dataset.chunks is None
                else (self._chunked(start, stop))
            )
        return np.asarray(self.dataset[start:stop]) if found is None else found

    def _contiguous(self, start: int, stop: int) -> np.ndarray | None:
        first = self.dataset.id.get_offset()
        return None if first is None else self._pread(first + start * self._item, stop - start)

    @property
    def _item(self) -> int:
        return int(self.dataset.dtype.itemsize)

    def _pread(self, place: int, count: int) -> np.ndarray | None:
        values = np.empty(count, self.dataset.dtype)
        view = values.data.cast("B")
        while view:
            size = os.preadv(self._file, [view], place)
            if not size:
                return None
            view, place = view[size:], place + size
        return values

    def _chunked(self, start: int, stop: int) -> np.ndarray | None:
        size = self.dataset.chunks[0]
        values = np.empty(stop - start, self.dataset.dtype)
        for first in range(start - start % size, stop, size):
            low, high = max(start, first), min(stop, first + size)
            chunk = self._chunk(first, size)
            if chunk is None:
                return None
            values[low - start : high - start] = chunk[low - first : high - first]
        return values

    def _chunk(self, first: int, size: int) -> np.ndarray | None:
        """A whole chunk; None where it is not stored as the filters say."""
        try:
            stored = self.dataset.id.get_chunk_info_by_coord((first,))
            if stored.byte_offset is None or stored.filter_mask:
                return None
            packed = os.pread(self._file, stored.size, stored.byte_offset)
            content = inflate.decompress(packed) if self.filters else packed
        except UNREADABLE:
            return None
        if len(content) != size * self._item:
            return None
        if self.filters == [SHUFFLE, DEFLATE]:
            return unshuffled(content, self.dataset.dtype)
        return np.frombuffer(content, self.dataset.dtype)


def _filters(dataset: h5py.Dataset) -> list[int] | None:
    """The filters of a dataset, in order, where they are none, or shuffle and deflate only."""
    if dataset.ndim != 1 or dataset.dtype.kind not in "biuf" or not dataset.dtype.isnative:
        return None
    properties = dataset.id.get_create_plist()
    found = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return found if found in ([], [DEFLATE], [SHUFFLE, DEFLATE]) else None


def _is_plain_file(dataset: h5py.Dataset) -> bool:
    """Whether the dataset's bytes lie in the file of its name, at the places that HDF5 tells."""
    file = dataset.file
    layout = dataset.id.get_create_plist()
    return (
        file.driver == "sec2"
        and file.userblock_size == 0
        and file.mode == "r"
        and layout.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
        and layout.get_external_count() == 0
    )


def unshuffled(content: bytes, dtype: np.dtype) -> np.ndarray:
    """Values whose bytes were stored first bytes first."""
    planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype)[:, 0]


def shuffled(values: np.ndarray) -> bytes:
    """The bytes of ``values``, first bytes first."""
    planes = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.itemsize)
    return planes.T.tobytes()


def packed(content: bytes, level: int) -> bytes:
    """Deflated; only runs are looked for, since bytes of ranked genes repeat in no other way."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, strategy=zlib.Z_RLE)
    return deflate.compress(content) + deflate.flush()


class RowWriter:
    """Fills a matrix of :func:`encoding.create_filled` from the first row to the last.

    Chunks are packed by ``pool`` and written in order, so that the file's bytes do not hang on
    the threads. To be closed by :meth:`finish`.
    """

    def __init__(self, dataset: h5py.Dataset, pool: Executor) -> None:
        self.dataset = dataset
        self.pool = pool
        self.chunk: tuple[int, int] = dataset.chunks or (1, 1)
        self.dtype, self.fill = dataset.dtype, dataset.fillvalue
        self.level = dataset.compression_opts or 0
        self.place = 0
        self._pending: list[np.ndarray] = []
        self._pending_rows = 0
        self._packed: deque[tuple[int, Future[list[tuple[int, bytes]]]]] = deque()

    def add(self, rows: np.ndarray) -> None:
        """The next rows, as many columns of them as hold something; not to be changed later."""
        start = 0
        while self._pending_rows + len(rows) - start >= self.chunk[0]:
            stop = start + self.chunk[0] - self._pending_rows
            self._pending.append(rows[start:stop])
            self._hand_over()
            start = stop
        if start < len(rows):
            self._pending.append(rows[start:])
            self._pending_rows += len(rows) - start

    def finish(self) -> None:
        """Write what is left."""
        if self._pending:
            self._hand_over()
        self._write(0)

    def _hand_over(self) -> None:
        """Let the pool pack the pending rows, which are those of one row of chunks."""
        self._packed.append((self.place, self.pool.submit(self._pack, self._pending)))
        self.place += self.chunk[0]
        self._pending, self._pending_rows = [], 0
        self._write(WAITING)

    def _pack(self, parts: Sequence[np.ndarray]) -> list[tuple[int, bytes]]:
        """Column and packed bytes of each chunk that holds something."""
        return list(self._chunks(parts))

    def _chunks(self, parts: Sequence[np.ndarray]) -> Iterator[tuple[int, bytes]]:
        for column in range(0, max(part.shape[1] for part in parts), self.chunk[1]):
            whole = np.full(self.chunk, self.fill, self.dtype)
            row = 0
            for part in parts:
                some = part[:, column : column + self.chunk[1]]
                whole[row : row + len(some), : some.shape[1]] = some
                row += len(some)
            if (whole != self.fill).any():
                yield column, packed(shuffled(whole), self.level)

    def _write(self, most: int) -> None:
        while len(self._packed) > most:
            row, chunks = self._packed.popleft()
            for column, content in chunks.result():
                self.dataset.id.write_direct_chunk((row, column), content)
