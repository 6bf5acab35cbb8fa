"""HDF5 chunks read and compressed outside HDF5, so that several threads can do so at a time.

HDF5 runs one call at a time, deflate included. Here it only says where bytes lie, or takes chunks
that are compressed already; deflate (RFC 1950) and shuffle (HDF5 specification, "Filter Behavior
in HDF5") are undone and done by the calling threads. Other layouts are left to HDF5.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from functools import cached_property
from typing import Any, cast

import h5py
import numpy as np

try:
    from isal import isal_zlib as inflate  # two to three times as fast
except ModuleNotFoundError:  # no wheel for every processor
    import zlib as inflate  # type: ignore[no-redef]

SHUFFLE, DEFLATE = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
READ_ERRORS = (OSError, RuntimeError, ValueError, cast(type[Exception], inflate.error))
MAX_QUEUED = 64  # rows of chunks that wait to be written


class _Chunks:
    """The chunks of a dataset, read in any number of threads at a time."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.filters = _filters(dataset) if isinstance(dataset, h5py.Dataset) else None
        self._file = -1
        if self.filters is not None and _has_plain_storage(dataset):
            self._file = os.open(dataset.file.filename, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)

    @cached_property
    def _stored(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the chunks that are stored, int64, rising; and of each the byte where it
        starts, its size and its filter mask, int64 (chunks, 3).

        HDF5 looks through all chunks for each that it is asked for, so all are asked for once.
        """
        dataset, found = self.dataset, []
        grid = [-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True)]

        def add(chunk: Any) -> None:
            number = 0
            for count, offset, step in zip(grid, chunk.chunk_offset, dataset.chunks, strict=True):
                number = number * count + offset // step
            found.append((number, chunk.byte_offset, chunk.size, chunk.filter_mask))

        dataset.id.chunk_iter(add)
        table = np.array(sorted(found), np.int64).reshape(-1, 4)
        self._grid = grid
        return np.ascontiguousarray(table[:, 0]), table[:, 1:]

    def _chunk(self, *first: int) -> np.ndarray | None:
        """The values of a whole chunk, flat; none where it is not stored as all are fill values.

        None if it is not stored as the filters say.
        """
        dtype = self.dataset.dtype
        try:
            numbers, stored = self._stored
            number = 0
            for count, offset, step in zip(self._grid, first, self.dataset.chunks, strict=True):
                number = number * count + offset // step
            at = int(np.searchsorted(numbers, number))
            if at == len(numbers) or numbers[at] != number:
                return np.zeros(0, dtype)
            start, size, filter_mask = stored[at].tolist()
            if filter_mask:
                return None
            content = os.pread(self._file, size, start)
            if self.filters:
                content = inflate.decompress(content)
        except READ_ERRORS:
            return None
        if len(content) != math.prod(self.dataset.chunks) * dtype.itemsize:
            return None
        if self.filters == [SHUFFLE, DEFLATE]:
            return unshuffled(content, dtype)
        return np.frombuffer(content, dtype)


class ChunkReader(_Chunks):
    """Reads stretches of a one-dimensional array.

    Arrays of other libraries, such as zarr's or numpy's, are sliced as they are.
    """

    def __len__(self) -> int:
        return int(self.dataset.shape[0])

    def read(self, start: int, stop: int) -> np.ndarray:
        """``dataset[start:stop]``."""
        values = None
        if self._file >= 0 and start < stop:
            read = self._read_contiguous if self.dataset.chunks is None else self._read_chunks
            values = read(start, stop)
        return np.asarray(self.dataset[start:stop]) if values is None else values

    def _read_contiguous(self, start: int, stop: int) -> np.ndarray | None:
        offset, dtype = self.dataset.id.get_offset(), self.dataset.dtype
        if offset is None:
            return None
        size = dtype.itemsize
        content = os.pread(self._file, (stop - start) * size, offset + start * size)
        is_complete = len(content) == (stop - start) * size
        return np.frombuffer(content, dtype).copy() if is_complete else None

    def _read_chunks(self, start: int, stop: int) -> np.ndarray | None:
        size = self.dataset.chunks[0]
        values = np.empty(stop - start, self.dataset.dtype)
        for first in range(start - start % size, stop, size):
            low, high = max(start, first), min(stop, first + size)
            chunk = self._chunk(first)
            if chunk is None or not len(chunk):
                return None
            values[low - start : high - start] = chunk[low - first : high - first]
        return values


class RowReader(_Chunks):
    """Reads rows of a matrix, of which the first columns may do."""

    def read(self, start: int, stop: int, width: int) -> np.ndarray:
        """``dataset[start:stop, :width]``."""
        values = None
        if self._file >= 0 and start < stop and width and self.dataset.chunks is not None:
            values = self._read_chunks(start, stop, width)
        return self.dataset[start:stop, :width] if values is None else values

    def take(self, rows: np.ndarray, width: int) -> np.ndarray:
        """``dataset[rows, :width]``; ``rows`` int64, rising."""
        if not len(rows) or not width:
            return np.empty((len(rows), width), self.dataset.dtype)
        if self.dataset.chunks is None:
            return self.dataset[rows, :width]
        size, total = self.dataset.chunks[0], len(self.dataset)
        chunks, first = np.unique(rows // size, return_index=True)
        parts = []
        for chunk, of_chunk in zip(chunks.tolist(), np.split(rows, first[1:]), strict=True):
            start = chunk * size
            values = self.read(start, min(total, start + size), width)
            parts.append(values[of_chunk - start])
        return np.concatenate(parts)

    def _read_chunks(self, start: int, stop: int, width: int) -> np.ndarray | None:
        rows, columns = self.dataset.chunks
        values = np.full((stop - start, width), self.dataset.fillvalue, self.dataset.dtype)
        for row in range(start - start % rows, stop, rows):
            low, high = max(start, row), min(stop, row + rows)
            for column in range(0, width, columns):
                chunk = self._chunk(row, column)
                if chunk is None:
                    return None
                if len(chunk):
                    part = chunk.reshape(rows, columns)[low - row : high - row, : width - column]
                    values[low - start : high - start, column : column + columns] = part
        return values


def _filters(dataset: h5py.Dataset) -> list[int] | None:
    """The filters of an array, in order; None unless they are undone here."""
    if dataset.dtype.kind not in "biuf" or not dataset.dtype.isnative:
        return None
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return filters if filters in ([], [DEFLATE], [SHUFFLE, DEFLATE]) else None


def _has_plain_storage(dataset: h5py.Dataset) -> bool:
    """Whether the dataset's bytes lie in the file of its name, at the offsets that HDF5 reports."""
    file = dataset.file
    properties = dataset.id.get_create_plist()
    return (
        file.driver == "sec2"
        and file.userblock_size == 0
        and file.mode == "r"
        and properties.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
        and properties.get_external_count() == 0
    )


def unshuffled(content: bytes, dtype: np.dtype) -> np.ndarray:
    """Undo the shuffle filter: all first bytes of the values came first, then all second ones."""
    planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
    values = np.empty(planes.shape[::-1], np.uint8)
    for number, plane in enumerate(planes):  # several times as fast as a transposed copy
        values[:, number] = plane
    return values.view(dtype)[:, 0]


def inflates_beyond(content: bytes, limit: int) -> bool:
    """Whether deflated bytes inflate to more than ``limit``, of which no more are held."""
    inflater = inflate.decompressobj()
    try:
        return len(inflater.decompress(content, limit + 1)) > limit
    except READ_ERRORS:
        return False  # which shows where they are read


def shuffled(values: np.ndarray) -> bytes:
    """The bytes of ``values`` after the shuffle filter."""
    planes = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.itemsize)
    return planes.T.tobytes()


def deflated(content: bytes) -> bytes:
    """Compressed at level 1, several times as fast where isal is installed."""
    return inflate.compress(content, 1)


class RowAppender:
    """Fills a dataset, shuffled and deflated, whose chunks hold whole rows, from its first row on.

    A dataset that may grow grows. Call :meth:`finish` at the end.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.rows = 0
        self._pending: list[np.ndarray] = []
        self._written = 0

    def add(self, rows: np.ndarray) -> None:
        """The next rows; not to be changed later."""
        self._pending.append(rows)
        self.rows += len(rows)
        if self.rows - self._written >= self.dataset.chunks[0]:
            self._write(only_whole=True)

    def finish(self) -> None:
        """Write what is left."""
        if self._pending:
            self._write(only_whole=False)

    def _write(self, only_whole: bool) -> None:
        size, dataset = self.dataset.chunks[0], self.dataset
        values = np.concatenate(self._pending).astype(dataset.dtype, copy=False)
        stop = len(values) // size * size if only_whole else len(values)
        if self._written + stop > len(dataset):
            dataset.resize(self._written + stop, axis=0)
        for start in range(0, stop, size):
            chunk = values[start : min(start + size, stop)]
            if len(chunk) < size:
                whole = np.full((size, *chunk.shape[1:]), dataset.fillvalue, dataset.dtype)
                whole[: len(chunk)] = chunk
                chunk = whole
            offset = (self._written + start, *(0 for _ in chunk.shape[1:]))
            dataset.id.write_direct_chunk(offset, deflated(shuffled(chunk)))
        self._written += stop
        self._pending = [values[stop:].copy()]


class RowWriter:
    """Fills a matrix of :func:`encoding.create_filled` from the first row to the last.

    ``pool`` compresses the chunks; they are written in order, so that the file's bytes do not
    depend on the number of threads. Call :meth:`finish` at the end.
    """

    def __init__(self, dataset: h5py.Dataset, pool: Executor) -> None:
        self.dataset = dataset
        self.pool = pool
        self.chunk: tuple[int, int] = dataset.chunks or (1, 1)
        self.dtype, self.fill = dataset.dtype, dataset.fillvalue
        self.row = 0
        self._pending: list[np.ndarray] = []
        self._pending_rows = 0
        self._queue: deque[tuple[int, Future[list[tuple[int, bytes]]]]] = deque()

    def add(self, rows: np.ndarray) -> None:
        """The next rows, without columns at the end that hold nothing; not to be changed later."""
        start = 0
        while self._pending_rows + len(rows) - start >= self.chunk[0]:
            stop = start + self.chunk[0] - self._pending_rows
            self._pending.append(rows[start:stop])
            self._submit()
            start = stop
        if start < len(rows):
            self._pending.append(rows[start:])
            self._pending_rows += len(rows) - start

    def finish(self) -> None:
        """Write what is left."""
        if self._pending:
            self._submit()
        self._write(0)

    def _submit(self) -> None:
        """Let the pool compress the pending rows, which fill one row of chunks."""
        self._queue.append((self.row, self.pool.submit(self._compress, self._pending)))
        self.row += self.chunk[0]
        self._pending, self._pending_rows = [], 0
        self._write(MAX_QUEUED)

    def _compress(self, parts: Sequence[np.ndarray]) -> list[tuple[int, bytes]]:
        """Column and compressed bytes of each chunk that holds something."""
        chunks = []
        for column in range(0, max(part.shape[1] for part in parts), self.chunk[1]):
            chunk = np.full(self.chunk, self.fill, self.dtype)
            row = 0
            for part in parts:
                values = part[:, column : column + self.chunk[1]]
                chunk[row : row + len(values), : values.shape[1]] = values
                row += len(values)
            if (chunk != self.fill).any():
                chunks.append((column, deflated(shuffled(chunk))))
        return chunks

    def _write(self, max_queued: int) -> None:
        while len(self._queue) > max_queued:
            row, chunks = self._queue.popleft()
            for column, content in chunks.result():
                self.dataset.id.write_direct_chunk((row, column), content)
