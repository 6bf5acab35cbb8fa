"""``screader.plot`` and ``Reader.explain``: pictures as axes, and the genes behind labels."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import TYPES, counts, expression

import screader


@pytest.fixture(scope="module")
def adata(reader: Path) -> anndata.AnnData:
    """Annotated cells, of which one was left out and one has no label of its own."""
    values, types = counts(5, 60)
    values[10] = 0
    values[10, 3] = 2
    adata = expression(values, types)
    screader.annotate(adata, reader, min_counts=10, verbose=False)
    adata.obs.loc[adata.obs_names[11], "screader_label"] = np.nan
    return adata


def test_the_genes_behind_each_label(adata: anndata.AnnData, reader: Path) -> None:
    table = screader.Reader.load(reader).explain(adata, genes=5, verbose=False)
    assert list(table) == ["label", "cells", "gene", "symbol", "full_name", "contribution"]
    assert table["label"].tolist() == [name for name in TYPES for _ in range(5)]
    assert (table["contribution"] > 0).all()
    for number, name in enumerate(TYPES):
        rows = table[table["label"] == name]
        of_type = {f"GENE{gene:02}" for gene in range(10 * number, 10 * number + 10)}
        assert set(rows["gene"]) <= of_type
        assert rows["contribution"].is_monotonic_decreasing
    axes = screader.plot.genes(table)
    assert [len(axis.patches) for axis in axes] == [5, 5, 5]
    assert [axis.get_title(loc="left").split(" ")[0] for axis in axes] == list(TYPES)
    with pytest.raises(screader.ScReaderError, match="at least 1"):
        screader.Reader.load(reader).explain(adata, genes=0)


def test_a_umap_of_the_called_cells(adata: anndata.AnnData) -> None:
    axis = screader.plot.umap(adata)
    assert sum(len(dots.get_offsets()) for dots in axis.collections) >= 59
    places = adata.obsm["X_screader_umap"]
    assert np.isnan(places[10]).all() and np.isfinite(np.delete(places, 10, 0)).all()
    adata.obsm["X_screader_umap"] = places + 100
    again = screader.plot.umap(adata, "screader_confidence", title="how sure")
    assert again.get_title(loc="left") == "how sure"
    assert again.get_xlim()[0] > 50  # the coordinates that are there


def test_a_confusion_matrix_counts_the_unassigned(adata: anndata.AnnData) -> None:
    axis = screader.plot.confusion(adata, "cell_type", counts=True)
    printed = {text.get_text() for text in axis.texts}
    assert {"1", "20"} <= printed
    names = [name.get_text() for name in axis.get_xticklabels()]
    assert names == [*TYPES, "unassigned"]


def test_what_cannot_be_drawn(adata: anndata.AnnData) -> None:
    with pytest.raises(screader.ScReaderError, match="no column 'typ'; it has 'cell_type'"):
        screader.plot.umap(adata, "typ")
    with pytest.raises(screader.ScReaderError, match="holds numbers"):
        screader.plot.confusion(adata, "screader_confidence")
    values, types = counts(1, 20)
    with pytest.raises(screader.ScReaderError, match=r"Run screader\.annotate first"):
        screader.plot.umap(expression(values, types), "cell_type")
