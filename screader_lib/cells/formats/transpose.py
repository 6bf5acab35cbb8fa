"""Cells from matrices whose entries do not lie cell by cell, through a temporary file.

Entries are read in pieces and counted by cell, then dealt out to buckets on disk; a bucket holds
neighbouring cells and is one block. Memory holds a piece and a bucket, whatever the number of
cells.
"""

from __future__ import annotations

import gzip
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from screader_lib.cells.formats.expression import Span, check_indices, row_spans, usual_numbers
from screader_lib.cells.formats.scratch_file import ScratchFile
from screader_lib.errors import ScReaderError
from screader_lib.exchange.chunks import ChunkReader

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ENTRIES_PER_PIECE = 4_000_000
UNREADABLE = (ValueError, OverflowError, OSError, EOFError, zlib.error)


class Entries(NamedTuple):
    """Some entries of a matrix: ``cells`` and ``genes`` (int), ``values``, each (entries,)."""

    cells: np.ndarray
    genes: np.ndarray
    values: np.ndarray


class TransposedEntries(ABC):
    """Rows of a ``cells`` × ``genes`` matrix from its entries in any order."""

    def __init__(self, cells: int, genes: int, dtype: np.dtype) -> None:
        self.cells = cells
        self.genes = genes
        self.entry = np.dtype([("cell", "<i4"), ("gene", "<i4"), ("value", dtype)])
        self._dealt: ScratchFile | None = None
        self._lock = threading.Lock()

    @abstractmethod
    def pieces(self) -> Iterator[Entries]:
        """All entries, piece by piece; read twice."""

    @cached_property
    def row_ends(self) -> np.ndarray:
        """int64 (cells + 1,): where each cell's entries end, were they in order."""
        counts = np.zeros(self.cells, np.int64)
        for piece in self.pieces():
            counts += np.bincount(piece.cells, minlength=self.cells)
        return np.concatenate([[0], np.cumsum(counts)])

    def spans(self) -> Sequence[Span]:
        """Bounds of the blocks."""
        return row_spans(self.row_ends)

    @property
    def _buckets(self) -> ScratchFile:
        """The entries on disk, those of a span together; dealt out by the first who asks."""
        with self._lock:
            if self._dealt is None:
                self._dealt = self._deal()
            return self._dealt

    def _deal(self) -> ScratchFile:
        bounds = np.array([*(start for start, _ in self.spans()), self.cells], np.int64)
        starts = bounds[:-1]
        small = np.uint16 if len(starts) <= np.iinfo(np.uint16).max else np.int32  # sorted fast
        buckets = np.repeat(np.arange(len(starts), dtype=small), np.diff(bounds))
        places = self.row_ends[starts].copy()
        file = ScratchFile()
        for piece in self.pieces():
            bucket = np.take(buckets, piece.cells)
            order = np.argsort(bucket, kind="stable")
            entries = np.empty(len(order), self.entry)
            for name, values in zip(self.entry.names or (), piece, strict=True):
                entries[name] = values[order]
            counts = np.bincount(bucket, minlength=len(starts))
            stops = np.cumsum(counts)
            for number in np.flatnonzero(counts):
                some = entries[stops[number] - counts[number] : stops[number]]
                file.write(some.tobytes(), int(places[number]) * self.entry.itemsize)
                places[number] += counts[number]
        return file

    def read(self, start: int, stop: int) -> csr_matrix:
        """One span; genes in order, entries given twice added up."""
        from scipy.sparse import coo_matrix

        first, last = self.row_ends[start], self.row_ends[stop]
        size = self.entry.itemsize
        content = self._buckets.read(int(last - first) * size, int(first) * size)
        entries = np.frombuffer(content, self.entry)
        values = usual_numbers(np.ascontiguousarray(entries["value"]))
        places = (entries["cell"] - start, np.ascontiguousarray(entries["gene"]))
        block = coo_matrix((values, places), shape=(stop - start, self.genes)).tocsr()
        block.sum_duplicates()
        return block


class TransposedColumns(TransposedEntries):
    """Rows of a CSC matrix stored as data, indices, indptr, which fit each other.

    ``group`` is HDF5's or zarr's.
    """

    def __init__(self, group: Any, cells: int, genes: int, name: str) -> None:
        super().__init__(cells, genes, group["data"].dtype)
        self.group = group
        self.name = name

    def pieces(self) -> Iterator[Entries]:
        ends = self.group["indptr"][()].astype(np.int64)
        indices, data = ChunkReader(self.group["indices"]), ChunkReader(self.group["data"])
        for first in range(0, int(ends[-1]), ENTRIES_PER_PIECE):
            last = min(int(ends[-1]), first + ENTRIES_PER_PIECE)
            cells = indices.read(first, last)
            check_indices(cells, self.cells, self.group, self.name)
            sizes = np.diff(np.clip(ends, first, last))
            genes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
            yield Entries(cells, genes, data.read(first, last))


class MatrixMarket(TransposedEntries):
    """Rows of a Matrix Market file of genes × cells, gzipped or not, coordinate format."""

    def __init__(self, path: Path, cells: int, genes: int) -> None:
        super().__init__(cells, genes, np.dtype("<f8"))
        self.path = path
        self.size = self._checked_size()
        self._spool: ScratchFile | None = None

    def _checked_size(self) -> int:
        """The number of entries, by the header alone, before memory is taken."""
        from scipy.io import mminfo

        try:
            genes, cells, size, form, field, symmetry = mminfo(self.path)
        except UNREADABLE as error:
            raise self._damaged(error) from error
        if (form, symmetry) != ("coordinate", "general") or field == "complex":
            raise ScReaderError(
                f"is a Matrix Market file of {form} {field} {symmetry} values, wanted "
                "coordinate integer or real general.",
                file=self.path,
            )
        if (cells, genes) != (self.cells, self.genes):
            raise ScReaderError(
                f"has {genes:,} genes and {cells:,} cells, but the lists "
                f"beside it have {self.genes:,} and {self.cells:,}.",
                file=self.path,
            )
        return int(size)

    def _damaged(self, why: object) -> ScReaderError:
        return ScReaderError(f"is no Matrix Market file ({why}).", file=self.path)

    def pieces(self) -> Iterator[Entries]:
        """From the text the first time, and then from its numbers on disk."""
        if self._spool is not None:
            yield from self._spooled(self._spool)
            return
        spool = ScratchFile()
        for piece in self._parsed():
            entries = np.empty(len(piece.cells), self.entry)
            entries["cell"], entries["gene"], entries["value"] = piece
            spool.write(entries.tobytes())
            yield piece
        self._spool = spool

    def _spooled(self, spool: ScratchFile) -> Iterator[Entries]:
        step = ENTRIES_PER_PIECE * self.entry.itemsize
        for place in range(0, spool.size, step):
            entries = np.frombuffer(spool.read(step, place), self.entry)
            yield Entries(entries["cell"], entries["gene"], entries["value"])

    def _parsed(self) -> Iterator[Entries]:
        import pandas

        seen = 0
        opener = gzip.open if self.path.suffix == ".gz" else open
        try:
            with opener(self.path, "rt", encoding="utf-8") as stream:
                line = stream.readline()
                while line.startswith("%") or not line.strip():
                    line = stream.readline()
                if not self.size:
                    return
                tables = pandas.read_csv(
                    stream, sep=r"\s+", header=None, comment="%", chunksize=ENTRIES_PER_PIECE
                )
                for table in tables:
                    seen += len(table)
                    yield self._entries(table.to_numpy(np.float64))
        except UNREADABLE as error:
            raise self._damaged(error) from error
        if seen != self.size:
            raise self._damaged(f"it holds {seen:,} of {self.size:,} entries")

    def _entries(self, numbers: np.ndarray) -> Entries:
        """Of (entries, 2 or 3); a pattern's entries, which have no value, count one."""
        if numbers.shape[1] not in (2, 3) or np.isnan(numbers[:, :2]).any():
            raise self._damaged("a line holds something other than gene, cell and value")
        genes, cells = numbers[:, 0] - 1, numbers[:, 1] - 1
        if genes.min() < 0 or genes.max() >= self.genes:
            raise self._damaged(f"an entry's gene is outside 1 … {self.genes:,}")
        if cells.min() < 0 or cells.max() >= self.cells:
            raise self._damaged(f"an entry's cell is outside 1 … {self.cells:,}")
        values = numbers[:, 2] if numbers.shape[1] == 3 else np.ones(len(numbers))
        return Entries(cells.astype(np.int32), genes.astype(np.int32), values)
