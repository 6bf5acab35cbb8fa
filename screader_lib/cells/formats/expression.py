"""What every source of expression offers, and how sparse rows are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.chunks import ChunkReader
from screader_lib.exchange.lazy_table import LazyTable
from screader_lib.exchange.table import Table

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

VALUES_PER_BLOCK = 1_000_000
CELLS_PER_BLOCK = 32_768

Span = tuple[int, int]


class Expression(ABC):
    """Cells × genes, read block by block.

    ``obs`` and ``genes`` are tables of the cells and genes; ``name`` is what messages call it;
    ``facts`` are what the file says of itself, by key.
    """

    name: str
    obs: LazyTable
    genes: Table
    facts: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def spans(self) -> Sequence[Span]:
        """Bounds of the blocks to read, from the first cell to the last."""

    @abstractmethod
    def read(self, start: int, stop: int) -> csr_matrix:
        """The block of one span, its values as they are; several threads may ask at a time."""


def row_spans(row_ends: np.ndarray | ChunkReader) -> list[Span]:
    """Spans with about ``VALUES_PER_BLOCK`` values; ``row_ends`` is an indptr, or reads one."""
    long = ChunkReader(row_ends) if isinstance(row_ends, np.ndarray) else row_ends
    found = []
    start, last = 0, len(long) - 1
    first, some = 0, long.read(0, 0)  # a piece of the indptr from ``first``
    while start < last:
        most = min(last, start + CELLS_PER_BLOCK)
        if most - first >= len(some):
            first, some = start, long.read(start, min(last, start + 4 * CELLS_PER_BLOCK) + 1)
        limit = int(some[start - first]) + VALUES_PER_BLOCK
        stop = first + int(np.searchsorted(some, limit, side="right")) - 1
        found.append((start, min(most, max(start + 1, stop))))
        start = found[-1][1]
    return found


def even_spans(cells: int, genes: int) -> list[Span]:
    """Spans of a dense matrix."""
    step = min(CELLS_PER_BLOCK, max(1, VALUES_PER_BLOCK // max(1, genes)))
    return [(start, min(cells, start + step)) for start in range(0, cells, step)]


class CompressedRows:
    """Rows of a CSR matrix stored as data, indices, indptr, which fit each other.

    ``group`` is HDF5's or zarr's.
    """

    def __init__(self, group: Any, genes: int, name: str) -> None:
        self.group = group
        self.genes = genes
        self.name = name
        self.row_ends = ChunkReader(group["indptr"])
        self._spans = row_spans(self.row_ends)
        self.data = ChunkReader(group["data"])
        self.indices = ChunkReader(group["indices"])

    def spans(self) -> list[Span]:
        """Bounds of the blocks."""
        return self._spans

    def read(self, start: int, stop: int) -> csr_matrix:
        """A block; ScReaderError where an index is not below ``genes``."""
        from scipy.sparse import csr_matrix

        ends = self.row_ends.read(start, stop + 1).astype(np.int64)
        first, last = int(ends[0]), int(ends[-1])
        indices = self.indices.read(first, last)
        check_indices(indices, self.genes, self.group, self.name)
        values = usual_numbers(self.data.read(first, last))
        return csr_matrix((values, indices, ends - first), shape=(stop - start, self.genes))


def usual_numbers(values: np.ndarray) -> np.ndarray:
    """The values in a type that scipy computes with: half precision and booleans are widened."""
    if values.dtype in (np.float16, np.bool_):
        return values.astype(np.float32)
    return values


def check_indices(indices: np.ndarray, size: int, group: Any, name: str) -> None:
    """ScReaderError where one of ``indices`` is negative or not below ``size``."""
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        raise ScReaderError(
            f"{group.name} is damaged: an index is outside 0 … {size - 1:,}.", file=name
        )


def check_compressed(group: Any, rows: int, columns: int, name: str) -> None:
    """ScReaderError where data, indices and indptr do not make a ``rows`` × ``columns`` matrix."""
    parts: list[Any] = [group.get(part) for part in ("indptr", "indices", "data")]
    if not all(getattr(part, "ndim", 0) == 1 for part in parts):
        raise ScReaderError(f"{group.name} is not a sparse matrix.", file=name)
    ends, indices, values = parts
    sound = (
        ends.dtype.kind in "iu"
        and indices.dtype.kind in "iu"
        and values.dtype.kind in "biuf"
        and ends.shape[0] == rows + 1
        and values.shape[0] == indices.shape[0]
        and _rise(ends, int(values.shape[0]))
    )
    if not sound:
        raise ScReaderError(
            f"{group.name} is damaged: indptr, indices and data do not fit {rows:,} × {columns:,}.",
            file=name,
        )


def _rise(ends: Any, last: int) -> bool:
    """Whether an indptr begins with 0, never falls and ends with ``last``."""
    before = 0
    for start in range(0, ends.shape[0], CELLS_PER_BLOCK):
        some = ends[start : start + CELLS_PER_BLOCK]
        if (not start and some[0]) or some[0] < before or (some[1:] < some[:-1]).any():
            return False
        before = int(some[-1])
    return before == last
