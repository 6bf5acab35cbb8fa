"""Which format a file or folder of expression is, told by its content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py

from screader_lib.cells.expression import Expression
from screader_lib.cells.h5ad import H5adExpression
from screader_lib.cells.loom import LoomExpression
from screader_lib.cells.tenx import TenxH5Expression, TenxMtxExpression
from screader_lib.errors import ScReaderError
from screader_lib.exchange import safety
from screader_lib.exchange.table import Table


@contextmanager
def open_expression(
    path: Path, name: str, *, layer: str | None = None, gene_column: str | None = None
) -> Iterator[Expression]:
    """Open an h5ad, 10x h5, loom file or 10x mtx folder, told apart by content.

    ``layer`` names a layer of an h5ad or loom, or ``raw`` for an h5ad's raw matrix;
    ``gene_column`` the gene table's column to match by. ScReaderError where it is none of these.
    """
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
