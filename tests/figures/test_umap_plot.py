"""UMAP panels of cells, and the map of genes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from figure_files import (
    PANCREAS,
    Case,
    predictions,
    write_cells,
    write_descriptions,
    write_embeddings,
    write_predictions,
)

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.exchange.table import strings
from screader_lib.figures.data.panels import Panel, SavedCoordinates
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing.canvas import Style
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.plots import gene_map
from screader_lib.figures.plots.umap_plot import BEFORE, colouring, panels, picture, split

CELLS = 40
CASE = Case(cells=CELLS, extra={"depth": np.arange(CELLS, dtype=np.float32)})


def panel(values: np.ndarray) -> Panel:
    points = np.random.default_rng(0).normal(size=(len(values), 2)).astype(np.float32)
    return Panel("after scReader", strings(f"cell-{n}" for n in range(len(values))), points, values)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[PredictionData]:
    with predictions(write_predictions(tmp_path / "p.h5ad", CASE)) as opened:
        yield opened


def saved(*titles: str) -> SavedCoordinates:
    points = np.arange(2 * CELLS, dtype=np.float32).reshape(CELLS, 2)
    return SavedCoordinates("umap.npz", dict.fromkeys(titles, (CASE.ids, points)))


def test_a_picture_says_of_how_many_cells_its_umap_is() -> None:
    every = replace(panel(strings("ab" * 20)), sketch=20)
    drawn = picture([every])
    said = "UMAP of a sample of 20, others placed among it"
    assert said in drawn.figure.axes[0].get_xlabel() and f"{said}." in drawn.alt
    parts = split(every, strings("xy" * 20), "donor")
    assert said in picture(parts).figure.axes[1].get_xlabel()


def test_colours_are_the_true_labels_where_known_else_the_predicted(
    one: PredictionData, tmp_path: Path
) -> None:
    colours = colouring([one], None)
    assert (colours.column, colours.types) == ("true_label", sorted(PANCREAS))
    with pytest.raises(ScReaderError, match=r"no column 'nothing'.*depth"):
        colouring([one], "nothing")
    path = write_predictions(tmp_path / "q.h5ad", Case(cells=20, labelled=False))
    with predictions(path) as unlabelled:
        assert colouring([unlabelled], None).column == "predicted_label"


def test_before_and_after_with_saved_coordinates(one: PredictionData, tmp_path: Path) -> None:
    coordinates = saved(BEFORE, "after scReader")
    with open_exchange(write_cells(tmp_path / "c.h5ad", CASE), "cells") as cells:
        before, after = panels([one], colouring([one], None), cells=cells, saved=coordinates)
    assert before.title == BEFORE
    np.testing.assert_array_equal(after.coordinates, coordinates.panels[BEFORE][1])
    assert before.separation is not None and after.separation is not None
    assert before.separation.purity != after.separation.purity


def test_saved_coordinates_of_cells_without_vectors(tmp_path: Path) -> None:
    path, coordinates = write_predictions(tmp_path / "p.h5ad", CASE), saved("after scReader")
    with h5py.File(path, "r+") as file:
        del file["obsm/X_screader"]
    with predictions(path) as one:
        [drawn] = panels([one], colouring([one], None), saved=coordinates)
        with pytest.raises(ScReaderError, match="has no cell vectors"):
            panels([one], colouring([one], None))
    assert drawn.separation is None and len(drawn.coordinates) == len(one)
    assert picture([drawn], column="type").data.rows


def test_data_hold_every_cell_of_every_panel(one: PredictionData) -> None:
    drawn = panels([one], colouring([one], "depth"), saved=saved("any"))
    made = picture(drawn, column="depth")
    rows = list(made.data.rows)
    assert made.data.columns == ("panel", "cell", "umap_1", "umap_2", "depth")
    assert rows[3] == ("after scReader", "cell-3", "6", "7", 3.0)
    assert len(rows) == CELLS
    assert "coloured by depth" in made.alt


def test_type_keeps_its_colour_where_others_are_missing() -> None:
    made = picture([panel(strings(["gamma"] * 30))], types=PANCREAS)
    painted = made.figure.axes[0].collections[0].get_facecolor()
    colour = colours_of(PANCREAS)["gamma"]
    expected = tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    np.testing.assert_allclose(painted[:, :3], [expected] * 30)


@pytest.mark.parametrize(
    "values",
    [
        strings([""] * 12),
        strings([f"{'very long ' * 30}{n} γδ\x00 $x_{{" for n in range(12)]),
        np.array([1.0, np.nan, np.inf, 3.0]),
        np.full(4, np.nan),
        strings(["a"]),
    ],
    ids=["none", "long_names", "not_finite", "no_number", "one_cell"],
)
def test_anything_is_drawn_reproducibly(values: np.ndarray) -> None:
    made = picture([panel(values)])
    assert made.render("png", 40) == picture([panel(values)]).render("png", 40)


def test_many_types_are_numbered_in_picture_and_legend() -> None:
    made = picture([panel(strings([f"type {n:02}" for n in range(12)]))], column="predicted_label")
    written = {text.get_text() for text in made.figure.axes[0].texts}
    assert written == {str(n) for n in range(1, 13)}
    [legend] = made.figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:2] == ["1  type 00", "2  type 01"]
    assert legend.get_title().get_text() == "predicted label"


@pytest.mark.parametrize(("parts", "width"), [(2, None), (6, None), (6, 7.0), (5, 3.3)])
def test_each_cell_is_in_the_panel_of_its_part_before_all_others(
    one: PredictionData, parts: int, width: float | None
) -> None:
    count = len(one)
    places = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    by = np.array([f"part {number % parts}" for number in range(count)], object)
    made = split(Panel("all", one.ids, places, one.predicted), by, "part")
    assert np.concatenate([panel.ids for panel in made]).tolist() == [
        *(name for part in range(parts) for name in one.ids[part::parts])
    ]
    figure = picture(made, Style(width=width)).figure
    assert [len(axis.collections) for axis in figure.axes] == [2] * parts
    for axis in figure.axes:
        behind, front = (len(drawn.get_offsets()) for drawn in axis.collections)
        assert behind + front == count
        assert axis.get_title("left").endswith(f" ({front})")
    with pytest.raises(ScReaderError, match="'x' has no 1 to 24"):
        split(made[0], np.zeros(len(made[0].ids)), "x")


@pytest.mark.parametrize("width", [None, 3.3, 7.0])
def test_names_in_the_picture_do_not_meet_and_stay_text(width: float | None) -> None:
    random = np.random.default_rng(0)
    values = np.array([f"type number {number}" for number in range(12)] * 20, object)
    places = random.normal(size=(len(values), 2)).astype(np.float32)
    panel = Panel("cells", np.arange(len(values)).astype(object), places, values)
    made = picture([panel], Style(width=width), labels="names")
    assert not made.figure.legends
    texts = [text for text in made.figure.axes[0].texts if text.get_text()]
    plain = [text for text in texts if not text.get_path_effects()]
    assert sorted(text.get_text() for text in plain) == sorted(set(values))
    boxes = [text.get_window_extent() for text in plain]
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])
    written = made.render("pdf", 72)
    assert b"/Font" in written and made.render("pdf", 72) == written


@pytest.mark.parametrize("count", [1, 3])
def test_legend_of_61_long_names_lies_outside_the_panels(count: int) -> None:
    names = strings(f"CD4-positive, alpha-beta memory T cell {n}" for n in range(61))
    figure = picture([panel(names)] * count).figure
    figure.draw_without_rendering()
    legend, drawn = figure.legends[0].get_window_extent(), figure.axes[-1].get_window_extent()
    assert legend.x0 >= drawn.x1 if count == 1 else legend.y1 <= drawn.y0
    assert legend.x1 <= figure.bbox.x1 + 1
    assert legend.y0 >= figure.bbox.y0 - 1
    assert drawn.width > 250
    assert figure.get_figwidth() <= 13  # no wider than a page shows legibly


@pytest.fixture
def embeddings(tmp_path: Path) -> Iterator[ExchangeFile]:
    with open_exchange(write_embeddings(tmp_path / "g.h5ad", 8), "gene-embeddings") as opened:
        yield opened


@pytest.fixture
def descriptions(tmp_path: Path) -> Iterator[ExchangeFile]:
    with open_exchange(write_descriptions(tmp_path / "d.h5ad", 10), "descriptions") as opened:
        yield opened


def test_genes_are_coloured_by_source_or_by_type(
    embeddings: ExchangeFile, descriptions: ExchangeFile
) -> None:
    panel, column = gene_map.panel(embeddings)
    assert (column, panel.values.tolist()) == ("source", ["ncbi", "none"] * 4)
    panel, column = gene_map.panel(embeddings, descriptions=descriptions)
    types = [f"type {number % 3}" for number in range(8)]  # they are in another order
    assert (column, panel.values.tolist()) == ("gene_type", types)


def test_named_genes_are_labelled_in_the_picture(embeddings: ExchangeFile) -> None:
    panel, column = gene_map.panel(embeddings)
    labelled = gene_map.with_names(panel, embeddings, ["SYMBOL2", "gene-5"])
    assert labelled.named == {"SYMBOL2": 2, "gene-5": 5}
    made = picture([labelled], column=column, unit="gene")
    written = dict.fromkeys(text.get_text() for text in made.figure.axes[0].texts)
    assert [*written] == ["SYMBOL2", "gene-5"]  # each with an outline of its own
    assert made.data.columns[1] == "gene"
    assert "8 genes" in made.alt
    with pytest.raises(ScReaderError, match="no gene 'nothing'"):
        gene_map.with_names(panel, embeddings, ["nothing"])


def test_missing_columns_and_genes_are_named(
    tmp_path: Path, embeddings: ExchangeFile, descriptions: ExchangeFile
) -> None:
    with pytest.raises(ScReaderError, match=r"no column 'x'.*--descriptions has more"):
        gene_map.panel(embeddings, color="x")
    with pytest.raises(ScReaderError, match=r"no column 'x'.*gene_type"):
        gene_map.panel(embeddings, descriptions=descriptions, color="x")
    few = write_descriptions(tmp_path / "few.h5ad", 5)
    message = r"few\.h5ad: lacks 3 of the 8 genes.*'gene-5'"
    with open_exchange(few, "descriptions") as some, pytest.raises(ScReaderError, match=message):
        gene_map.panel(embeddings, descriptions=some)


def test_column_of_300_different_texts_is_no_colour(tmp_path: Path) -> None:
    path = write_embeddings(tmp_path / "many.h5ad", 301)
    with (
        open_exchange(path, "gene-embeddings") as many,
        pytest.raises(ScReaderError, match="301 different values"),
    ):
        gene_map.panel(many, color="symbol")
