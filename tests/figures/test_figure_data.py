"""What pictures are drawn from: vectors, projections, separation and saved coordinates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest
from figure_files import Case, predictions, write_cells, write_predictions

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.exchange.table import strings
from screader_lib.figures.data import cell_vectors, panels, projection
from screader_lib.figures.data.cell_vectors import Vectors, mean_gene_embeddings, stored_vectors
from screader_lib.figures.data.projection import (
    MIN_UMAP_CELLS,
    Separation,
    import_umap,
    neighbour_purity,
    placed,
    principal_components,
    project,
    separation,
    sketch_of,
)
from screader_lib.figures.plots import umap_plot

CASE = Case(cells=60)


def in_memory(values: np.ndarray) -> Vectors:
    values = values.astype(np.float32)
    return Vectors(*values.shape, lambda start, stop: values[start:stop])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figure-data")
    write_predictions(folder / "p.h5ad", CASE)
    write_cells(folder / "c.h5ad", CASE, np.random.default_rng(0).permutation(60))
    return folder


@pytest.fixture
def cells(folder: Path) -> Iterator[ExchangeFile]:
    with open_exchange(folder / "c.h5ad", "cells") as opened:
        yield opened


@pytest.fixture
def stored(folder: Path) -> Iterator[Vectors]:
    with predictions(folder / "p.h5ad") as one:
        yield stored_vectors(one.vectors)


def test_before_reading_is_the_weighted_mean_of_the_genes(
    cells: ExchangeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = mean_gene_embeddings(cells, CASE.ids, "p")
    whole = unread.read(0, 60)
    names = list(cells.file["obs/id"].asstr()[()])
    embedding = cells.file["varm/embedding"][()].astype(float)
    for cell, mean in zip(CASE.ids, whole, strict=True):
        index = cells.file["obsm/gene_index"][names.index(cell)]
        weights = cells.file["obsm/gene_weight"][names.index(cell)][index >= 0]
        expected = np.average(embedding[index[index >= 0]], axis=0, weights=weights)
        np.testing.assert_allclose(mean, expected, atol=1e-5)
    monkeypatch.setattr(cell_vectors, "BLOCK_BYTES", 7 * 4 * unread.width)
    blocks = list(unread.blocks())
    assert [len(block) for block in blocks] == [7] * 8 + [4]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_missing_cell_is_named(cells: ExchangeFile) -> None:
    ids = np.array(["cell-0", "stranger"], dtype=object)
    with pytest.raises(ScReaderError, match=r"lacks 1 of the 2 cells of p\.h5ad.*'stranger'"):
        mean_gene_embeddings(cells, ids, "p.h5ad")


@pytest.mark.parametrize("runs_from", [10**6, 50], ids=["single_rows", "runs_of_rows"])
def test_sample_holds_the_rows_it_names(
    stored: Vectors, monkeypatch: pytest.MonkeyPatch, runs_from: int
) -> None:
    monkeypatch.setattr(cell_vectors, "RUNS_FROM", runs_from)
    monkeypatch.setattr(cell_vectors, "BLOCK_BYTES", 7 * 4 * stored.width)
    rows, values = stored.sample(24, seed=3)
    assert len(set(rows)) == len(rows) == len(values) == 24
    np.testing.assert_array_equal(values, stored.read(0, 60)[rows])


def test_first_principal_component_finds_a_line_far_from_the_origin() -> None:
    positions = np.linspace(-3, 3, 40)
    found = principal_components(in_memory(100 + positions[:, None] * np.full(12, 1 / np.sqrt(12))))
    np.testing.assert_allclose(found[:, 0], positions, atol=1e-3)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 2, MIN_UMAP_CELLS - 1])
def test_few_cells_are_placed_without_umap(rows: int) -> None:
    found = project(in_memory(np.random.default_rng(0).normal(size=(rows, 12))))
    assert found.shape == (rows, 2)
    assert np.isfinite(found).all()


def test_identical_cells_are_placed_in_one_point() -> None:
    assert not project(in_memory(np.ones((30, 12)))).any()


def test_umap_is_reproducible(stored: Vectors) -> None:
    first = project(stored, seed=1)
    assert first.shape == (60, 2)
    np.testing.assert_array_equal(project(stored, seed=1), first)
    assert not np.array_equal(project(stored, seed=2), first)


def test_many_cells_are_placed_among_a_sample_of_their_own_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projection, "FITTED_CELLS", 60)
    monkeypatch.setattr(projection, "PLACED_BLOCK", 70)
    random = np.random.default_rng(0)
    codes = random.integers(0, 3, 200)
    vectors = in_memory(20 * np.eye(8)[codes] + random.normal(size=(200, 8)))
    found = project(vectors, seed=1)
    assert found.shape == (200, 2) and found.dtype == np.float32
    assert neighbour_purity(found.astype(float), codes) == 1.0
    assert len(np.unique(found, axis=0)) > 100
    np.testing.assert_array_equal(project(vectors, seed=1), found)
    assert (sketch_of(60), sketch_of(61)) == (None, 60)


def test_a_cell_is_placed_amid_most_of_its_neighbours_and_the_sample_stays() -> None:
    vectors = np.arange(7, dtype=np.float32)[:, None]
    rows = np.array([0, 1, 2, 3, 6])
    coordinates = np.array([[0, 5], [1, 5], [2, 5], [90, 70], [91, 71]], np.float32)
    found = placed(vectors, rows, coordinates)
    np.testing.assert_array_equal(found[rows], coordinates)
    np.testing.assert_array_equal(found[[4, 5]], [[2, 5], [2, 5]])


def test_compiled_functions_of_umap_are_cached() -> None:
    njit = numba.njit
    umap = import_umap()
    assert numba.njit is njit
    for name in ("smooth_knn_dist", "compute_membership_strengths", "fast_knn_indices"):
        cache = getattr(umap.umap_, name).stats.cache_path
        assert cache.startswith(os.environ["NUMBA_CACHE_DIR"])


def test_purity_against_a_plain_count_wherever_the_cells_lie() -> None:
    random = np.random.default_rng(0)
    values, codes = random.normal(size=(300, 5)), random.integers(0, 3, 300)
    fractions = []
    for row in range(300):
        distance = ((values - values[row]) ** 2).sum(axis=1)
        distance[row] = np.inf
        fractions.append((codes[np.argsort(distance)[:10]] == codes[row]).mean())
    for moved in (values, values + 1000):
        assert neighbour_purity(moved, codes) == pytest.approx(np.mean(fractions), abs=1e-9)


def test_separated_types_are_pure_and_unlabelled_cells_do_not_count() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(mean, 0.1, (30, 3)) for mean in (0, 50, 25)])
    found = separation(in_memory(values), strings(["a"] * 30 + ["b"] * 30 + [""] * 30))
    assert (found.cells, found.purity) == (60, 1)
    assert found.silhouette is not None and found.silhouette > 0.98
    assert str(found) == "silhouette 1.00, 10-NN purity 1.00"


@pytest.mark.parametrize("labels", [["a"] * 5, [""] * 5, ["a", *[""] * 4]], ids=str)
def test_separation_of_less_than_two_types_is_undefined(labels: list[str]) -> None:
    found = separation(in_memory(np.eye(5)), strings(labels))
    assert (found.silhouette, found.purity) == (None, None)
    assert str(found) == "silhouette –, 10-NN purity –"


def test_silhouette_of_single_cells_is_undefined_and_negative_values_have_a_minus_sign() -> None:
    assert separation(in_memory(np.eye(4)), strings("abcd")).silhouette is None
    assert str(Separation(-0.25, 0.5, 9)) == "silhouette −0.25, 10-NN purity 0.50"


def panel(title: str) -> panels.Panel:
    points = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    return panels.Panel(title, strings(f"cell-{n}" for n in range(9)), points, strings(["a"] * 9))


@pytest.mark.parametrize("form", ["tsv", "npz"])
def test_coordinates_are_read_back_bit_by_bit(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"umap.{form}"
    drawn = [panel(title) for title in ("before", "after γδ")]
    panels.write_coordinates(drawn, path, form)
    first = path.read_bytes()
    saved = panels.read_coordinates(path, "umap")
    for one in drawn:
        found = saved.of_panel(one.title, one.ids[::-1], single=False)
        np.testing.assert_array_equal(found, one.coordinates[::-1])
    panels.write_coordinates(drawn, path, form)
    assert path.read_bytes() == first


def test_data_table_serves_as_coordinates(tmp_path: Path) -> None:
    one = panel("after scReader")
    umap_plot.picture([one]).data.write(tmp_path / "data.tsv")
    saved = panels.read_coordinates(tmp_path / "data.tsv", "data.tsv")
    found = saved.of_panel("whatever", one.ids, single=True)
    np.testing.assert_array_equal(found, one.coordinates)


HEADER = b"panel\tcell\tumap_1\tumap_2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin with the columns"),
        (HEADER + b"a\tb\tc\td\n", "two numbers"),
        (HEADER + b"a\tb\t1\n", "two numbers"),
        (HEADER + b"a\tb\t1\tnan\n", "not finite"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"PK\x05\x06" + b"\0" * 18, "not a file of coordinates"),
    ],
    ids=["empty", "words", "short", "nan", "binary", "empty_zip"],
)
def test_bad_coordinates_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "umap.tsv"
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        panels.read_coordinates(path, "umap.tsv")


def test_objects_in_an_npz_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "umap.npz"
    np.savez(path, panels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ScReaderError, match="not a file of coordinates"):
        panels.read_coordinates(path, "umap.npz")


def test_missing_panels_and_cells_are_named() -> None:
    points = np.zeros((1, 2), np.float32)
    saved = panels.SavedCoordinates("f", dict.fromkeys("ab", (strings(["cell-0"]), points)))
    with pytest.raises(ScReaderError, match=r"no panel 'c'.*a, b"):
        saved.of_panel("c", strings(["cell-0"]), single=True)
    with pytest.raises(ScReaderError, match="lacks 1 of the 2 cells of panel 'a', such as 'x'"):
        saved.of_panel("a", strings(["cell-0", "x"]), single=False)
