"""The AnnData in a file that may hold several: modalities of MuData, tables of SpatialData."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.cells.formats.anndata_expression import (
    AnnDataExpression,
    ZarrExpression,
    read_frame,
    zarr_errors,
)
from screader_lib.cells.formats.expression import Expression, ReadOptions
from screader_lib.cells.formats.zarr_chunks import open_store
from screader_lib.cells.normalisation import recognise
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import LazyColumn
from screader_lib.reporting import Reporter

RNA = ("rna", "gex", "gene_expression", "transcriptome")  # usual names of this modality
TABLES = ("tables", "table")  # of SpatialData, newer and older


def is_anndata_like(root: Any) -> bool:
    """Whether an open file or store holds an AnnData, or several."""
    return {"obs", "var"} <= set(root) or _parts(root)[1] != {}


def open_anndata(
    root: Any, path: Path, name: str, wanted: ReadOptions, reporter: Reporter, store: bool = False
) -> Expression:
    """The AnnData of ``root``, an open HDF5 file or zarr group that lies at ``path``.

    ScReaderError where several are there and none is wanted, or the one wanted is not.
    """
    what, parts = _parts(root)
    make = ZarrExpression if store else AnnDataExpression
    if not parts:
        if wanted.modality is not None:
            raise ScReaderError(
                f"is one AnnData, without a part {wanted.modality}.",
                file=name,
                remedy="Leave --modality out.",
            )
        source = counts_first(partial(_made, make, root, name), wanted, reporter)
        source.anndata_path = path
        return source
    part = _chosen(list(parts), what, name, wanted.modality)
    group = root[parts[part]]
    source = counts_first(partial(_made, make, group, name), wanted, reporter)
    source.format = f"{'zarr store' if store else 'h5mu'}, {what} {part}"
    if what == "table" and store:
        source.anndata_path = path / parts[part]
    if what == "modality" and not wanted.genes_only:
        _add_common_columns(source, root, part, name)
        others = [f"{what} {other}" for other in parts if other != part]
        source.others = ", ".join(filter(None, [source.others, *others]))
    return source


def open_zarr(path: Path, name: str, wanted: ReadOptions, reporter: Reporter) -> Expression:
    """The AnnData of a zarr store; ScReaderError where there is none."""
    with zarr_errors(name):
        root = open_store(path, name)
        if not is_anndata_like(root):
            raise ScReaderError(
                "is a zarr store, but neither AnnData, MuData nor SpatialData.",
                file=name,
                remedy="Of Xenium, give cell_feature_matrix.h5.",
            )
        return open_anndata(root, path, name, wanted, reporter, store=True)


def _made(
    make: type[AnnDataExpression], root: Any, name: str, wanted: ReadOptions
) -> AnnDataExpression:
    return make(root, name, wanted)


def counts_first(
    make: Callable[[ReadOptions], Expression], wanted: ReadOptions, reporter: Reporter
) -> Expression:
    """The wanted layer; without one X, or raw if X holds no counts and there is a raw."""
    source = make(wanted)
    if wanted.layer is None and source.has_raw and not wanted.genes_only:
        values = (source.read(*span).data for span in source.spans())
        first = next((some for some in values if some.any()), None)
        if first is not None and (first.min() < 0 or recognise(first) != "counts"):
            reporter.info("X does not hold counts, so raw is read (--layer X to read X).")
            return make(replace(wanted, layer="raw"))
    return source


def _parts(root: Any) -> tuple[str, dict[str, str]]:
    """What the AnnData in a file of several are called, and the place of each by its name."""
    for key, what in (("mod", "modality"), *((table, "table") for table in TABLES)):
        group = root.get(key)
        if hasattr(group, "keys"):
            names = [
                one
                for one in group
                if hasattr(group[one], "keys") and {"obs", "var"} <= set(group[one])
            ]
            if names:
                return what, {one: f"{key}/{one}" for one in names}
    return "", {}


def _chosen(names: list[str], what: str, file: str, wanted: str | None) -> str:
    listed = ", ".join(sorted(names))
    if wanted is not None:
        if wanted not in names:
            raise ScReaderError(f"has no {what} {wanted}.", file=file, remedy=f"It has: {listed}.")
        return wanted
    usual = [name for name in names if name.lower() in RNA]
    if len(names) > 1 and len(usual) != 1:
        raise ScReaderError(
            f"holds {len(names)}: {listed}.", file=file, remedy=f"Name the {what} with --modality."
        )
    return (usual or names)[0]


def _add_common_columns(source: Expression, root: Any, part: str, name: str) -> None:
    """Columns of the obs of all modalities, where the modality does not have them.

    ``obsmap`` of a modality holds, for each cell of all, its row in the modality from 1 on.
    """
    if "obs" not in root or not hasattr(root.get(f"obsmap/{part}"), "shape"):
        return
    common, places = read_frame(root["obs"], name), np.asarray(root[f"obsmap/{part}"][()]).ravel()
    cells = len(source.obs)
    if len(places) != len(common) or sorted(places[places > 0]) != list(range(1, cells + 1)):
        return
    rows = np.empty(cells, np.int64)
    rows[places[places > 0].astype(np.int64) - 1] = np.flatnonzero(places > 0)
    for key, column in common.columns.items():
        own = key.removeprefix(f"{part}:")
        if own not in source.obs.columns and ":" not in own:
            source.obs.columns[own] = LazyColumn.of(column.load().take(rows))
