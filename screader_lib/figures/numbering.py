"""Numbers of types in a panel: where the type is, but not on one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

RARE = 6  # cells; a number would hide so few, so it stands above them
ROUNDS = 300
MOST = 300  # numbers; more could not be told apart wherever they stood
LETTER = 0.66  # width of a bold digit over the font's size


def number_types(
    figure: Any, axis: Any, coordinates: np.ndarray, values: np.ndarray, shown: Sequence[str]
) -> None:
    """Write the number of each type (its place in ``shown``, from 1) into the panel.

    ``coordinates`` float32 (cells, 2), ``values`` objects (cells,).
    """
    from matplotlib.patheffects import withStroke

    size = 7.5 if len(shown) <= 25 else 6
    groups = {
        number: coordinates[values == name] for number, name in enumerate(shown, 1)
    }  # fmt: skip
    groups = {number: points for number, points in groups.items() if len(points)}
    if not groups:
        return
    anchors = np.array([middle(points) for points in groups.values()])
    figure.get_layout_engine().execute(figure)  # sets the scale that the axis will have
    here = axis.transData.transform(anchors) * 72 / figure.dpi
    wanted = here + [(0, size if len(points) < RARE else 0) for points in groups.values()]
    letters = np.array([len(str(number)) for number in groups])
    boxes = np.column_stack([letters * LETTER * size + 1, np.full(len(groups), size * 0.95)])
    offsets = apart(wanted, boxes) - here
    outline = [withStroke(linewidth=1.8, foreground="white")]
    for number, anchor, offset in zip(groups, anchors, offsets, strict=True):
        far = np.hypot(*offset) > 1.3 * size
        axis.annotate(
            str(number), anchor, offset, textcoords="offset points", ha="center", va="center",
            fontsize=size, fontweight="bold", path_effects=outline, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "shrinkB": 0} if far else None,
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
