"""Labels in a scatter plot: at the cells of their type, but not on top of one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MAX_ROUNDS = 300
MAX_LABELS = 300  # with more, none could be read wherever they stood
MAX_POINTS = 200  # of a group, looked at
HIDING, OVERLAP = 7.0, 40.0  # costs of all points of a group, of a whole label; 1: a letter's move


def label_types(
    figure: Any, axis: Any, coordinates: np.ndarray, values: np.ndarray, texts: Mapping[str, str]
) -> None:
    """Write the text of each type into the panel, at its points.

    ``coordinates`` float32 (cells, 2), ``values`` objects (cells,) of types; ``texts`` by type.
    """
    groups = {text: coordinates[values == name] for name, text in texts.items()}
    groups = {text: points for text, points in groups.items() if len(points)}
    if groups:
        size = _font_size() * (0.83 if len(texts) <= 25 else 0.67)
        _write(figure, axis, groups, size)


def _font_size() -> float:
    from matplotlib import rcParams

    return float(rcParams["font.size"])


def name_points(figure: Any, axis: Any, points: np.ndarray, names: Sequence[str]) -> None:
    """Mark each of ``points``, float32 (n, 2), and write its name beside it."""
    if len(points):
        axis.plot(*points.T, "o", markersize=4, markerfacecolor="none", color="#222222")
        groups = {name: point[None] for name, point in zip(names, points, strict=True)}
        _write(figure, axis, groups, _font_size() * 0.83)


def central_point(points: np.ndarray) -> np.ndarray:
    """The one of ``points`` nearest to their median."""
    centre = np.median(points, axis=0)
    return points[((points - centre) ** 2).sum(axis=1).argmin()]


def _write(figure: Any, axis: Any, groups: Mapping[str, np.ndarray], size: float) -> None:
    """Write the name of each group of points, float32 (n, 2), in letters of ``size`` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patheffects import Stroke
    from matplotlib.textpath import TextPath

    figure.get_layout_engine().execute(figure)  # sets the final scale of the axis
    to_page = axis.transData.transform  # in units of 1/72 inch once scaled
    scale = 72 / figure.dpi
    anchors = np.array([central_point(points) for points in groups.values()])
    positions = to_page(anchors) * scale
    sampled = [to_page(points[:: len(points) // MAX_POINTS + 1]) * scale
               for points in groups.values()]  # fmt: skip
    bold = FontProperties(weight="bold")
    written = [TextPath((0, 0), text, size=size, prop=bold).get_extents() for text in groups]
    heights = [size * (0.95 if text.isdigit() else 1.25) for text in groups]
    boxes = np.column_stack([[max(0, one.width) + 2 for one in written], heights])
    page = axis.get_window_extent().get_points() * scale
    centres = without_overlap(beside(positions, boxes, sampled, page, size), boxes)
    # The outline is a drawing of its own, so that the text in front of it stays text in a PDF.
    outline = [Stroke(linewidth=1.8, foreground="white")]
    gaps = np.hypot(*np.maximum(np.abs(centres - positions) - boxes / 2, 0).T)
    for text, anchor, offset, gap in zip(groups, anchors, centres - positions, gaps, strict=True):
        if gap > 1.4 * size:
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


def beside(
    anchors: np.ndarray,
    boxes: np.ndarray,
    groups: Sequence[np.ndarray],
    page: np.ndarray,
    size: float,
) -> np.ndarray:
    """Centres, float (n, 2), of labels that hide few points and few of one another.

    ``anchors`` float (n, 2) and ``groups``, floats (points, 2), are those of each label, ``boxes``
    (n, 2) their widths and heights, ``page`` (2, 2) the corners that they should stay in. A label
    lies on a large group, and next to a small one that it would hide; ``size`` is that of a letter.
    Labels of large groups come first; no search for more than ``MAX_LABELS``.
    """
    centres = anchors.astype(float)
    if len(anchors) > MAX_LABELS:
        return centres
    points = np.concatenate(groups)
    weight = np.concatenate([np.full(len(group), 1 / len(group)) for group in groups])
    turns = np.pi / 2 + np.linspace(0, 2 * np.pi, 12, endpoint=False)  # above is tried first
    ways = np.column_stack([np.cos(turns), np.sin(turns)])
    gaps = np.array([0.3, 0.8, 1.5, 2.5, 4, 6, 9])
    settled: list[int] = []
    for label in sorted(range(len(groups)), key=lambda one: -len(groups[one])):
        half = boxes[label] / 2
        around = [ways * (half + gap * size) for gap in gaps]
        tried = anchors[label] + np.concatenate([np.zeros((1, 2)), *around])
        distance = np.repeat([0.0, *gaps], [1, *[len(ways)] * len(gaps)])
        hidden = (np.abs(points - tried[:, None]) < half).all(axis=2) @ weight
        room = half + boxes[settled] / 2
        free = room - np.abs(centres[settled] - tried[:, None])
        meets = np.clip(free, 0, None).prod(axis=2).sum(axis=1) / boxes[label].prod()
        outside = np.abs(tried - page.mean(axis=0)) + half - np.ptp(page, axis=0) / 2
        beyond = np.clip(outside, 0, None).sum(axis=1) / size
        cost = distance + HIDING * hidden + OVERLAP * meets + 3 * beyond
        centres[label] = tried[cost.argmin()]
        settled.append(label)
    return centres


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
