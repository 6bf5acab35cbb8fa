"""Reliability diagram: how often predictions of a given confidence are correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import PredictionData, distinct_titles
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.palettes import method_colours
from screader_lib.label_metrics import (
    CALIBRATION_BINS,
    calibration_curve,
    expected_calibration_error,
)


@dataclass(frozen=True)
class Reliability:
    """One method's curve, its expected calibration error, and all ``confidence`` (cells,).

    ``curve`` has, per occupied bin, float64 (bins,), the number of ``cells``, the mean
    ``confidence``, the ``accuracy``, and its 95% interval from ``low`` to ``high``.
    """

    title: str
    curve: dict[str, np.ndarray]
    error: float
    confidence: np.ndarray


def measure(
    predictions: Sequence[PredictionData], bins: int = CALIBRATION_BINS
) -> list[Reliability]:
    """Reliability of each file, over the cells whose true label the reader has.

    Unassigned cells count with their most probable label. ScReaderError where a file has no true
    labels.
    """
    result = []
    for one, title in zip(predictions, distinct_titles(predictions), strict=True):
        one.require_comparable()
        confidence, correct = one.confidence_and_correct()
        occupied = calibration_curve(confidence, correct, bins)
        curve = {name: np.array([row[name] for row in occupied]) for name in occupied[0]}
        curve["low"], curve["high"] = wilson_interval(curve["accuracy"], curve["cells"])
        error = expected_calibration_error(confidence, correct, bins)
        result.append(Reliability(title, curve, error, confidence))
    return result


def wilson_interval(fraction: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95% interval (Wilson 1927) of ``fraction`` of ``cells``."""
    z = 1.96
    centre = (fraction + z**2 / (2 * cells)) / (1 + z**2 / cells)
    variance = fraction * (1 - fraction) / cells + (z / (2 * cells)) ** 2
    half = z * np.sqrt(variance) / (1 + z**2 / cells)
    return centre - half, centre + half


def picture(
    methods: Sequence[Reliability],
    style: canvas.Style = canvas.DEFAULT_STYLE,
    bins: int = CALIBRATION_BINS,
) -> canvas.Picture:
    """Accuracy against confidence, above a histogram of the confidence."""
    with canvas.drawing(style):
        figure = canvas.new_figure(style, (3.8, 5.0 + 0.17 * len(methods)), "compressed")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        colours = method_colours(len(methods), style.palette)
        for method, colour, marker in zip(methods, colours, cycle(canvas.MARKERS), strict=False):
            cells, x, y, low, high = method.curve.values()
            upper.plot(x, y, color=colour, linewidth=1.2, alpha=0.6)
            upper.vlines(x, low, high, color=colour, linewidth=0.9, alpha=0.6)
            upper.scatter(  # area by cells: bins with few of them say little
                x, y, s=14 + 90 * cells / cells.max(), color=colour, marker=marker, zorder=3,
                clip_on=False, label=f"{method.title}, ECE {method.error:.3f}",
            )  # fmt: skip
            lower.hist(
                method.confidence, bins=np.linspace(0, 1, bins + 1), color=colour,
                histtype="stepfilled" if len(methods) == 1 else "step",
            )  # fmt: skip
        upper.plot([0, 1], [0, 1], color="#555555", linewidth=1, linestyle="--", zorder=1)
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        upper.grid(True)
        upper.set_aspect("equal")
        upper.annotate("perfect", (0.06, 0.10), fontsize=7, rotation=45, color="#555555")
        lower.set(xlabel="confidence", ylabel="cells", yscale="log")
        canvas.count_axis(lower.yaxis)
        lower.grid(axis="y")
        legend: Any = figure.legend(loc="outside lower center")
        for handle in legend.legend_handles:
            handle.set_sizes([24])
    columns = ("method", "cells", "confidence", "accuracy", "low", "high", "calibration_error")
    rows = [
        (method.title, *row, method.error)
        for method in methods
        for row in zip(*(values.tolist() for values in method.curve.values()), strict=True)
    ]
    alt = ["Reliability diagram: accuracy against confidence"]
    for method in methods:
        gap = np.mean(method.curve["confidence"] - method.curve["accuracy"])
        bias = "well calibrated"
        if abs(gap) > 0.02:
            bias = "overconfident" if gap > 0 else "underconfident"
        alt.append(f"{method.title}: expected calibration error {method.error:.3f}, {bias}")
    return canvas.Picture.of(figure, columns, rows, alt)
