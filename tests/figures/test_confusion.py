"""Confusion matrices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from figure_files import Case, write_calls, write_predictions

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data.prediction_data import UNASSIGNED, PredictionData
from screader_lib.figures.drawing.canvas import Style
from screader_lib.figures.plots.confusion_matrix import most_confused, picture, tabulate

ROWS = [  # true, called, assigned
    ("a", "a", True),
    ("a", "a", True),
    ("a", "b", True),
    ("a", "b", False),
    ("b", "b", True),
    ("c", "a", True),
    ("", "a", True),
]


@contextmanager
def calls(path: Path, title: str = "") -> Iterator[PredictionData]:
    with open_exchange(path, "predictions") as opened:
        yield PredictionData(opened, title)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return write_calls(tmp_path / "p.h5ad", ROWS, labels=["a", "b"])


@pytest.mark.parametrize(
    ("unassigned", "expected"),
    [
        ("column", [[2, 1, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]),
        ("call", [[2, 2, 0], [0, 1, 0], [1, 0, 0]]),
        ("omit", [[2, 1, 0], [0, 1, 0], [1, 0, 0]]),
    ],
)
def test_counts(known: Path, unassigned: str, expected: list[list[int]]) -> None:
    with calls(known) as one:
        [matrix] = tabulate([one], unassigned=unassigned, order="name")
    assert matrix.types == ["a", "b", "c"]
    assert matrix.counts.tolist() == expected
    assert matrix.columns == ["a", "b", "c", UNASSIGNED][: len(expected[0])]
    assert matrix.shares.sum(axis=1) == pytest.approx(1)


def test_most_confused_pairs_leave_out_the_unassigned(known: Path) -> None:
    with calls(known) as one:
        [matrix] = tabulate([one], order="name")
    assert most_confused(matrix) == [("a", "b", 1, 0.25), ("c", "a", 1, 1.0)]


def test_order_by_size(known: Path) -> None:
    with calls(known) as one:
        assert tabulate([one], order="size")[0].types == ["a", "b", "c"]


def test_types_that_are_alike_become_neighbours(tmp_path: Path) -> None:
    """Wrong calls of the case go to the neighbour in pairs: t0 t1, t2 t3, …"""
    types = ["p", "z", "q", "y", "r", "x", "s", "w"]
    path = write_predictions(tmp_path / "p.h5ad", Case(types=types, cells=800, unassigned=0))
    with calls(path) as one:
        [matrix] = tabulate([one])
    for left, right in (("p", "z"), ("q", "y"), ("r", "x"), ("s", "w")):
        assert abs(matrix.types.index(left) - matrix.types.index(right)) == 1


def test_several_files_share_types_and_order(tmp_path: Path, known: Path) -> None:
    other = write_calls(tmp_path / "o.h5ad", [("d", "d", True)], labels=["d"])
    with calls(known) as one, calls(other) as two:
        first, second = tabulate([one, two])
    assert first.types == second.types
    assert set(first.types) == {"a", "b", "c", "d"}
    assert (first.title, second.title) == ("scReader (1)", "scReader (2)")
    place = second.types.index("d")
    assert second.counts[place, place] == second.counts.sum() == 1


def test_a_type_called_unassigned_is_a_type_like_others(tmp_path: Path) -> None:
    rows = [(UNASSIGNED, UNASSIGNED, True), ("a", "a", False)]
    with calls(write_calls(tmp_path / "p.h5ad", rows, labels=["a", UNASSIGNED])) as one:
        [matrix] = tabulate([one], order="name")
    assert matrix.counts.tolist() == [[0, 0, 1], [0, 1, 0]]


def test_no_true_labels_is_an_error(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=9, labelled=False))
    with calls(path) as one, pytest.raises(ScReaderError, match="no cell has a true label"):
        tabulate([one])


def test_the_picture_tells_its_numbers_and_what_it_shows(known: Path) -> None:
    with calls(known) as one:
        made = picture(tabulate([one], order="name"), Style(title="$x_{"))
    rows = list(made.numbers.rows)
    assert len(rows) == 3 * 4
    assert rows[1] == ("scReader", "a", "b", 1, 0.25)
    assert "3 types" in made.alt
    assert "50.0 % of 6 cells right" in made.alt


@pytest.mark.parametrize("types", [["only"], [f"type {n}" for n in range(61)]], ids=["1", "61"])
def test_one_type_and_very_many_are_drawn(tmp_path: Path, types: list[str]) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(types=types, cells=200))
    with calls(path) as one:
        made = picture(tabulate([one]), counts=True)
    width, height = made.figure.get_size_inches()
    assert np.all(np.array([width, height]) < 16)
    assert made.render("svg", 60)


def test_61_long_names_do_not_run_into_one_another(tmp_path: Path) -> None:
    types = [f"CD4-positive, alpha-beta memory T cell {n}" for n in range(61)]
    with calls(write_predictions(tmp_path / "p.h5ad", Case(types=types, cells=400))) as one:
        figure = picture(tabulate([one])).figure
    figure.draw_without_rendering()
    axis, edges = figure.axes[0], figure.bbox
    for labels, low, high in (
        (axis.get_xticklabels(), "x0", "x1"),
        (axis.get_yticklabels()[::-1], "y0", "y1"),
    ):
        boxes = [label.get_window_extent() for label in labels]
        assert all(edges.x0 <= box.x0 and edges.y0 <= box.y0 for box in boxes)
        for one_box, next_box in itertools.pairwise(boxes):
            assert getattr(one_box, high) <= getattr(next_box, low) + 0.5
