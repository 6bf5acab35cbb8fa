"""Numbers of types in a panel: where the type is, but not on one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ROUNDS = 300
MOST = 300  # numbers; more could not be told apart wherever they stood
LETTER = 0.8  # width of a bold letter over the font's size, rather too much


def number_types(
    figure: Any, axis: Any, coordinates: np.ndarray, values: np.ndarray, shown: Sequence[str]
) -> None:
    """Write the number of each type (its place in ``shown``, from 1) into the panel.

    ``coordinates`` float32 (cells, 2), ``values`` objects (cells,).
    """
    groups = {number: coordinates[values == name] for number, name in enumerate(shown, 1)}
    groups = {number: points for number, points in groups.items() if len(points)}
    if groups:
        size = 7.5 if len(shown) <= 25 else 6
        anchors = np.array([middle(points) for points in groups.values()])
        lifted = _hidden(figure, axis, list(groups.values()), anchors, size)
        _write(figure, axis, anchors, [str(number) for number in groups], size, lifted)


def _hidden(
    figure: Any, axis: Any, groups: Sequence[np.ndarray], anchors: np.ndarray, size: float
) -> np.ndarray:
    """Which groups are so small in the picture that a number on them would hide them."""
    figure.get_layout_engine().execute(figure)
    scale = 72 / figure.dpi
    here = axis.transData.transform(anchors) * scale
    spread = [
        np.median(np.hypot(*(axis.transData.transform(points) * scale - anchor).T))
        for points, anchor in zip(groups, here, strict=True)
    ]
    return np.array(spread) < 0.5 * size


def name_points(figure: Any, axis: Any, points: np.ndarray, names: Sequence[str]) -> None:
    """Write a name above each of ``points``, float32 (n, 2), and mark the point."""
    if not len(points):
        return
    axis.plot(*points.T, "o", markersize=4, markerfacecolor="none", color="#222222")
    _write(figure, axis, points, list(names), 7.5, np.ones(len(points), bool))


def _write(
    figure: Any, axis: Any, anchors: np.ndarray, texts: Sequence[str], size: float,
    lifted: np.ndarray,
) -> None:  # fmt: skip
    from matplotlib.patheffects import withStroke

    figure.get_layout_engine().execute(figure)  # sets the scale that the axis will have
    here = axis.transData.transform(anchors) * 72 / figure.dpi
    wanted = here + np.column_stack([np.zeros(len(here)), lifted * size])
    letters = np.array([len(text) for text in texts])
    boxes = np.column_stack([letters * LETTER * size + 1, np.full(len(texts), size * 0.95)])
    offsets = apart(wanted, boxes) - here
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


def middle(points: np.ndarray) -> np.ndarray:
    """The point of a type nearest to its median: always where the type is."""
    centre = np.median(points, axis=0)
    return points[((points - centre) ** 2).sum(axis=1).argmin()]


def apart(centres: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Centres float (n, 2) moved as little as it takes until their boxes no longer overlap.

    ``boxes`` are widths and heights, float (n, 2). Gives up after ``ROUNDS`` rounds; leaves more
    than ``MOST`` centres where they are.
    """
    centres = centres.astype(float)
    if len(centres) > MOST:
        return centres
    room = (boxes[:, None] + boxes[None]) / 2
    # Two at one place part along the order of their numbers.
    side = np.where(np.arange(len(centres))[:, None] < np.arange(len(centres)), -1.0, 1.0)
    for _ in range(ROUNDS):
        between = centres[:, None] - centres[None]
        overlap = room - np.abs(between)
        meets = (overlap > 1e-6).all(axis=2)
        np.fill_diagonal(meets, False)
        if not meets.any():
            break
        direction = np.where(between == 0, side[..., None], np.sign(between))
        push = direction * (overlap / 2)
        along_x = overlap[..., 0] < overlap[..., 1]
        push[..., 0] = np.where(meets & along_x, push[..., 0], 0)
        push[..., 1] = np.where(meets & ~along_x, push[..., 1], 0)
        centres = centres + push.sum(axis=1) * 0.7
    return centres
