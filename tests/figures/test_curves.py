"""Training curves, calibration and measures of methods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from figure_files import Case, write_calls, write_predictions, write_reader

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.plots import calibration_plot, method_comparison, training_curves


@contextmanager
def calls(path: Path, title: str = "") -> Iterator[PredictionData]:
    with open_exchange(path, "predictions") as opened:
        yield PredictionData(opened, title)


def test_training_numbers_are_the_history(tmp_path: Path) -> None:
    with open_exchange(write_reader(tmp_path / "r.h5", epochs=6), "reader") as opened:
        made = training_curves.picture(training_curves.read(opened))
        loss = opened.file["history/loss"][()]
    rows = list(made.numbers.rows)
    assert made.numbers.columns == ("epoch", "stage", "loss", "accuracy", "macro_F1")
    assert [row[2] for row in rows] == pytest.approx(loss)
    assert [row[1] for row in rows] == ["projector"] * 2 + ["reader"] * 4
    assert "over 6 epochs" in made.alt


def test_without_validation_cells_there_is_one_panel(tmp_path: Path) -> None:
    path = write_reader(tmp_path / "r.h5", epochs=1, validated=False)
    with open_exchange(path, "reader") as opened:
        made = training_curves.picture(training_curves.read(opened))
    assert len(made.figure.axes) == 1
    assert made.numbers.columns == ("epoch", "stage", "loss")


def test_a_reader_without_epochs_has_nothing_to_draw(tmp_path: Path) -> None:
    with (
        open_exchange(write_reader(tmp_path / "r.h5", epochs=0), "reader") as opened,
        pytest.raises(ScReaderError, match="no training history"),
    ):
        training_curves.read(opened)


def test_calibration_by_hand(tmp_path: Path) -> None:
    """Ten calls of confidence 0.8, six of them right: the error is 0.2."""
    rows = [("a", "a", True)] * 6 + [("b", "a", False)] * 4 + [("", "a", True)]
    path = write_calls(tmp_path / "p.h5ad", rows, labels=["a", "b"])
    with calls(path) as one:
        [found] = calibration_plot.measure([one])
    [entry] = found.curve
    assert entry == pytest.approx({"cells": 10, "confidence": 0.8, "accuracy": 0.6})
    assert found.error == pytest.approx(0.2)
    assert "too sure" in calibration_plot.picture([found]).alt


def test_files_of_one_title_are_folds(tmp_path: Path) -> None:
    good = [("a", "a", True), ("b", "b", True)]
    bad = [("a", "b", True), ("b", "b", True)]
    one = write_calls(tmp_path / "1.h5ad", good, labels=["a", "b"])
    two = write_calls(tmp_path / "2.h5ad", bad, labels=["a", "b"])
    with calls(one) as first, calls(two) as second, calls(two, "other") as third:
        found = method_comparison.measure([first, second, third])
    assert [(method.title, method.folds) for method in found] == [("scReader", 2), ("other", 1)]
    assert found[0].measures["accuracy"] == [1, 0.5]
    made = method_comparison.picture(found)
    row = next(row for row in made.numbers.rows if row[:2] == ("scReader", "accuracy"))
    assert row[4:] == (0.75, pytest.approx(np.std([1, 0.5], ddof=1)), 2)
    assert "(mean ± s.d., 2 folds)" in made.figure.axes[0].get_title(loc="left")


def test_a_file_of_all_folds_counts_as_its_folds(tmp_path: Path) -> None:
    case = Case(cells=90, extra={"fold": np.repeat(np.arange(1, 4, dtype=np.int32), 30)})
    with calls(write_predictions(tmp_path / "p.h5ad", case)) as one:
        [found] = method_comparison.measure([one])
        right = (one.predicted == one.true).reshape(3, 30).mean(axis=1)
    assert found.folds == 3
    assert found.measures["accuracy"] == pytest.approx(right)


def test_names_of_types_hide_no_point_and_no_name(tmp_path: Path) -> None:
    types = [f"a rather long name of a type {n}" for n in range(61)]
    case = Case(types=types, cells=3000, share_right=0.7)
    with calls(write_predictions(tmp_path / "p.h5ad", case)) as one:
        axis = method_comparison.picture(method_comparison.measure([one])).figure.axes[1]
    axis.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.texts]
    points = axis.transData.transform(axis.collections[0].get_offsets())
    assert boxes
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert not any(box.contains(*point) for point in points)


@pytest.mark.parametrize(
    ("right", "cells", "expected"), [(0, 10, (0, 0.2775)), (8, 10, (0.4902, 0.9433))]
)
def test_intervals_against_published_values(
    right: int, cells: int, expected: tuple[float, float]
) -> None:
    found = calibration_plot.interval(np.array(right / cells), np.array(cells))
    assert found == pytest.approx(expected, abs=1e-4)


def test_names_of_stages_stay_within_the_axis() -> None:
    history = training_curves.Training(
        "screader", np.arange(21), np.array(["warm start"] * 20 + ["reading"], object),
        np.linspace(1, 0.1, 21), {"accuracy": np.full(21, 0.97)},
    )  # fmt: skip
    figure = training_curves.picture(history).figure
    figure.draw_without_rendering()
    for axis in figure.axes:
        for text in axis.texts:
            assert text.get_window_extent().x1 <= axis.get_window_extent().x1 + 2


@pytest.mark.parametrize("module", [method_comparison, calibration_plot])
def test_no_true_labels_is_an_error(tmp_path: Path, module: object) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=9, labelled=False))
    with calls(path) as one, pytest.raises(ScReaderError, match="--label"):
        module.measure([one])  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", [method_comparison, calibration_plot])
def test_one_type_all_unassigned_is_drawn(tmp_path: Path, module: object) -> None:
    case = Case(types=["only"], cells=12, unassigned=1)
    with calls(write_predictions(tmp_path / "p.h5ad", case)) as one:
        assert not one.assigned.any()
        made = module.picture(module.measure([one]))  # type: ignore[attr-defined]
    assert made.render("png", 50).startswith(b"\x89PNG")
