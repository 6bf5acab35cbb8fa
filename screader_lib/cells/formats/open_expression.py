"""Opens any expression: a file or folder, recognised by its content, or an AnnData object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from screader_lib.cells.formats.anndata_expression import (
    AnnDataExpression,
    ZarrExpression,
    is_zarr,
)
from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.formats.loom import LoomExpression
from screader_lib.cells.formats.memory_expression import MemoryExpression
from screader_lib.cells.formats.tenx import TenxH5Expression, TenxMtxExpression
from screader_lib.cells.gene_names import named_by_column
from screader_lib.cells.normalisation import recognise
from screader_lib.errors import ScReaderError
from screader_lib.exchange import opening, safety
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from anndata import AnnData


@contextmanager
def open_expression(
    path: Path,
    name: str,
    *,
    layer: str | None = None,
    gene_column: str | None = None,
    reporter: Reporter = SILENT,
) -> Iterator[Expression]:
    """Open an h5ad, 10x h5, loom file, zarr store or 10x mtx folder, told apart by content.

    ``layer`` names a layer of an h5ad, zarr or loom, or ``raw`` for the raw matrix; where none is
    named and X of an h5ad holds no counts, its raw matrix is read if it has one. ``gene_column``
    is the gene table's column to match by. ScReaderError where it is none of these.
    """
    folder = path.is_dir()
    opened = nullcontext() if folder else safety.open_checked(path, name=name, strict=False)
    with opened as file:
        if file is not None:
            source = _from_hdf5(file, name, layer, reporter)
        elif is_zarr(path):
            source = _counts_first(partial(ZarrExpression, path, name), layer, reporter)
        else:
            _refuse_layer(layer, name)
            source = TenxMtxExpression(path, name)
        yield _named(source, gene_column)


def expression_of(
    adata: AnnData,
    name: str,
    *,
    layer: str | None = None,
    gene_column: str | None = None,
    reporter: Reporter = SILENT,
) -> Expression:
    """The expression of an AnnData object, which messages call ``name``; as that of an h5ad."""
    source = _counts_first(partial(MemoryExpression, adata, name), layer, reporter)
    return _named(source, gene_column)


def _named(source: Expression, gene_column: str | None) -> Expression:
    if gene_column is not None:
        source.genes = named_by_column(source.genes, gene_column, source.name)
    return source


def _from_hdf5(file: h5py.File, name: str, layer: str | None, reporter: Reporter) -> Expression:
    if {"matrix", "row_attrs", "col_attrs"} <= set(file):
        return LoomExpression(file, name, layer)
    groups = [entry for entry in file.values() if isinstance(entry, h5py.Group)]
    if any({"barcodes", "indptr", "shape"} <= set(group) for group in groups):
        _refuse_layer(layer, name)
        return TenxH5Expression(file, name)
    if not {"obs", "var"} <= set(file):
        raise ScReaderError(
            "is neither an h5ad nor a 10x h5 nor a loom file.",
            file=name,
            remedy="Give one of these, a zarr store or a folder with matrix.mtx.",
        )
    if opening.kind_of(file) is not None:
        raise ScReaderError(
            f"is a {opening.kind_of(file)} file of scReader; expected expression.", file=name
        )
    return _counts_first(partial(AnnDataExpression, file, name), layer, reporter)


def _refuse_layer(layer: str | None, name: str) -> None:
    if layer is not None:
        raise ScReaderError(
            f"has no matrix {layer}: 10x files have one matrix.",
            file=name,
            remedy="Leave --layer out.",
        )


def _counts_first(
    make: Callable[[str | None], Expression], layer: str | None, reporter: Reporter
) -> Expression:
    """The ``layer``; without one X, or raw if X holds no counts and there is a raw."""
    source = make(layer)
    if layer is None and source.has_raw:
        values = (source.read(*span).data for span in source.spans())
        first = next((some for some in values if some.any()), None)
        if first is not None and (first.min() < 0 or recognise(first) != "counts"):
            reporter.info("X does not hold counts, so raw is read (--layer X to read X).")
            return make("raw")
    return source
