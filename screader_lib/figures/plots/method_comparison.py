"""Metrics of several methods with their spread over folds, and F1 against type size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.palettes import method_colours
from screader_lib.figures.drawing.type_names import display_names
from screader_lib.label_metrics import per_label, scores

METRICS = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
}
NAMED_BELOW = 0.9  # types with a lower F1 are named in the figure
MAX_NAMED = 5
LIFT = 0.05  # of a name above the axis, in units of F1
NAME_HEIGHT = 0.045  # in units of F1
LETTER_WIDTH = 0.0165  # as a fraction of the axis


@dataclass(frozen=True)
class Method:
    """A method over its folds: metric → values, and label → mean F1 and mean cells per fold."""

    title: str
    metrics: dict[str, list[float]]
    types: dict[str, dict[str, float]]

    @property
    def folds(self) -> int:
        """Number of folds of this method."""
        return len(self.metrics["accuracy"])


def measure(predictions: Sequence[PredictionData]) -> list[Method]:
    """Group files by title (files of one title are folds of one method) and measure them.

    A file with a column of folds counts as that many folds. Every cell counts whose true label
    the reader has, by its most probable label even where it is unassigned. ScReaderError where a
    file has no such cell.
    """
    titles = dict.fromkeys(one.title for one in predictions)
    return [_measure(title, [one for one in predictions if one.title == title]) for title in titles]


def _measure(title: str, files: Sequence[PredictionData]) -> Method:
    metrics: dict[str, list[float]] = {}
    by_label: dict[str, list[dict[str, float]]] = {}
    for one in files:
        one.require_comparable()
        true, predicted = one.true[one.comparable], one.predicted[one.comparable]
        folds = np.zeros(len(true))
        if "fold" in one.columns:
            folds = one.column("fold").astype(str)[one.comparable]
        for fold in np.unique(folds):
            pair = true[folds == fold].tolist(), predicted[folds == fold].tolist()
            for name, value in scores(*pair).items():
                metrics.setdefault(name, []).append(value)
            for label, row in per_label(*pair).items():
                by_label.setdefault(label, []).append(row)
    types = {
        label: {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for label, rows in sorted(by_label.items())
    }
    return Method(title, metrics, types)


def picture(
    methods: Sequence[Method], style: canvas.Style = canvas.DEFAULT_STYLE
) -> canvas.Picture:
    """Left, or above: the metrics of each method, bar = mean, dots = folds, line = ± one standard
    deviation. Right, or below: F1 of each type against its number of cells.
    """
    with canvas.drawing(style):
        below = 0.12 * max(0, len(methods) - 4)
        if style.is_narrow:
            figure = canvas.new_figure(style, (3.4, 4.2 + below))
            left, right = figure.subplots(2, 1)
        else:
            figure = canvas.new_figure(style, (8.2, 3.6 + below))
            left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        colours = method_colours(len(methods), style.palette)
        _bars(left, methods, colours, len(methods) > (1 if style.is_narrow else 2))
        _types(right, methods, colours)
        if len(methods) > 1:
            handles, labels = right.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(methods)))
    rows: list[tuple] = []
    alt = ["Metrics of methods, and F1 of each type against its number of cells"]
    for method in methods:
        for name, values in method.metrics.items():
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            rows.append((method.title, name, None, None, np.mean(values), spread, method.folds))
        rows += [
            (method.title, name, label, row["cells"], row[name], None, method.folds)
            for label, row in method.types.items()
            for name in ("precision", "recall", "f1")
        ]
        means = [f"{title} {np.mean(method.metrics[name]):.3f}" for name, title in METRICS.items()]
        alt.append(f"{method.title}: {', '.join(means)}")
    columns = ("method", "measure", "type", "cells", "mean", "sd", "folds")
    return canvas.Picture.of(figure, columns, rows, alt)


def _bars(axis: Any, methods: Sequence[Method], colours: Sequence[str], is_crowded: bool) -> None:
    """``is_crowded``: values stand upright on their bars."""
    width = 0.8 / len(methods)
    for number, (method, colour) in enumerate(zip(methods, colours, strict=True)):
        for position, name in enumerate(METRICS):
            values = np.array(method.metrics[name])
            x = position + (number - (len(methods) - 1) / 2) * width
            spread = values.std(ddof=1) if len(values) > 1 else None
            axis.bar(x, values.mean(), width * 0.92, color=colour, yerr=spread, capsize=2,
                     error_kw={"linewidth": 0.9})  # fmt: skip
            if len(values) > 1:
                offsets = np.linspace(-0.2, 0.2, len(values)) * width
                axis.plot(x + offsets, values, ".", color=canvas.INK, markersize=2.5)
            if len(methods) <= 4:
                size, turned = (6, 90) if is_crowded else (7, 0)
                top = max(values.max(), values.mean() + (spread or 0))
                axis.text(x, top + 0.012, f"{values.mean():.3f}", ha="center", va="bottom",
                          fontsize=size, rotation=turned)  # fmt: skip
    axis.set_xticks(range(len(METRICS)), [name.replace(" ", "\n") for name in METRICS.values()])
    axis.set(ylim=(0, 1.15 if is_crowded else 1.08), yticks=np.linspace(0, 1, 6))
    axis.grid(axis="y")
    folds = max(method.folds for method in methods)
    axis.set_title("metrics" + (f" (mean ± s.d., {folds} folds)" if folds > 1 else ""))


def _types(axis: Any, methods: Sequence[Method], colours: Sequence[str]) -> None:
    for number, (method, colour) in enumerate(zip(methods, colours, strict=True)):
        rows = [row for row in method.types.values() if row["cells"] > 0]
        axis.scatter(
            [row["cells"] for row in rows], [row["f1"] for row in rows], s=22, color=colour,
            marker=canvas.MARKERS[number % len(canvas.MARKERS)], alpha=0.85, linewidths=0,
            label=method.title, clip_on=False, zorder=3,
        )  # fmt: skip
    folds = max(method.folds for method in methods)
    cells = "cells of the type" + (" (mean over folds)" if folds > 1 else "")
    axis.set(xscale="log", ylim=(0, 1.05), xlabel=cells, ylabel="F1", title="F1 by type")
    axis.margins(x=0.12)
    canvas.count_axis(axis.xaxis)
    axis.grid(True)
    _name_worst(axis, methods)


def _name_worst(axis: Any, methods: Sequence[Method]) -> None:
    """Name the types with the lowest F1, where the name hides no point and no other name.

    A type is ranked by its median F1 over the methods, and named there.
    """
    first, last = np.log(axis.get_xlim())
    points: dict[str, list[tuple[float, float]]] = {}  # F1 and position on the axis, 0 to 1
    for method in methods:
        for label, row in method.types.items():
            if row["cells"] > 0:
                x = (np.log(row["cells"]) - first) / max(last - first, 1e-9)
                points.setdefault(label, []).append((row["f1"], x))
    medians = {label: sorted(values)[(len(values) - 1) // 2] for label, values in points.items()}
    names = display_names(sorted(medians), 20)
    occupied = [(x, x, f1) for values in points.values() for f1, x in values]
    named = 0
    for label, (f1, x) in sorted(medians.items(), key=lambda item: (item[1], item[0])):
        if f1 >= NAMED_BELOW or named == MAX_NAMED:
            break
        y = f1 + (LIFT if f1 < LIFT else 0)  # off the axis and the points on it
        span = _free_span(x, y, LETTER_WIDTH * len(names[label]) + 0.03, occupied)
        if span is None:
            continue
        named += 1
        occupied.append((*span, y))
        left = span[0] < x
        axis.annotate(names[label], (x, y), xycoords=("axes fraction", "data"),
                      fontsize=6.5, va="center", ha="right" if left else "left",
                      xytext=(-5 if left else 5, 0), textcoords="offset points")  # fmt: skip


def _free_span(
    x: float, y: float, width: float, occupied: Sequence[tuple[float, float, float]]
) -> tuple[float, float] | None:
    """From where to where, right or else left of ``x``, a name would fit; None where nowhere.

    ``occupied`` are points and names: from, to, F1.
    """
    for low, high in ((x + 0.01, x + width), (x - width, x - 0.01)):
        free = all(
            end < low or start > high or abs(y - other) > NAME_HEIGHT
            for start, end, other in occupied
        )
        if free and low > 0 and high < 1.05:
            return low, high
    return None
