"""The cells' vectors before and after reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figure_files import Case, draw_cells, write_cells, write_predictions

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data import cell_vectors
from screader_lib.figures.data.cell_vectors import StoredVectors, before_reading
from screader_lib.figures.data.projection import FEW, principal_components, project

CASE = Case(cells=60)


def plain_means(path: Path, ids: list[str]) -> np.ndarray:
    """Weighted means of gene embeddings, cell by cell."""
    with open_exchange(path, "cells") as cells:
        embedding = cells.file["varm/embedding"][()].astype(float)
        index = cells.file["obsm/gene_index"][()]
        weight = cells.file["obsm/gene_weight"][()].astype(float)
        names = list(cells.file["obs/id"].asstr()[()])
    rows = []
    for cell in ids:
        row = names.index(cell)
        used = index[row] >= 0
        rows.append(np.average(embedding[index[row][used]], axis=0, weights=weight[row][used]))
    return np.array(rows)


def test_before_reading_is_the_weighted_mean_of_the_genes(tmp_path: Path) -> None:
    ids = draw_cells(CASE).ids
    path = write_cells(tmp_path / "cells.h5ad", CASE, np.random.default_rng(0).permutation(60))
    with open_exchange(path, "cells") as cells:
        found = before_reading(cells, ids, "p").read(0, 60)
    np.testing.assert_allclose(found, plain_means(path, list(ids)), atol=1e-5)


def test_small_blocks_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_cells(tmp_path / "cells.h5ad", CASE)
    with open_exchange(path, "cells") as cells:
        unread = before_reading(cells, draw_cells(CASE).ids, "p")
        whole = unread.read(0, 60)
        monkeypatch.setattr(cell_vectors, "BLOCK_BYTES", 7 * 4 * unread.width)
        blocks = list(unread.blocks())
    assert [len(block) for block in blocks] == [7] * 8 + [4]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_a_cell_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write_cells(tmp_path / "cells.h5ad", CASE)
    ids = np.array(["cell-0", "stranger"], dtype=object)
    with (
        open_exchange(path, "cells") as cells,
        pytest.raises(ScReaderError, match=r"lacks 1 of the 2 cells of p\.h5ad.*'stranger'"),
    ):
        before_reading(cells, ids, "p.h5ad")


@pytest.mark.parametrize("many", [10**6, 50], ids=["single_rows", "runs_of_rows"])
def test_a_sample_holds_the_rows_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(cell_vectors, "MANY", many)
    with open_exchange(write_predictions(tmp_path / "p.h5ad", CASE), "predictions") as opened:
        stored = StoredVectors(opened.file["obsm/X_screader"])
        rows, values = stored.sample(24, seed=3)
        assert len(set(rows)) == len(rows) == len(values) == 24
        np.testing.assert_array_equal(values, opened.file["obsm/X_screader"][()][rows])


class Line(cell_vectors.Vectors):
    """Points along one direction of a wide space, far from the origin."""

    def __init__(self, rows: int) -> None:
        self.rows, self.width = rows, 12
        self.places = np.linspace(-3, 3, rows)

    def read(self, start: int, stop: int) -> np.ndarray:
        direction = np.ones(12) / np.sqrt(12)
        return (100 + self.places[start:stop, None] * direction).astype(np.float32)


def test_the_first_principal_component_finds_the_line() -> None:
    found = principal_components(Line(40))
    np.testing.assert_allclose(found[:, 0], Line(40).places, atol=1e-3)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 2, FEW - 1])
def test_few_cells_are_placed_without_umap(rows: int) -> None:
    found = project(Line(rows))
    assert found.shape == (rows, 2)
    assert np.isfinite(found).all()


def test_cells_all_alike_are_placed_in_one_point() -> None:
    class Same(Line):
        def read(self, start: int, stop: int) -> np.ndarray:
            return np.ones((stop - start, 12), np.float32)

    assert not project(Same(30)).any()


def test_umap_gives_the_same_again(tmp_path: Path) -> None:
    with open_exchange(write_predictions(tmp_path / "p.h5ad", CASE), "predictions") as opened:
        stored = StoredVectors(opened.file["obsm/X_screader"])
        first = project(stored, seed=1)
        assert first.shape == (60, 2)
        np.testing.assert_array_equal(project(stored, seed=1), first)
        assert not np.array_equal(project(stored, seed=2), first)
