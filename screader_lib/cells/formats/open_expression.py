"""Opens any expression: a file or folder, recognised by its content, or an AnnData object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from screader_lib.cells.formats.anndata_expression import is_zarr
from screader_lib.cells.formats.anndata_stores import (
    counts_first,
    is_anndata_like,
    open_anndata,
    open_zarr,
)
from screader_lib.cells.formats.expression import DEFAULTS, Expression, ReadOptions
from screader_lib.cells.formats.loom import LoomExpression
from screader_lib.cells.formats.memory_expression import MemoryExpression
from screader_lib.cells.formats.mtx_folder import MtxFolderExpression, samples_in
from screader_lib.cells.formats.packed import HDF5, MATRIX_MARKET, R, content_of, unpacked
from screader_lib.cells.formats.r_objects import open_r
from screader_lib.cells.formats.tenx import TenxH5Expression
from screader_lib.cells.formats.text_table import TableExpression
from screader_lib.cells.gene_names import choose_genome, named_by_column
from screader_lib.errors import ScReaderError
from screader_lib.exchange import opening, safety
from screader_lib.genes.spelling import species_of_names
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from anndata import AnnData

FILTERS = {  # https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md
    4: "szip", 307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp",
    32015: "zstd", 32017: "sz", 32026: "blosc2",
}  # fmt: skip
KNOWN_FORMATS = "an h5ad, h5mu, 10x h5, loom, zarr store, folder with matrix.mtx, table or .rds"


@contextmanager
def open_expression(
    path: Path, name: str, wanted: ReadOptions = DEFAULTS, reporter: Reporter = SILENT
) -> Iterator[Expression]:
    """Open any file or folder of cells, told apart by content; messages call it ``name``.

    These are: h5ad, h5mu, 10x h5 and loom; AnnData, MuData and SpatialData zarr stores; folders
    with matrix.mtx; tables of counts; objects of R; also compressed or zipped. Where no layer is
    wanted and X of an AnnData holds no counts, its raw matrix is read if it has one. ScReaderError
    where it is none of these, or has not what is wanted.
    """
    with ExitStack() as stack:
        place = stack.enter_context(unpacked(path, name))
        source = _opened(place, name, wanted, reporter, stack)
        choose_genome(source, wanted, reporter)
        source.species = species_of_names(source.genes.index)
        yield _named(source, wanted.gene_column)


def samples_of(path: Path, name: str) -> list[tuple[Path, str]]:
    """What a user's ``path`` stands for: the matrices of a folder of several samples, or itself.

    Each with the name that messages call it, which for a sample ends in its own.
    """
    samples = samples_in(path) if path.is_dir() and not is_zarr(path) else []
    if len(samples) < 2:
        return [(path, name)]
    return [(one.matrix, f"{name.rstrip('/')}/{one.sample.rstrip('._-')}") for one in samples]


def _opened(
    path: Path, name: str, wanted: ReadOptions, reporter: Reporter, stack: ExitStack
) -> Expression:
    if path.is_dir():
        if is_zarr(path):
            return open_zarr(path, name, wanted, reporter)
        return MtxFolderExpression(path, name, wanted)
    content = content_of(path, name)
    if content == HDF5:
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401
        file = stack.enter_context(safety.open_checked(path, name=name, strict=False))
        reading = partial(naming_filters, file, name)
        stack.enter_context(reading())
        with safety.checking(name):
            source = _from_hdf5(file, path, name, wanted, reporter)
        source.reading = reading
        return source
    if content == MATRIX_MARKET:
        return MtxFolderExpression(path.parent, name, wanted, path)
    if content == R:
        return open_r(path, name, wanted, reporter)
    return TableExpression(path, name, wanted)


def expression_of(
    adata: AnnData,
    name: str,
    *,
    layer: str | None = None,
    gene_column: str | None = None,
    reporter: Reporter = SILENT,
) -> Expression:
    """The expression of an AnnData object, which messages call ``name``; as that of an h5ad."""
    wanted = ReadOptions(layer)
    source = counts_first(partial(MemoryExpression, adata, name), wanted, reporter)
    choose_genome(source, wanted, reporter)
    source.species = species_of_names(source.genes.index)
    return _named(source, gene_column)


def _named(source: Expression, gene_column: str | None) -> Expression:
    if gene_column is not None:
        source.genes = named_by_column(source.genes, gene_column, source.name)
    return source


def _from_hdf5(
    file: h5py.File, path: Path, name: str, wanted: ReadOptions, reporter: Reporter
) -> Expression:
    if {"matrix", "row_attrs", "col_attrs"} <= set(file):
        return LoomExpression(file, name, wanted.layer)
    groups = [entry for entry in file.values() if isinstance(entry, h5py.Group)]
    if any({"barcodes", "indptr", "shape"} <= set(group) for group in groups):
        return TenxH5Expression(file, name, wanted)
    if opening.kind_of(file) is not None:
        raise ScReaderError(
            f"is a {opening.kind_of(file)} file of scReader; expected expression.", file=name
        )
    if {"assays", "cell.names"} <= set(file):
        raise ScReaderError(
            "is an h5Seurat file.",
            file=name,
            remedy="In R: saveRDS(SeuratDisk::LoadH5Seurat(file), 'x.rds'), and give x.rds.",
        )
    if not is_anndata_like(file):
        raise ScReaderError(
            "is an HDF5 file without single-cell data.", file=name, remedy=f"Give {KNOWN_FORMATS}."
        )
    return open_anndata(file, path, name, wanted, reporter)


@contextmanager
def naming_filters(file: h5py.File, name: str) -> Iterator[None]:
    """ScReaderError, calling the file ``name``, where a read fails, as for want of a filter."""
    try:
        with safety.reading(name):
            yield
    except ScReaderError as error:
        own = isinstance(error.__cause__, OSError) and str(error).startswith(f"{name}:")
        if not own or not (missing := _missing_filters(file)):
            raise
        path, number = next(iter(missing.items()))
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        known = f"{FILTERS[number]} (HDF5's filter {number})" if number in FILTERS else f"{number}"
        raise ScReaderError(
            f"the filter {known} that compressed {path}{more} is not installed.",
            file=name,
            remedy="Run: pip install hdf5plugin, or write the file again with compression='gzip'.",
        ) from error


def _missing_filters(file: h5py.File) -> dict[str, int]:
    """The arrays that need a filter that is not there, and its number."""
    found: dict[str, int] = {}

    def look(path: str, element: object) -> None:
        if isinstance(element, h5py.Dataset):
            properties = element.id.get_create_plist()
            for index in range(properties.get_nfilters()):
                number = properties.get_filter(index)[0]
                if not h5py.h5z.filter_avail(number):
                    found[path] = number

    file.visititems(look)
    return dict(sorted(found.items(), key=lambda item: (item[0] not in ("X", "X/data"), item[0])))
