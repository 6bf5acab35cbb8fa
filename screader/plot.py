"""Figures of annotated cells, as axes of matplotlib that can be changed further.

    screader.annotate(adata, "human-pancreas")
    screader.plot.umap(adata)                             # by label
    screader.plot.umap(adata, "screader_confidence")      # by any column of obs
    screader.plot.confusion(adata, "cell_type")           # against labels that are known
    screader.plot.genes(reader.explain(adata))            # the genes behind each label

They look as those of the command ``plot``. ScReaderError where matplotlib is missing, or a column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from screader.messages import errors_in_python
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from pandas import DataFrame

LABEL, VECTORS, PLACES = "screader_label", "X_screader", "X_screader_umap"
UNASSIGNED = "unassigned"


def umap(
    adata: AnnData, color: str = LABEL, *, title: str = "", palette: str = "", seed: int = 0
) -> Axes:
    """A UMAP of the cells' latent vectors, coloured by a column of obs.

    Coordinates are computed once, and kept as ``obsm["X_screader_umap"]``; delete it for another
    ``seed``. Cells that were left out have none.
    """
    from screader_lib.figures.data.cell_vectors import Vectors
    from screader_lib.figures.data.panels import Panel
    from screader_lib.figures.data.projection import project, sketch_of
    from screader_lib.figures.drawing.canvas import Style
    from screader_lib.figures.plots import umap_plot

    values = _column(adata, color)
    if VECTORS not in adata.obsm:
        raise ScReaderError(f"obsm has no {VECTORS!r}.", remedy="Run screader.annotate first.")
    with errors_in_python():
        umap_plot.check_number_of_colours(values, color)
        vectors = np.asarray(adata.obsm[VECTORS], np.float32)
        called = np.flatnonzero(~np.isnan(vectors[:, :1]))
        if PLACES not in adata.obsm:
            vectors = vectors[called]
            places = np.full((adata.n_obs, 2), np.nan, np.float32)
            rows, width = vectors.shape
            every = Vectors(rows, width, lambda start, stop: vectors[start:stop])
            places[called] = project(every, seed)
            adata.obsm[PLACES] = places
        places = np.asarray(adata.obsm[PLACES], np.float32)
        ids = adata.obs_names.to_numpy(object)
        panel = Panel(
            title or color, ids[called], places[called], values[called],
            sketch=sketch_of(len(called)),
        )  # fmt: skip
        style = Style(palette=palette)
        return umap_plot.picture([panel], style, column=color, seed=seed).figure.axes[0]


def confusion(
    adata: AnnData, truth: str, label: str = LABEL, *, counts: bool = False, title: str = ""
) -> Axes:
    """Which labels of the column ``truth`` were called as which ones of the column ``label``.

    Colours are shares of a row's cells, and numbers too, or numbers of cells with ``counts``.
    Cells whose true label is missing do not count.
    """
    from screader_lib.figures.plots import confusion_matrix
    from screader_lib.label_metrics import confusion_matrix as tabulated

    true, called = (_column(adata, name) for name in (truth, label))
    for name, values in ((truth, true), (label, called)):
        if values.dtype.kind == "f":
            raise ScReaderError(f"column {name!r} of obs holds numbers, not labels.")
    known = true != ""
    if not known.any():
        raise ScReaderError(f"column {truth!r} of obs holds no label.")
    unassigned = f"{confusion_matrix.NO_LABEL}{UNASSIGNED}"  # no type's name
    true, called = true[known], np.where(called[known] == "", unassigned, called[known])
    types = sorted({*true, *called} - {unassigned})
    columns = [*types, *([unassigned] if (called == unassigned).any() else [])]
    matrix = tabulated(true.tolist(), called.tolist(), columns)[: len(types)]
    extra = (UNASSIGNED,) * (len(columns) - len(types))
    found = confusion_matrix.Confusion(title or label, types, matrix, extra)
    with errors_in_python():
        return confusion_matrix.picture([found], counts=counts).figure.axes[0]


def genes(explanation: DataFrame, *, palette: str = "") -> np.ndarray:
    """Bars of the genes behind each label, from ``Reader.explain``.

    Returns the axes, one for each label in the order of the table, as objects (labels,).
    """
    from screader_lib.figures.drawing.canvas import Style
    from screader_lib.figures.plots import gene_bars

    types = [
        gene_bars.TypeGenes(
            str(label),
            int(rows["cells"].iloc[0]),
            tuple(
                gene_bars.GeneContribution(row.gene, row.symbol, row.full_name, row.contribution)
                for row in rows.itertuples()
            ),
        )
        for label, rows in explanation.groupby("label", sort=False)
    ]
    if not types:
        raise ScReaderError("there are no genes to draw.")
    with errors_in_python():
        axes = gene_bars.picture(types, Style(palette=palette)).figure.axes
    return np.array(axes[: len(types)], object)


def _column(adata: AnnData, name: str) -> Any:
    """A column of obs as numbers, float64, or labels, objects; missing ones are empty."""
    if name not in adata.obs:
        listed = ", ".join(map(repr, adata.obs))
        raise ScReaderError(f"obs has no column {name!r}; it has {listed}.")
    column = adata.obs[name]
    if column.dtype.kind in "iuf":
        return column.to_numpy(np.float64)
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)
