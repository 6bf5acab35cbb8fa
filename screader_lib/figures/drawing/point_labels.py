"""Labels in a scatter plot: at the cells of their type, but not on top of one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MAX_ROUNDS = 300
MAX_LABELS = 300  # with more, none could be read wherever they stood
LETTER_WIDTH = 0.8  # of a bold letter over the font size, rather too wide


def label_types(
    figure: Any, axis: Any, coordinates: np.ndarray, values: np.ndarray, texts: Mapping[str, str]
) -> None:
    """Write the text of each type into the panel, at its points.

    ``coordinates`` float32 (cells, 2), ``values`` objects (cells,) of types; ``texts`` by type.
    """
    groups = {text: coordinates[values == name] for name, text in texts.items()}
    groups = {text: points for text, points in groups.items() if len(points)}
    if not groups:
        return
    size = _font_size() * (0.83 if len(texts) <= 25 else 0.67)
    anchors = np.array([central_point(points) for points in groups.values()])
    figure.get_layout_engine().execute(figure)  # sets the scale of the axis
    # A text on a small group of points would hide it: it goes above. Numbers hide less than names.
    positions = _in_points(figure, axis, anchors)
    spread = np.array([
        np.median(np.hypot(*(_in_points(figure, axis, points) - position).T))
        for points, position in zip(groups.values(), positions, strict=True)
    ])  # fmt: skip
    is_small = spread < size * (0.5 if max(map(len, groups)) < 4 else 1.2)
    _write(figure, axis, anchors, list(groups), size, is_small * (1.8 * spread + 0.6 * size))


def _font_size() -> float:
    from matplotlib import rcParams

    return float(rcParams["font.size"])


def name_points(figure: Any, axis: Any, points: np.ndarray, names: Sequence[str]) -> None:
    """Mark each of ``points``, float32 (n, 2), and write its name above it."""
    if len(points):
        size = _font_size() * 0.83
        axis.plot(*points.T, "o", markersize=4, markerfacecolor="none", color="#222222")
        _write(figure, axis, points, list(names), size, np.full(len(points), size))


def central_point(points: np.ndarray) -> np.ndarray:
    """The one of ``points`` nearest to their median."""
    centre = np.median(points, axis=0)
    return points[((points - centre) ** 2).sum(axis=1).argmin()]


def _in_points(figure: Any, axis: Any, coordinates: np.ndarray) -> np.ndarray:
    """Positions on the page, in units of 1/72 inch."""
    return axis.transData.transform(coordinates) * 72 / figure.dpi


def _write(
    figure: Any, axis: Any, anchors: np.ndarray, texts: Sequence[str], size: float,
    lift: np.ndarray,
) -> None:  # fmt: skip
    """``lift`` float (n,): how far above its anchor a text is, in units of 1/72 inch."""
    from matplotlib.patheffects import Stroke

    figure.get_layout_engine().execute(figure)  # sets the final scale of the axis
    positions = _in_points(figure, axis, anchors)
    targets = positions + np.column_stack([np.zeros(len(positions)), lift])
    widths = np.array([len(text) for text in texts]) * LETTER_WIDTH * size + 1
    heights = [size * (0.95 if text.isdigit() else 1.25) for text in texts]
    boxes = np.column_stack([widths, heights])
    offsets = without_overlap(targets, boxes) - positions
    # The outline is a drawing of its own, so that the text in front of it stays text in a PDF.
    outline = [Stroke(linewidth=1.8, foreground="white")]
    for text, anchor, offset, lift_of_text in zip(texts, anchors, offsets, lift, strict=True):
        if np.hypot(*offset) > 1.3 * size + lift_of_text:
            axis.annotate(
                "", anchor, offset, textcoords="offset points", annotation_clip=False, zorder=4,
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
        for order, effects in ((5, outline), (6, None)):  # above all lines
            axis.annotate(
                text, anchor, offset, textcoords="offset points", ha="center", va="center",
                zorder=order, fontsize=size, fontweight="bold", path_effects=effects,
                annotation_clip=False,
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
