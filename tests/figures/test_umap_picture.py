"""UMAP panels and the coordinates kept for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from figure_files import PANCREAS, Case, write_cells, write_predictions

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import strings
from screader_lib.figures.data import coordinates
from screader_lib.figures.data.coordinates import Given
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.plots.umap_panels import BEFORE, colouring, panels
from screader_lib.figures.plots.umap_plot import Panel, picture, point_area

CELLS = 40


def panel(values: np.ndarray, title: str = "after scReader") -> Panel:
    points = np.random.default_rng(0).normal(size=(len(values), 2)).astype(np.float32)
    return Panel(title, strings(f"cell-{n}" for n in range(len(values))), points, values)


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[PredictionData]:
    case = Case(cells=CELLS, extra={"depth": np.arange(CELLS, dtype=np.float32)})
    with open_exchange(write_predictions(tmp_path / "p.h5ad", case), "predictions") as opened:
        yield PredictionData(opened)


def given(titles: list[str]) -> Given:
    places = {
        title: coordinates.Placed(
            strings(f"cell-{n}" for n in range(CELLS)),
            np.arange(2 * CELLS, dtype=np.float32).reshape(CELLS, 2),
        )
        for title in titles
    }
    return Given("umap.npz", places)


def test_colours_are_the_true_labels_where_known(calls: PredictionData) -> None:
    chosen = colouring([calls], None)
    assert (chosen.column, chosen.types) == ("true_label", sorted(PANCREAS))


def test_without_true_labels_the_predicted_ones(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "q.h5ad", Case(cells=20, labelled=False))
    with open_exchange(path, "predictions") as opened:
        assert colouring([PredictionData(opened)], None).column == "predicted_label"


def test_a_column_that_is_not_there_names_those_that_are(calls: PredictionData) -> None:
    with pytest.raises(ScReaderError, match=r"no column 'nothing'.*depth"):
        colouring([calls], "nothing")


def test_before_and_after_with_given_coordinates(calls: PredictionData, tmp_path: Path) -> None:
    with open_exchange(write_cells(tmp_path / "c.h5ad", Case(cells=CELLS)), "cells") as cells:
        stored = given([BEFORE, "after scReader"])
        before, after = panels([calls], colouring([calls], None), cells=cells, given=stored)
    assert before.title == BEFORE
    np.testing.assert_array_equal(after.coordinates, stored.stored[BEFORE].coordinates)
    assert before.separation is not None and after.separation is not None
    assert before.separation.purity != after.separation.purity


def test_numbers_hold_every_cell_of_every_panel(calls: PredictionData) -> None:
    drawn = panels([calls], colouring([calls], "depth"), given=given(["any"]))
    made = picture(drawn, what="depth")
    rows = list(made.numbers.rows)
    assert made.numbers.columns == ("panel", "cell", "umap_1", "umap_2", "depth")
    assert rows[3] == ("after scReader", "cell-3", "6", "7", 3.0)
    assert len(rows) == CELLS
    assert "coloured by depth" in made.alt


def test_a_type_keeps_its_colour_where_others_are_missing() -> None:
    """Only gamma is there, but it has the colour that it has among all types."""
    made = picture([panel(strings(["gamma"] * 30))], types=PANCREAS)
    painted = made.figure.axes[0].collections[0].get_facecolor()
    wanted = tuple(int(colours_of(PANCREAS)["gamma"][i : i + 2], 16) / 255 for i in (1, 3, 5))
    np.testing.assert_allclose(painted[:, :3], [wanted] * 30)


@pytest.mark.parametrize(
    "values",
    [
        strings([""] * 12),
        strings(["only"] * 12),
        strings([f"{'very long ' * 30}{n} γδ\x00 $x_{{" for n in range(12)]),
        strings([f"type {n}" for n in range(61)]),
        np.array([1.0, np.nan, np.inf, 3.0]),
        np.full(4, np.nan),
        strings(["a"]),
    ],
    ids=["none", "one_type", "long_names", "61", "not_finite", "no_number", "one_cell"],
)
def test_anything_is_drawn_and_the_same_again(values: np.ndarray) -> None:
    made = picture([panel(values)])
    assert made.render("png", 60) == picture([panel(values)]).render("png", 60)


def test_many_types_are_numbered_in_picture_and_legend() -> None:
    made = picture([panel(strings([f"type {n:02}" for n in range(12)]))])
    written = {text.get_text() for text in made.figure.axes[0].texts}
    assert written == {str(n) for n in range(1, 13)}
    legend = [text.get_text() for text in made.figure.legends[0].get_texts()]
    assert legend[:2] == ["1  type 00", "2  type 01"]


def test_points_shrink_with_their_number() -> None:
    areas = [point_area(cells) for cells in (100, 1_000, 10_000, 1_000_000)]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 20 > 0.5 > areas[-1]


@pytest.mark.parametrize("form", ["tsv", "npz"])
def test_coordinates_come_back_bit_by_bit(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"umap.{form}"
    drawn = [panel(strings(["a"] * 9), title) for title in ("before", "after γδ")]
    coordinates.write(drawn, path, form)
    first = path.read_bytes()
    back = coordinates.read(path, "umap")
    for one in drawn:
        found = back.of_panel(one.title, one.ids[::-1], only=False)
        np.testing.assert_array_equal(found, one.coordinates[::-1])
    coordinates.write(drawn, path, form)
    assert path.read_bytes() == first


def test_the_data_table_serves_as_coordinates(tmp_path: Path) -> None:
    one = panel(strings(["a"] * 9))
    picture([one]).numbers.write(tmp_path / "data.tsv")
    back = coordinates.read(tmp_path / "data.tsv", "data.tsv")
    np.testing.assert_array_equal(back.of_panel("whatever", one.ids, only=True), one.coordinates)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin with the columns"),
        (b"panel\tcell\tumap_1\tumap_2\na\tb\tc\td\n", "two numbers"),
        (b"panel\tcell\tumap_1\tumap_2\na\tb\t1\n", "two numbers"),
        (b"panel\tcell\tumap_1\tumap_2\na\tb\t1\tnan\n", "not finite"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"PK\x05\x06" + b"\0" * 18, "not a file of coordinates"),
    ],
    ids=["empty", "words", "short", "nan", "binary", "empty_zip"],
)
def test_bad_coordinates_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "umap.tsv"
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        coordinates.read(path, "umap.tsv")


def test_objects_in_an_npz_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "umap.npz"
    np.savez(path, panels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ScReaderError, match="not a file of coordinates"):
        coordinates.read(path, "umap.npz")


def test_missing_panels_and_cells_are_named() -> None:
    with pytest.raises(ScReaderError, match=r"no panel 'c'.*a, b"):
        given(["a", "b"]).of_panel("c", strings(["cell-0"]), only=True)
    with pytest.raises(ScReaderError, match="lacks 1 of the 2 cells, such as 'x'"):
        given(["a"]).of_panel("a", strings(["cell-0", "x"]), only=True)


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_a_legend_of_61_long_names_lies_outside_the_panels(panels: int) -> None:
    names = strings(f"CD4-positive, alpha-beta memory T cell {n}" for n in range(61))
    figure = picture([panel(names)] * panels).figure
    figure.draw_without_rendering()
    legend, drawn = figure.legends[0].get_window_extent(), figure.axes[-1].get_window_extent()
    assert legend.x0 >= drawn.x1 if panels == 1 else legend.y1 <= drawn.y0
    assert legend.x1 <= figure.bbox.x1 + 1
    assert legend.y0 >= figure.bbox.y0 - 1
    assert drawn.width > 250
    assert figure.get_figwidth() <= 13  # no wider than a page shows legibly


def test_the_legend_tells_the_column() -> None:
    figure = picture([panel(strings(["a", "b"]))], what="predicted_label").figure
    assert figure.legends[0].get_title().get_text() == "predicted label"
