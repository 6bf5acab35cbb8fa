"""Measures of several methods with their spread over folds, and F1 against type size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import PredictionData
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
from screader_lib.figures.drawing.type_names import printed
from screader_lib.figures.plots.umap_plot import colour_values
from screader_lib.label_metrics import per_label, scores

SHOWN = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
}
NAMED_BELOW = 0.9  # types with a lower F1 are named in the picture
MOST_NAMED = 5
LIFT = 0.05  # of a name over the axis, in units of F1
LETTER_WIDTH = 0.0165  # of a name, over the width of the axis
MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Method:
    """A method over its folds: measure → values, and label → mean F1 and mean cells a fold."""

    title: str
    measures: dict[str, list[float]]
    types: dict[str, dict[str, float]]

    @property
    def folds(self) -> int:
        """Number of folds of this method."""
        return len(self.measures["accuracy"])


def measure(calls: Sequence[PredictionData]) -> list[Method]:
    """Group files by title (files of one title are folds of one method) and measure them.

    A file that tells each cell's fold counts as as many folds.
    Every cell with a true label counts, with its most probable label even where it was left
    unassigned. ScReaderError where a file has no true labels.
    """
    titles = list(dict.fromkeys(one.title for one in calls))
    return [_measure(title, [one for one in calls if one.title == title]) for title in titles]


def _measure(title: str, folds: Sequence[PredictionData]) -> Method:
    measures: dict[str, list[float]] = {}
    found: dict[str, list[dict[str, float]]] = {}
    for true, predicted in (pair for one in folds for pair in _by_fold(one)):
        for name, value in scores(true, predicted).items():
            measures.setdefault(name, []).append(value)
        for label, row in per_label(true, predicted).items():
            found.setdefault(label, []).append(row)
    types = {
        label: {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for label, rows in sorted(found.items())
    }
    return Method(title, measures, types)


def _by_fold(calls: PredictionData) -> list[tuple[list[str], list[str]]]:
    """True and predicted labels of each fold of a file."""
    calls.need_true()
    true, predicted = calls.true[calls.known], calls.predicted[calls.known]
    if "fold" not in calls.columns:
        return [(true.tolist(), predicted.tolist())]
    fold = np.asarray(colour_values(calls.column("fold"))).astype(str)[calls.known]
    return [
        (true[fold == one].tolist(), predicted[fold == one].tolist()) for one in np.unique(fold)
    ]


def picture(methods: Sequence[Method], style: Style | None = None) -> Picture:
    """Left: the measures of each method, bar = mean, dots = folds, line = ± one standard
    deviation. Right: F1 of each type against its number of cells.
    """
    style = style or Style()
    with drawing():
        figure = new_figure(style, (8.2, 3.6 + 0.12 * max(0, len(methods) - 4)))
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        order = [f"{number:03}" for number in range(len(methods))]
        colours = list(colours_of(order, style.palette).values())
        _bars(left, methods, colours)
        _types(right, methods, colours)
        if len(methods) > 1:
            handles, labels = right.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(methods)))
    return Picture(figure, _numbers(methods), _alt(methods))


def _bars(axis: Any, methods: Sequence[Method], colours: Sequence[str]) -> None:
    width = 0.8 / len(methods)
    for number, (method, colour) in enumerate(zip(methods, colours, strict=True)):
        for place, name in enumerate(SHOWN):
            values = np.array(method.measures[name])
            x = place + (number - (len(methods) - 1) / 2) * width
            spread = values.std(ddof=1) if len(values) > 1 else None
            axis.bar(x, values.mean(), width * 0.92, color=colour, yerr=spread, capsize=2,
                     error_kw={"linewidth": 0.9})  # fmt: skip
            if len(values) > 1:
                offsets = np.linspace(-0.2, 0.2, len(values)) * width
                axis.plot(x + offsets, values, ".", color="#222222", markersize=2.5)
            if len(methods) <= 4:
                top = max(values.max(), values.mean() + (spread or 0))
                axis.text(x, top + 0.012, f"{values.mean():.3f}", ha="center", va="bottom",
                          fontsize=7 if len(methods) <= 2 else 6,
                          rotation=0 if len(methods) <= 2 else 90)  # fmt: skip
    axis.set_xticks(range(len(SHOWN)), [name.replace(" ", "\n") for name in SHOWN.values()])
    axis.set(ylim=(0, 1.15 if len(methods) > 2 else 1.08), yticks=np.linspace(0, 1, 6))
    axis.grid(axis="y")
    folds = max(method.folds for method in methods)
    axis.set_title("measures" + (f" (mean ± s.d., {folds} folds)" if folds > 1 else ""))


def _types(axis: Any, methods: Sequence[Method], colours: Sequence[str]) -> None:
    for number, (method, colour) in enumerate(zip(methods, colours, strict=True)):
        rows = [row for row in method.types.values() if row["cells"] > 0]
        axis.scatter(
            [row["cells"] for row in rows], [row["f1"] for row in rows], s=22, color=colour,
            marker=MARKERS[number % len(MARKERS)], alpha=0.85, linewidths=0, label=method.title,
            clip_on=False, zorder=3,
        )  # fmt: skip
    folds = max(method.folds for method in methods)
    cells = "cells of the type" + (", mean of its folds" if folds > 1 else "")
    axis.set(xscale="log", ylim=(0, 1.05), xlabel=cells, ylabel="F1 of the type")
    axis.margins(x=0.12)
    count_axis(axis.xaxis)
    _name_worst(axis, methods)
    axis.grid(True)
    axis.set_title("each type")


def _name_worst(axis: Any, methods: Sequence[Method]) -> None:
    """Name the types with the lowest F1, where the name hides no point and no other name.

    A type counts with its median F1 over the methods, and is named there.
    """
    first, last = np.log(axis.get_xlim())
    points: dict[str, list[tuple[float, float]]] = {}
    for method in methods:
        for label, row in method.types.items():
            if row["cells"] > 0:
                x = (np.log(row["cells"]) - first) / max(last - first, 1e-9)
                points.setdefault(label, []).append((row["f1"], x))
    medians = {label: sorted(here)[(len(here) - 1) // 2] for label, here in points.items()}
    names = printed(sorted(medians), 20)
    taken = [(x, x, value) for here in points.values() for value, x in here]
    named = 0
    for label, (value, x) in sorted(medians.items(), key=lambda item: (item[1], item[0])):
        lift = LIFT if value < LIFT else 0.0  # off the axis and the points on it
        place = _room(x, value + lift, len(names[label]), taken)
        if value >= NAMED_BELOW or named == MOST_NAMED:
            break
        if place is None:
            continue
        named += 1
        taken.append((*place, value + lift))
        left = place[0] < x
        axis.annotate(names[label], (x, value + lift), xycoords=("axes fraction", "data"),
                      fontsize=6.5, va="center", ha="right" if left else "left",
                      xytext=(-5 if left else 5, 0), textcoords="offset points")  # fmt: skip


def _room(
    x: float, value: float, letters: int, taken: Sequence[tuple[float, float, float]]
) -> tuple[float, float] | None:
    """Where a name has room right or left of its point: from, to, in shares of the axis.

    ``taken`` are points and names: from, to, value.
    """
    width = LETTER_WIDTH * letters + 0.03
    for low, high in ((x + 0.01, x + width), (x - width, x - 0.01)):
        free = all(
            end < low or start > high or abs(value - other) > 0.045 for start, end, other in taken
        )
        if free and low > 0 and high < 1.05:
            return low, high
    return None


def _numbers(methods: Sequence[Method]) -> Numbers:
    rows: list[tuple] = []
    for method in methods:
        for name, values in method.measures.items():
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            mean = float(np.mean(values))
            rows.append((method.title, name, None, None, mean, spread, method.folds))
        for label, row in method.types.items():
            for name in ("precision", "recall", "f1"):
                rows.append(
                    (method.title, name, label, row["cells"], row[name], None, method.folds)
                )
    return Numbers(("method", "measure", "type", "cells", "mean", "sd", "folds"), rows)


def _alt(methods: Sequence[Method]) -> str:
    parts = ["Measures of methods, and F1 of each type against its number of cells"]
    for method in methods:
        shown = [f"{title} {np.mean(method.measures[name]):.3f}" for name, title in SHOWN.items()]
        parts.append(f"{method.title}: {', '.join(shown)}")
    return joined(parts)
