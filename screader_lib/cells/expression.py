"""What every source of expression offers, and how sparse rows are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.chunks import Stretch
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
    obs: Table
    genes: Table
    facts: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def spans(self) -> Sequence[Span]:
        """Bounds of the blocks to read, from the first cell to the last."""

    @abstractmethod
    def read(self, start: int, stop: int) -> csr_matrix:
        """The block of one span, its values as they are; several threads may ask at a time."""


def row_spans(row_ends: np.ndarray) -> list[Span]:
    """Spans with about ``VALUES_PER_BLOCK`` values; ``row_ends`` is an indptr."""
    found = []
    start, last = 0, len(row_ends) - 1
    while start < last:
        limit = row_ends[start] + VALUES_PER_BLOCK
        stop = int(np.searchsorted(row_ends, limit, side="right")) - 1
        stop = min(last, max(start + 1, stop), start + CELLS_PER_BLOCK)
        found.append((start, stop))
        start = stop
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
        self.row_ends = group["indptr"][()].astype(np.int64)
        self.data = Stretch(group["data"])
        self.indices = Stretch(group["indices"])

    def spans(self) -> list[Span]:
        """Bounds of the blocks."""
        return row_spans(self.row_ends)

    def read(self, start: int, stop: int) -> csr_matrix:
        """A block; ScReaderError where an index is not below ``genes``."""
        from scipy.sparse import csr_matrix

        first, last = int(self.row_ends[start]), int(self.row_ends[stop])
        indices = self.indices.read(first, last)
        check_indices(indices, self.genes, self.group, self.name)
        values = usual_numbers(self.data.read(first, last))
        ends = self.row_ends[start : stop + 1] - first
        return csr_matrix((values, indices, ends), shape=(stop - start, self.genes))


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
    row_ends = ends[()]
    sound = (
        ends.dtype.kind in "iu"
        and indices.dtype.kind in "iu"
        and values.dtype.kind in "biuf"
        and len(row_ends) == rows + 1
        and row_ends[0] == 0
        and row_ends[-1] == values.shape[0] == indices.shape[0]
        and (row_ends[1:] >= row_ends[:-1]).all()
    )
    if not sound:
        raise ScReaderError(
            f"{group.name} is damaged: indptr, indices and data do not fit {rows:,} × {columns:,}.",
            file=name,
        )
