"""What every source of expression offers, and which format a path is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import safety
from screader_lib.exchange.table import Table

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

VALUES_PER_BLOCK = 4_000_000


class Expression(ABC):
    """Cells × genes, read block by block.

    ``obs`` and ``genes`` are tables of the cells and genes; ``name`` is what messages call it.
    """

    name: str
    obs: Table
    genes: Table

    @abstractmethod
    def blocks(self) -> Iterator[csr_matrix]:
        """The matrix from the first cell to the last, in blocks of rows, non-negative or not."""


def row_blocks(row_ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """Bounds of row blocks with about ``VALUES_PER_BLOCK`` values; ``row_ends`` is an indptr."""
    start, last = 0, len(row_ends) - 1
    while start < last:
        limit = row_ends[start] + VALUES_PER_BLOCK
        stop = int(np.searchsorted(row_ends, limit, side="right")) - 1
        stop = min(last, max(start + 1, stop))
        yield start, stop
        start = stop


def compressed_rows(group: h5py.Group, genes: int) -> Iterator[csr_matrix]:
    """Row blocks of a CSR matrix stored as data, indices, indptr."""
    from scipy.sparse import csr_matrix

    row_ends = group["indptr"][()].astype(np.int64)
    for start, stop in row_blocks(row_ends):
        first, last = row_ends[start], row_ends[stop]
        yield csr_matrix(
            (
                group["data"][first:last],
                group["indices"][first:last],
                row_ends[start : stop + 1] - first,
            ),
            shape=(stop - start, genes),
        )


def check_compressed(group: h5py.Group, rows: int, columns: int, name: str) -> None:
    """ScReaderError where data, indices and indptr do not make a ``rows`` × ``columns`` matrix."""
    try:
        ends, indices, values = group["indptr"][()], group["indices"], group["data"].shape[0]
    except (KeyError, AttributeError, IndexError):
        raise ScReaderError(f"{group.name} is not a sparse matrix.", file=name) from None
    sound = (
        len(ends) == rows + 1
        and ends[0] == 0
        and ends[-1] == values == indices.shape[0]
        and (np.diff(ends) >= 0).all()
    )
    if not sound:
        raise ScReaderError(
            f"{group.name} is damaged: indptr, indices and data do not fit {rows:,} × {columns:,}.",
            file=name,
        )


@contextmanager
def open_expression(
    path: Path, name: str, *, layer: str | None = None, gene_column: str | None = None
) -> Iterator[Expression]:
    """Open an h5ad, 10x h5, loom file or 10x mtx folder, told apart by content.

    ``layer`` names a layer of an h5ad or loom, or ``raw`` for an h5ad's raw matrix;
    ``gene_column`` the gene table's column to match by. ScReaderError where it is none of these.
    """
    from screader_lib.cells.h5ad import H5adExpression
    from screader_lib.cells.loom import LoomExpression
    from screader_lib.cells.tenx import TenxH5Expression, TenxMtxExpression

    with ExitStack() as stack:
        if path.is_dir():
            source: Expression = TenxMtxExpression(path, name)
        else:
            file = stack.enter_context(safety.open_checked(path, name=name, strict=False))
            if {"matrix", "row_attrs", "col_attrs"} <= set(file):
                source = LoomExpression(file, name, layer)
            elif _is_tenx(file):
                source = TenxH5Expression(file, name)
            elif {"obs", "var"} <= set(file):
                source = H5adExpression(file, name, layer)
            else:
                raise ScReaderError(
                    "is neither an h5ad nor a 10x h5 nor a loom file.",
                    file=name,
                    remedy="Give one of these or a folder with matrix.mtx.",
                )
        if gene_column is not None:
            source.genes = _indexed_by(source.genes, gene_column, name)
        yield source


def _is_tenx(file: h5py.File) -> bool:
    groups = [entry for entry in file.values() if isinstance(entry, h5py.Group)]
    return any({"barcodes", "indptr", "shape"} <= set(group) for group in groups)


def _indexed_by(genes: Table, column: str, name: str) -> Table:
    if column not in genes.columns:
        known = ", ".join(genes.columns) or "none"
        raise ScReaderError(
            f"its genes have no column {column!r}.", file=name, remedy=f"Columns: {known}."
        )
    return Table(genes.strings(column), genes.columns, column)
