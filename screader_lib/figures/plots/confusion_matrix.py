"""Confusion matrix: which types are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.figures.data.prediction_data import (
    BACKED_OFF,
    UNASSIGNED,
    PredictionData,
    distinct_titles,
)
from screader_lib.figures.drawing.canvas import (
    GRID,
    INK,
    Numbers,
    Picture,
    Style,
    colour_map,
    drawing,
    joined,
    new_figure,
)
from screader_lib.figures.drawing.type_names import printed, with_number
from screader_lib.label_metrics import confusion_matrix

HANDLINGS = ("column", "call", "omit")
ORDERS = ("similarity", "name", "size")
READABLE = 22  # up to so many types, shares are printed into the fields


@dataclass(frozen=True)
class Confusion:
    """One method's matrix: ``counts`` int64 (types, types and ``more``).

    ``more`` are columns of cells that are called by no type: unassigned, backed-off.
    """

    title: str
    types: list[str]
    counts: np.ndarray
    more: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [*self.types, *self.more]

    @property
    def shares(self) -> np.ndarray:
        """Counts over the row's cells, float64; zero rows stay zero."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, total, out=np.zeros(self.counts.shape), where=total > 0)

    @property
    def accuracy(self) -> float:
        """Share of the counted cells on the diagonal."""
        return float(self.counts.trace() / max(1, self.counts.sum()))


def tabulate(
    calls: Sequence[PredictionData], *, unassigned: str = "column", order: str = "similarity"
) -> list[Confusion]:
    """The matrices of several files over the same types, in the same order.

    ``unassigned`` says what becomes of cells that are called by no type: columns of their own,
    their most probable label, or nothing. ScReaderError where a file has no true labels.
    """
    for one in calls:
        one.need_true()
    counted = [_rows(one, unassigned) for one in calls]
    types = sorted({str(label) for pair in counted for side in pair for label in side})
    types = [label for label in types if not label.startswith(_NO_TYPE)]
    more = [one for one in _MORE if any(_NO_TYPE + one in predicted for _, predicted in counted)]
    columns = [*types, *(_NO_TYPE + one for one in more)]
    matrices = []
    for true, predicted in counted:
        matrices.append(confusion_matrix(true.tolist(), predicted.tolist(), columns)[: len(types)])
    places = _order(order, types, matrices, calls)
    width = [*places, *range(len(types), len(columns))]
    return [
        Confusion(
            title, [types[place] for place in places], matrix[np.ix_(places, width)], tuple(more)
        )
        for title, matrix in zip(distinct_titles(calls), matrices, strict=True)
    ]


_NO_TYPE = "\0"  # no type's name begins so
_MORE = (UNASSIGNED, BACKED_OFF)


def _rows(calls: PredictionData, unassigned: str) -> tuple[np.ndarray, np.ndarray]:
    predicted = calls.predicted
    used = calls.known
    if unassigned == "column":
        nothing = np.where(calls.backed_off, _NO_TYPE + BACKED_OFF, _NO_TYPE + UNASSIGNED)
        predicted = np.where(calls.assigned, predicted, nothing.astype(object))
    elif unassigned == "omit":
        used = used & calls.assigned
    return calls.true[used], predicted[used]


def _order(
    order: str, types: list[str], matrices: list[np.ndarray], calls: Sequence[PredictionData]
) -> list[int]:
    if order == "size":
        sizes = np.sum([matrix.sum(axis=1) for matrix in matrices], axis=0)
        return sorted(range(len(types)), key=lambda place: (-sizes[place], types[place]))
    if order == "name" or len(types) < 3:
        return list(range(len(types)))
    return _alike(np.sum([_mean_probability(one, types) for one in calls], axis=0))


def _mean_probability(calls: PredictionData, types: list[str]) -> np.ndarray:
    """Mean probability of each type over the cells of each true type, (types, types).

    Probabilities tell which types are alike even where every call is right.
    """
    place = {label: number for number, label in enumerate(types)}
    columns = [number for number, label in enumerate(calls.labels) if label in place]
    targets = [place[calls.labels[number]] for number in columns]
    result = np.zeros((len(types), len(types)))
    for label in np.unique(calls.true[calls.known].astype(str)):
        if label in place:
            mean = calls.probability[calls.true == label].mean(axis=0, dtype=np.float64)
            result[place[label], targets] = mean[columns]
    return result


def _alike(similarity: np.ndarray) -> list[int]:
    """An order in which neighbours are alike: leaves of the average-linkage tree."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    both = similarity + similarity.T
    upper = np.triu_indices(len(both), 1)
    close = both[upper]
    # Square roots: one call in a hundred should weigh against none at all.
    distance = 1 - np.sqrt(close / max(float(close.max()), 1e-12))
    leaves = leaves_list(linkage(distance, "average", optimal_ordering=True))
    return [int(leaf) for leaf in (leaves if leaves[0] < leaves[-1] else leaves[::-1])]


def picture(
    matrices: Sequence[Confusion], style: Style | None = None, *, counts: bool = False
) -> Picture:
    """Draw matrices side by side, coloured by the share of the true type's cells.

    ``counts`` prints the number of cells into the fields instead of the share.
    """
    style = style or Style()
    types = matrices[0].types
    with drawing():
        figure = new_figure(style, _size(len(types), len(matrices), counts), "compressed")
        axes = figure.subplots(1, len(matrices), sharey=True, squeeze=False)[0]
        colours = colour_map(style.palette or "Blues")
        for number, (axis, matrix) in enumerate(zip(axes, matrices, strict=True)):
            image = _draw(axis, matrix, colours, counts)
            if number == 0:
                axis.set_ylabel("true type")
        bar = figure.colorbar(image, ax=list(axes), shrink=min(1.0, 8 / max(8, len(types))))
        bar.set_label("share of the true type's cells")
        bar.outline.set_visible(False)
    return Picture(figure, _numbers(matrices), _alt(matrices))


def _field(types: int, counts: bool) -> float:
    """Side of a field in inches."""
    if types <= READABLE:
        return 0.42 if types <= 10 else 0.36
    return 0.2 if counts else 0.155


def _size(types: int, panels: int, counts: bool) -> tuple[float, float]:
    side = max(1.6, _field(types, counts) * types)
    return (2.2 + panels * (side + 0.4) + 0.9, 2.3 + side)


def _draw(axis: Any, matrix: Confusion, colours: Any, counts: bool) -> Any:
    shares = matrix.shares
    rows, columns = shares.shape
    image = axis.imshow(shares, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
    small = 8 if len(matrix.types) <= READABLE else 6
    names = printed(matrix.types)
    cells = matrix.counts.sum(axis=1)
    titles = [with_number(names[t], f"{c:,}") for t, c in zip(names, cells, strict=True)]
    axis.set_yticks(range(rows), titles)
    headings = [names.get(name, name) for name in matrix.columns]
    axis.set_xticks(range(columns), headings, rotation=90)
    axis.tick_params(length=0, labelsize=small)
    axis.set_xlabel("predicted type")
    axis.set_title(
        f"{matrix.title}: {_percent(matrix.accuracy)} of {matrix.counts.sum():,} cells right"
    )
    axis.spines[:].set_visible(False)
    for place in range(rows + 1):
        axis.axhline(place - 0.5, color=GRID, linewidth=0.4)
    for place in range(columns + 1):
        axis.axvline(place - 0.5, color=GRID, linewidth=0.4)
    if columns > rows:
        axis.axvline(rows - 0.5, color=INK, linewidth=1)
    if counts or rows <= READABLE:
        _print_fields(axis, matrix, image, counts)
    return image


def _print_fields(axis: Any, matrix: Confusion, image: Any, counts: bool) -> None:
    shares = matrix.shares
    few = len(matrix.types) <= READABLE
    for row, column in np.argwhere(matrix.counts > 0):
        share = shares[row, column]
        text = f"{matrix.counts[row, column]}" if counts else _short(share)
        size = 6.5 if few else min(5.5, 20 / len(text))
        red, green, blue, _ = image.cmap(image.norm(share))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        axis.text(
            column, row, text, ha="center", va="center", fontsize=size,
            color="white" if dark else INK,
        )  # fmt: skip


def _short(share: float) -> str:
    """A share in at most three letters: 1, .97, .01, <.01."""
    if share >= 0.995:
        return "1"
    return "<.01" if share < 0.005 else f"{share:.2f}"[1:]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _numbers(matrices: Sequence[Confusion]) -> Numbers:
    rows: list[tuple] = []
    for matrix in matrices:
        shares = matrix.shares
        for row, true in enumerate(matrix.types):
            for column, predicted in enumerate(matrix.columns):
                count = int(matrix.counts[row, column])
                rows.append((matrix.title, true, predicted, count, float(shares[row, column])))
    return Numbers(("method", "true", "predicted", "cells", "share"), rows)


def most_confused(matrix: Confusion, most: int = 10) -> list[tuple[str, str, int, float]]:
    """True type, called type, cells and share of the true type's cells; most cells first."""
    off = matrix.counts[:, : len(matrix.types)].copy()
    np.fill_diagonal(off, 0)
    pairs = [(int(off[row, column]), row, column) for row, column in np.argwhere(off > 0)]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    shares = matrix.shares
    return [
        (matrix.types[row], matrix.types[column], count, float(shares[row, column]))
        for count, row, column in pairs[:most]
    ]


def _alt(matrices: Sequence[Confusion]) -> str:
    parts = [f"Confusion matrix of {len(matrices[0].types)} types"]
    for matrix in matrices:
        part = f"{matrix.title}: {_percent(matrix.accuracy)} of {matrix.counts.sum():,} cells right"
        worst = most_confused(matrix, 1)
        if worst:
            true, predicted, cells, _ = worst[0]
            part += f"; most confused: {cells} cells of {true} called {predicted}"
        parts.append(part)
    return joined(parts)
