"""Labels in a scatter plot: at the cells of their type, but not on top of one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_ROUNDS = 300
MAX_LABELS = 300  # with more, none could be read wherever they stood
LETTER_WIDTH = 0.8  # of a bold letter over the font size, rather too wide


def number_types(
    figure: Any, axis: Any, coordinates: np.ndarray, values: np.ndarray, types: Sequence[str]
) -> None:
    """Write the number of each type (its index in ``types``, from 1) into the panel.

    ``coordinates`` float32 (cells, 2), ``values`` objects (cells,).
    """
    groups = {number: coordinates[values == name] for number, name in enumerate(types, 1)}
    groups = {number: points for number, points in groups.items() if len(points)}
    if not groups:
        return
    size = 7.5 if len(types) <= 25 else 6
    anchors = np.array([central_point(points) for points in groups.values()])
    figure.get_layout_engine().execute(figure)  # sets the scale of the axis
    # A number on a small group of points would hide it: it goes above.
    positions = _in_points(figure, axis, anchors)
    spread = np.array([
        np.median(np.hypot(*(_in_points(figure, axis, points) - position).T))
        for points, position in zip(groups.values(), positions, strict=True)
    ])  # fmt: skip
    _write(figure, axis, anchors, [str(number) for number in groups], size, spread < size / 2)


def name_points(figure: Any, axis: Any, points: np.ndarray, names: Sequence[str]) -> None:
    """Mark each of ``points``, float32 (n, 2), and write its name above it."""
    if len(points):
        axis.plot(*points.T, "o", markersize=4, markerfacecolor="none", color="#222222")
        _write(figure, axis, points, list(names), 7.5, np.ones(len(points), bool))


def central_point(points: np.ndarray) -> np.ndarray:
    """The one of ``points`` nearest to their median."""
    centre = np.median(points, axis=0)
    return points[((points - centre) ** 2).sum(axis=1).argmin()]


def _in_points(figure: Any, axis: Any, coordinates: np.ndarray) -> np.ndarray:
    """Positions on the page, in units of 1/72 inch."""
    return axis.transData.transform(coordinates) * 72 / figure.dpi


def _write(
    figure: Any, axis: Any, anchors: np.ndarray, texts: Sequence[str], size: float,
    above: np.ndarray,
) -> None:  # fmt: skip
    from matplotlib.patheffects import withStroke

    figure.get_layout_engine().execute(figure)  # sets the final scale of the axis
    positions = _in_points(figure, axis, anchors)
    targets = positions + np.column_stack([np.zeros(len(positions)), above * size])
    widths = np.array([len(text) for text in texts]) * LETTER_WIDTH * size + 1
    boxes = np.column_stack([widths, np.full(len(texts), size * 0.95)])
    offsets = without_overlap(targets, boxes) - positions
    outline = [withStroke(linewidth=1.8, foreground="white")]
    for text, anchor, offset in zip(texts, anchors, offsets, strict=True):
        if np.hypot(*offset) > 1.3 * size:
            axis.annotate(
                "", anchor, offset, textcoords="offset points", annotation_clip=False, zorder=4,
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
        axis.annotate(  # above all lines
            text, anchor, offset, textcoords="offset points", ha="center", va="center", zorder=5,
            fontsize=size, fontweight="bold", path_effects=outline, annotation_clip=False,
        )  # fmt: skip


def without_overlap(centres: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Centres float (n, 2), moved just far enough that their boxes no longer overlap.

    ``boxes`` are widths and heights, float (n, 2). Gives up after ``MAX_ROUNDS`` rounds; leaves
    more than ``MAX_LABELS`` centres where they are.
    """
    centres = centres.astype(float)
    if len(centres) > MAX_LABELS:
        return centres
    room = (boxes[:, None] + boxes[None]) / 2
    # Two at the same position part in the order of their numbers.
    order = np.arange(len(centres))
    side = np.where(order[:, None] < order, -1.0, 1.0)[..., None]
    for _ in range(MAX_ROUNDS):
        between = centres[:, None] - centres[None]
        overlap = room - np.abs(between)
        meets = (overlap > 1e-6).all(axis=2)
        np.fill_diagonal(meets, False)
        if not meets.any():
            break
        push = np.where(between == 0, side, np.sign(between)) * (overlap / 2)
        along_x = overlap[..., 0] < overlap[..., 1]  # the shorter way out
        push *= np.stack([meets & along_x, meets & ~along_x], axis=2)
        centres = centres + push.sum(axis=1) * 0.7
    return centres
