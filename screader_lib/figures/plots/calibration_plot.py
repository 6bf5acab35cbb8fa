"""Reliability: how often calls of a given confidence are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import PredictionData, distinct_titles
from screader_lib.figures.drawing.canvas import (
    Numbers,
    Picture,
    Style,
    count_axis,
    drawing,
    joined,
    new_figure,
)
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.label_metrics import (
    CALIBRATION_BINS,
    calibration_curve,
    expected_calibration_error,
)

MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Reliability:
    """One method's curve: per occupied bin its cells, mean confidence and accuracy."""

    title: str
    curve: list[dict[str, float]]
    error: float
    confidence: np.ndarray


def measure(calls: Sequence[PredictionData], bins: int = CALIBRATION_BINS) -> list[Reliability]:
    """Reliability of each file, over the cells whose true label is known.

    Cells that were left unassigned count with their most probable label. ScReaderError where a
    file has no true labels.
    """
    result = []
    for one, title in zip(calls, distinct_titles(calls), strict=True):
        one.need_true()
        confidence = one.confidence[one.known].astype(np.float64)
        correct = (one.predicted == one.true)[one.known]
        curve = calibration_curve(confidence, correct, bins)
        error = expected_calibration_error(confidence, correct, bins)
        result.append(Reliability(title, curve, error, confidence))
    return result


def picture(
    found: Sequence[Reliability], style: Style | None = None, bins: int = CALIBRATION_BINS
) -> Picture:
    """Accuracy against confidence, above how many cells have that confidence."""
    style = style or Style()
    with drawing():
        figure = new_figure(style, (3.8, 5.0 + 0.17 * len(found)), "compressed")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        colours = colours_of([f"{number:02}" for number in range(len(found))], style.palette)
        for number, (one, colour) in enumerate(zip(found, colours.values(), strict=True)):
            _draw(upper, one, colour, MARKERS[number % len(MARKERS)])
            lower.hist(
                one.confidence, bins=np.linspace(0, 1, bins + 1), color=colour,
                histtype="stepfilled" if len(found) == 1 else "step",
            )  # fmt: skip
        _frame(upper, lower)
        legend: Any = figure.legend(loc="outside lower center")
        for handle in legend.legend_handles:
            handle.set_sizes([24])
    return Picture(figure, _numbers(found), _alt(found))


def _draw(axis: Any, one: Reliability, colour: str, marker: str) -> None:
    confidence = [entry["confidence"] for entry in one.curve]
    accuracy = [entry["accuracy"] for entry in one.curve]
    cells = np.array([entry["cells"] for entry in one.curve])
    label = f"{one.title}, ECE {one.error:.3f}"
    axis.plot(confidence, accuracy, color=colour, linewidth=1.2, alpha=0.6)
    low, high = interval(np.array(accuracy), cells)
    axis.vlines(confidence, low, high, color=colour, linewidth=0.9, alpha=0.6)
    # Area by cells: bins with few of them say little.
    size = 14 + 90 * cells / cells.max()
    axis.scatter(confidence, accuracy, s=size, color=colour, marker=marker, zorder=3, label=label,
                 clip_on=False)  # fmt: skip


def interval(share: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of shares of so many cells (Wilson 1927): from, to."""
    z = 1.96
    middle = (share + z**2 / (2 * cells)) / (1 + z**2 / cells)
    half = z * np.sqrt(share * (1 - share) / cells + (z / (2 * cells)) ** 2) / (1 + z**2 / cells)
    return middle - half, middle + half


def _frame(upper: Any, lower: Any) -> None:
    upper.plot([0, 1], [0, 1], color="#555555", linewidth=1, linestyle="--", zorder=1)
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share of calls that are right")
    upper.grid(True)
    upper.set_aspect("equal")
    upper.annotate("perfect", (0.06, 0.10), fontsize=7, rotation=45, color="#555555")
    lower.set(xlabel="confidence", ylabel="cells", yscale="log")
    count_axis(lower.yaxis)
    lower.grid(axis="y")


def _numbers(found: Sequence[Reliability]) -> Numbers:
    columns = ("method", "cells", "confidence", "accuracy", "low", "high", "calibration_error")
    rows: list[tuple] = []
    for one in found:
        for entry in one.curve:
            ends = interval(np.array(entry["accuracy"]), np.array(entry["cells"]))
            row = (entry["cells"], entry["confidence"], entry["accuracy"], *map(float, ends))
            rows.append((one.title, *row, one.error))
    return Numbers(columns, rows)


def _alt(found: Sequence[Reliability]) -> str:
    parts = ["Reliability diagram: share of right calls against confidence"]
    for one in found:
        gap = np.mean([e["confidence"] - e["accuracy"] for e in one.curve])
        leaning = "too sure" if gap > 0.02 else "not sure enough" if gap < -0.02 else "about right"
        parts.append(f"{one.title}: expected calibration error {one.error:.3f}, {leaning}")
    return joined(parts)
