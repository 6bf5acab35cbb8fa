"""Cells from matrices whose entries are not stored cell by cell, through a temporary file.

Entries are read in pieces and counted by cell, then sorted into buckets on disk; a bucket holds
neighbouring cells and is one block. Memory holds a piece and a bucket, whatever the number of
cells.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import threading
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from screader_lib.cells.formats.expression import (
    Span,
    as_scipy_type,
    check_indices,
    checked_indptr,
    row_spans,
)
from screader_lib.errors import ScReaderError
from screader_lib.exchange.chunks import ChunkReader
from screader_lib.genes.text_files import GZIP, first_bytes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ENTRIES_PER_PIECE = 4_000_000
MAX_LINE = 1 << 20  # characters
READABLE = [[field, "general"] for field in ("integer", "unsigned-integer", "real", "pattern")]
UNREADABLE = (ValueError, OverflowError, OSError, EOFError, zlib.error)


class TransposedEntries(ABC):
    """Rows of a ``cells`` × ``genes`` matrix from its entries in any order.

    Entries are arrays of ``entry``, a dtype of the fields cell, gene and value.
    """

    def __init__(self, cells: int, genes: int, dtype: np.dtype) -> None:
        self.cells = cells
        self.genes = genes
        self.entry = np.dtype([("cell", "<i4"), ("gene", "<i4"), ("value", dtype)])
        self._sorted: ScratchFile | None = None
        self._lock = threading.Lock()

    @abstractmethod
    def pieces(self) -> Iterator[np.ndarray]:
        """All entries, piece by piece; read twice."""

    def entries(self, cells: np.ndarray, genes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """A piece."""
        entries = np.empty(len(cells), self.entry)
        entries["cell"], entries["gene"], entries["value"] = cells, genes, values
        return entries

    @cached_property
    def row_ends(self) -> np.ndarray:
        """The indptr of the rows, int64 (cells + 1,)."""
        counts = np.zeros(self.cells, np.int64)
        for piece in self.pieces():
            counts += np.bincount(piece["cell"], minlength=self.cells)
        return np.concatenate([[0], np.cumsum(counts)])

    def spans(self) -> Sequence[Span]:
        """Bounds of the blocks."""
        return row_spans(self.row_ends)

    def read(self, start: int, stop: int) -> csr_matrix:
        """The block of one span; genes in order, values of repeated entries added up."""
        from scipy.sparse import coo_matrix

        with self._lock:  # the first thread sorts
            self._sorted = self._sorted or self._sort_into_buckets()
        first, last = self.row_ends[start], self.row_ends[stop]
        size = self.entry.itemsize
        content = self._sorted.read(int(last - first) * size, int(first) * size)
        entries = np.frombuffer(content, self.entry)
        values = as_scipy_type(np.ascontiguousarray(entries["value"]))
        indices = (entries["cell"] - start, np.ascontiguousarray(entries["gene"]))
        shape = (stop - start, self.genes)
        block = coo_matrix((values, indices), shape=shape).tocsr()
        if block.nnz < len(values) and values.dtype.kind in "iu":  # sums of few bits would overflow
            block = coo_matrix((values.astype(np.int64), indices), shape=shape).tocsr()
        return block

    def _sort_into_buckets(self) -> ScratchFile:
        """The entries on disk, those of a span together."""
        bounds = np.array([*(start for start, _ in self.spans()), self.cells], np.int64)
        starts = bounds[:-1]
        dtype = np.uint16 if len(starts) <= np.iinfo(np.uint16).max else np.int32  # sorted fast
        bucket_of = np.repeat(np.arange(len(starts), dtype=dtype), np.diff(bounds))
        ends = self.row_ends[starts].copy()  # of what is written of each bucket
        file = ScratchFile()
        for piece in self.pieces():
            buckets = np.take(bucket_of, piece["cell"])
            entries = piece[np.argsort(buckets, kind="stable")]
            counts = np.bincount(buckets, minlength=len(starts))
            stops = np.cumsum(counts)
            for bucket in np.flatnonzero(counts):
                content = entries[stops[bucket] - counts[bucket] : stops[bucket]].tobytes()
                file.write(content, int(ends[bucket]) * self.entry.itemsize)
                ends[bucket] += counts[bucket]
        return file


class TransposedColumns(TransposedEntries):
    """Rows of a CSC matrix of ``cells`` × ``genes``, an HDF5 or zarr group.

    ScReaderError where the group is no such matrix.
    """

    def __init__(self, group: Any, cells: int, genes: int, name: str) -> None:
        self.indptr = checked_indptr(group, genes, cells, name)
        super().__init__(cells, genes, group["data"].dtype)
        self.group = group
        self.name = name

    def pieces(self) -> Iterator[np.ndarray]:
        ends = self.indptr
        indices, data = ChunkReader(self.group["indices"]), ChunkReader(self.group["data"])
        for first in range(0, int(ends[-1]), ENTRIES_PER_PIECE):
            last = min(int(ends[-1]), first + ENTRIES_PER_PIECE)
            cells = indices.read(first, last)
            check_indices(cells, self.cells, self.group, self.name)
            sizes = np.diff(np.clip(ends, first, last))
            genes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
            yield self.entries(cells, genes, data.read(first, last))


class ParsedEntries(TransposedEntries):
    """Entries of a text, which is parsed once: then they are on disk."""

    _parsed: ScratchFile | None = None

    @abstractmethod
    def parse(self) -> Iterator[np.ndarray]:
        """All entries, piece by piece."""

    def pieces(self) -> Iterator[np.ndarray]:
        """From the text the first time, and then from its numbers on disk."""
        if self._parsed is None:
            parsed = ScratchFile()
            for piece in self.parse():
                parsed.write(piece.tobytes())
                yield piece
            self._parsed = parsed
            return
        step = ENTRIES_PER_PIECE * self.entry.itemsize
        for offset in range(0, self._parsed.size, step):
            yield np.frombuffer(self._parsed.read(step, offset), self.entry)


class MatrixMarket(ParsedEntries):
    """Rows of a Matrix Market file in coordinate format, gzipped or not by its content.

    Its rows are the genes, or the cells where it is ``by_cells``.
    """

    def __init__(self, path: Path, cells: int, genes: int, by_cells: bool = False) -> None:
        super().__init__(cells, genes, np.dtype("<f8"))
        self.path = path
        self.by_cells = by_cells
        rows, columns, self.size = matrix_market_header(path)
        if (rows, columns) != ((cells, genes) if by_cells else (genes, cells)):
            raise ScReaderError(
                f"is a matrix of {rows:,} × {columns:,}, expected {genes:,} genes and {cells:,} "
                "cells.",
                file=path,
            )

    def _damaged(self, reason: object) -> ScReaderError:
        return _damaged_matrix(self.path, reason)

    def parse(self) -> Iterator[np.ndarray]:
        import pandas

        count = 0
        try:
            with _opener(self.path)(self.path, "rt", encoding="utf-8") as stream:
                _first_entry(stream)
                if not self.size:
                    return
                tables = pandas.read_csv(
                    _ShortLines(stream),
                    sep=r"\s+",
                    header=None,
                    comment="%",
                    chunksize=ENTRIES_PER_PIECE,
                )
                for table in tables:
                    count += len(table)
                    if count > self.size:
                        raise self._damaged(f"it holds more than {self.size:,} entries")
                    yield self._checked_entries(table.to_numpy(np.float64))
        except UNREADABLE as error:
            raise self._damaged(error) from error
        if count != self.size:
            raise self._damaged(f"it holds {count:,} of {self.size:,} entries")

    def _checked_entries(self, numbers: np.ndarray) -> np.ndarray:
        """Of (entries, 2 or 3); an entry of a pattern, which has no value, counts one."""
        if numbers.shape[1] not in (2, 3) or np.isnan(numbers[:, :2]).any():
            raise self._damaged("a line holds something other than gene, cell and value")
        genes, cells = numbers[:, 0] - 1, numbers[:, 1] - 1
        if self.by_cells:
            genes, cells = cells, genes
        for what, indices, size in (("gene", genes, self.genes), ("cell", cells, self.cells)):
            if indices.min() < 0 or indices.max() >= size:
                raise self._damaged(f"an entry's {what} is outside 1 … {size:,}")
        values = numbers[:, 2] if numbers.shape[1] == 3 else np.ones(len(numbers))
        return self.entries(cells, genes, values)


class _ShortLines:
    """A text for pandas, which would hold a line of any length; ValueError for a long one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._length = 0  # of the line that is being read

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def read(self, size: int = -1) -> str:
        """As the text's own."""
        part = self._stream.read(size)
        end = part.rfind("\n") + 1
        self._length = len(part) - end + (0 if end else self._length)
        if self._length > MAX_LINE:
            raise ValueError(f"a line has more than {MAX_LINE:,} characters")
        return part


def matrix_market_header(path: Path) -> tuple[int, int, int]:
    """Rows, columns and entries by the header, which is checked before memory is taken.

    ScReaderError where the file is no such matrix of numbers.
    """
    try:
        with _opener(path)(path, "rt", encoding="utf-8") as stream:
            first = stream.readline(MAX_LINE)
            kind = first.lower().split()
            line = _first_entry(stream, first)
        rows, columns, size = (int(number) for number in line.split()[:3])
    except UNREADABLE as error:
        raise _damaged_matrix(path, error) from error
    if "matrixmarket" not in first.lower():
        return rows, columns, size  # old STARsolo and others leave the banner out
    if kind[:3] != ["%%matrixmarket", "matrix", "coordinate"] or kind[3:] not in READABLE:
        raise ScReaderError(
            f"is a Matrix Market file of {' '.join(kind[1:]) or 'no kind'} values; expected "
            "coordinate integer or real general.",
            file=path,
        )
    return rows, columns, size


def _first_entry(stream: TextIO, line: str = "%") -> str:
    """The first line, from ``line`` on, that is neither empty nor a comment; "" at the end."""
    while line and (line.startswith("%") or not line.strip()):
        line = stream.readline(MAX_LINE)
    return line


def _opener(path: Path) -> Callable[..., Any]:
    return gzip.open if first_bytes(path, str(path), len(GZIP)) == GZIP else open


def _damaged_matrix(path: Path, reason: object) -> ScReaderError:
    return ScReaderError(f"is not a valid Matrix Market file ({reason}).", file=path)


class ScratchFile:
    """Bytes on disk, as long as this object lives; several threads may read at a time.

    The file has no name, so that nothing is left of it however the process ends.
    """

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(prefix="screader-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _not_writable(error) from error
        weakref.finalize(self, self._file.close)
        self.size = 0

    def write(self, content: bytes | memoryview, offset: int | None = None) -> None:
        """Write ``content`` at ``offset``, by default the end; ScReaderError on a full disk."""
        offset = self.size if offset is None else offset
        view = memoryview(content)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise _not_writable(error) from error
        self.size = max(self.size, offset)

    def read(self, count: int, offset: int) -> bytes:
        """``count`` bytes from ``offset`` on, fewer where the file ends."""
        parts = []
        while count > 0 and (part := os.pread(self._file.fileno(), count, offset)):
            parts.append(part)
            count, offset = count - len(part), offset + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _not_writable(error: OSError) -> ScReaderError:
    return ScReaderError(
        f"the folder of temporary files cannot be written to: {error.strerror}.",
        file=tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"),  # None: no folder can be
        remedy="Free some space there, or name another folder in TMPDIR.",
    )
