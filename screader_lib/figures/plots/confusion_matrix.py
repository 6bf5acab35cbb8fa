"""Confusion matrix: which true labels are predicted as which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib import label_metrics
from screader_lib.figures.data.prediction_data import (
    BACKED_OFF,
    UNASSIGNED,
    PredictionData,
    distinct_titles,
)
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.type_names import display_names, with_number

READABLE_TYPES = 22  # up to so many types, fractions are printed into the fields
NO_LABEL = "\0"  # how columns of cells without a final label begin, unlike any type's name


@dataclass(frozen=True)
class Confusion:
    """One method's matrix: ``counts`` int64 (types, types and ``extra_columns``).

    ``extra_columns`` count the cells that get no type: unassigned, backed-off.
    """

    title: str
    types: list[str]
    counts: np.ndarray
    extra_columns: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [*self.types, *self.extra_columns]

    @property
    def fractions(self) -> np.ndarray:
        """Counts over the row's cells, float64; empty rows are zero."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, total, out=np.zeros(self.counts.shape), where=total > 0)

    @property
    def summary(self) -> str:
        """How many of the counted cells are on the diagonal."""
        cells = self.counts.sum()
        return f"{self.title}: {self.counts.trace() / max(1, cells):.1%} of {cells:,} cells correct"


def tabulate(
    predictions: Sequence[PredictionData],
    *,
    unassigned: str = "column",
    order: str = "similarity",
) -> list[Confusion]:
    """The matrices of several files over the same types, in the same order.

    ``unassigned`` says how cells without a final label count: in columns of their own (column),
    by their most probable label (call), or not at all (omit). ``order`` is similarity, name or
    size. ScReaderError where a file has no true labels.
    """
    for one in predictions:
        one.require_true_labels()
    pairs = [_true_and_counted(one, unassigned) for one in predictions]
    labels = sorted({str(label) for pair in pairs for side in pair for label in side})
    types = [label for label in labels if not label.startswith(NO_LABEL)]
    extra = [s for s in (UNASSIGNED, BACKED_OFF) if NO_LABEL + s in labels]
    columns = [*types, *(NO_LABEL + status for status in extra)]
    matrices = [
        label_metrics.confusion_matrix(true.tolist(), counted.tolist(), columns)[: len(types)]
        for true, counted in pairs
    ]
    ranks = list(range(len(types)))
    if order == "size":
        sizes = np.sum([matrix.sum(axis=1) for matrix in matrices], axis=0)
        ranks.sort(key=lambda index: (-sizes[index], types[index]))
    elif order == "similarity" and len(types) >= 3:
        similarity = np.sum([_mean_probability(one, types) for one in predictions], axis=0)
        ranks = similarity_order(similarity)
    ordered = np.ix_(ranks, [*ranks, *range(len(types), len(columns))])
    names = [types[index] for index in ranks]
    return [
        Confusion(title, names, matrix[ordered], tuple(extra))
        for title, matrix in zip(distinct_titles(predictions), matrices, strict=True)
    ]


def _true_and_counted(one: PredictionData, unassigned: str) -> tuple[np.ndarray, np.ndarray]:
    counted, used = one.predicted, one.known
    if unassigned == "column":
        status = np.where(one.backed_off, NO_LABEL + BACKED_OFF, NO_LABEL + UNASSIGNED)
        counted = np.where(one.assigned, counted, status.astype(object))
    elif unassigned == "omit":
        used = used & one.assigned
    return one.true[used], counted[used]


def _mean_probability(one: PredictionData, types: list[str]) -> np.ndarray:
    """Mean probability of each type over the cells of each true type, (types, types).

    Probabilities show which types are alike even where every prediction is correct.
    """
    index = {label: number for number, label in enumerate(types)}
    columns = [number for number, label in enumerate(one.labels) if label in index]
    result = np.zeros((len(types), len(types)))
    for label in set(one.true[one.known]) & set(types):
        mean = one.probability[one.true == label].mean(axis=0, dtype=np.float64)
        result[index[label], [index[one.labels[number]] for number in columns]] = mean[columns]
    return result


def similarity_order(similarity: np.ndarray) -> list[int]:
    """An order in which neighbours are similar: leaves of the average-linkage tree."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    close = (similarity + similarity.T)[np.triu_indices(len(similarity), 1)]
    # Square roots: one cell in a hundred should weigh against none at all.
    distance = 1 - np.sqrt(close / max(float(close.max()), 1e-12))
    leaves = leaves_list(linkage(distance, "average", optimal_ordering=True)).tolist()
    return leaves if leaves[0] < leaves[-1] else leaves[::-1]


def picture(
    matrices: Sequence[Confusion],
    style: canvas.Style = canvas.DEFAULT_STYLE,
    *,
    counts: bool = False,
) -> canvas.Picture:
    """Matrices side by side, coloured by the fraction of the row's cells.

    ``counts`` prints numbers of cells into the fields instead of fractions.
    """
    types = len(matrices[0].types)
    field = 0.42 if types <= 10 else 0.36  # inches
    if types > READABLE_TYPES:
        field = 0.2 if counts else 0.155
    side = max(1.6, field * types)
    with canvas.drawing(style):
        size = (2.2 + len(matrices) * (side + 0.4) + 0.9, 2.3 + side)
        figure: Any = canvas.new_figure(style, size, "compressed")
        axes = figure.subplots(1, len(matrices), sharey=True, squeeze=False)[0]
        colours = canvas.colour_map(style.palette or "Blues")
        for axis, matrix in zip(axes, matrices, strict=True):
            image = _draw(axis, matrix, colours)
        axes[0].set_ylabel("true label")
        bar = figure.colorbar(image, ax=list(axes), shrink=min(1.0, 8 / max(8, types)))
        bar.set_label("fraction of cells in the row")
        bar.outline.set_visible(False)
        if counts or types <= READABLE_TYPES:
            figure.get_layout_engine().execute(figure)  # sets the size of the fields
            for axis, matrix in zip(axes, matrices, strict=True):
                field = axis.get_window_extent().width / matrix.counts.shape[1] * 72 / figure.dpi
                _write(axis, matrix, colours, counts, field)
    rows = [
        (m.title, true, predicted, int(m.counts[i, j]), float(fractions[i, j]))
        for m, fractions in ((matrix, matrix.fractions) for matrix in matrices)
        for i, true in enumerate(m.types)
        for j, predicted in enumerate(m.columns)
    ]
    alt = [f"Confusion matrix of {types} types"]
    for matrix in matrices:
        worst = "".join(
            f"; most confused: {cells} cells of {true} predicted as {predicted}"
            for true, predicted, cells, _ in most_confused(matrix, 1)
        )
        alt.append(matrix.summary + worst)
    columns = ("method", "true", "predicted", "cells", "share")
    return canvas.Picture.of(figure, columns, rows, alt)


def _draw(axis: Any, matrix: Confusion, colours: Any) -> Any:
    rows, columns = matrix.counts.shape
    image = axis.imshow(matrix.fractions, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
    names = display_names(matrix.types)
    cells = matrix.counts.sum(axis=1)
    titles = [with_number(names[t], f"{c:,}") for t, c in zip(matrix.types, cells, strict=True)]
    axis.set_yticks(range(rows), titles)
    axis.set_xticks(range(columns), [names.get(name, name) for name in matrix.columns], rotation=90)
    letters = canvas.require("matplotlib").rcParams["xtick.labelsize"]
    axis.tick_params(length=0, labelsize=min(8 if rows <= READABLE_TYPES else 6, letters))
    axis.set_xlabel("predicted label")
    axis.set_title(matrix.summary.replace(": ", ":\n"))  # long labels leave it little room
    axis.spines[:].set_visible(False)
    for index in range(rows + 1):
        axis.axhline(index - 0.5, color=canvas.GRID, linewidth=0.4)
    for index in range(columns + 1):
        axis.axvline(index - 0.5, color=canvas.GRID, linewidth=0.4)
    if columns > rows:
        axis.axvline(rows - 0.5, color=canvas.INK, linewidth=1)
    return image


def _write(axis: Any, matrix: Confusion, colours: Any, counts: bool, field: float) -> None:
    """Write numbers into the fields, whose sides are ``field`` points long."""
    for row, column in np.argwhere(matrix.counts > 0):
        fraction = matrix.fractions[row, column]
        text = f"{matrix.counts[row, column]}" if counts else _short(fraction)
        dark = np.dot(colours(fraction)[:3], (0.299, 0.587, 0.114)) < 0.55
        axis.text(
            column, row, text, ha="center", va="center",
            fontsize=min(6.5, field / (0.7 + 0.45 * len(text))),
            color="white" if dark else canvas.INK,
        )  # fmt: skip


def _short(fraction: float) -> str:
    """A fraction in at most four characters: 1, .97, .01, <.01."""
    if fraction >= 0.995:
        return "1"
    return "<.01" if fraction < 0.005 else f"{fraction:.2f}"[1:]


def most_confused(matrix: Confusion, count: int = 10) -> list[tuple[str, str, int, float]]:
    """True label, predicted label, cells, fraction of the true label's; most cells first."""
    errors = matrix.counts[:, : len(matrix.types)].copy()
    np.fill_diagonal(errors, 0)
    types, fractions = matrix.types, matrix.fractions
    ranked = np.argsort(-errors, axis=None, kind="stable")[:count]
    return [
        (types[row], types[column], int(errors[row, column]), float(fractions[row, column]))
        for row, column in zip(*np.unravel_index(ranked, errors.shape), strict=True)
        if errors[row, column]
    ]
