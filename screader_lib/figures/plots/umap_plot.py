"""UMAP panels: cells before and after reading, one colour per type throughout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from screader_lib.exchange.table import Categorical, Column
from screader_lib.figures.data.separation import Separation
from screader_lib.figures.drawing.canvas import (
    Numbers,
    Picture,
    Style,
    colour_map,
    drawing,
    joined,
    new_figure,
)
from screader_lib.figures.drawing.palettes import NOBODY, colours_of
from screader_lib.figures.drawing.point_labels import name_points, number_types
from screader_lib.figures.drawing.type_names import cleaned, printed, with_number

Place = Literal["outside right upper", "outside lower left"]
NUMBERED_FROM = 9  # types; with fewer, colours alone are told apart
MANY = 25  # types; beyond, panels are larger


@dataclass(frozen=True)
class Panel:
    """One projection: ``ids`` objects (cells,), ``coordinates`` float32 (cells, 2), ``values``.

    ``values`` colours the cells: objects (cells,) of labels, empty = none, or floats (cells,).
    ``named`` are rows to be named in the picture.
    """

    title: str
    ids: np.ndarray
    coordinates: np.ndarray
    values: np.ndarray
    separation: Separation | None = None
    named: Mapping[str, int] = field(default_factory=dict)


def colour_values(column: Column) -> np.ndarray:
    """A column as colours see it: objects of str for labels, float64 for numbers."""
    if isinstance(column, Categorical):
        return column.strings()
    if column.dtype.kind in "iuf":
        return column.astype(np.float64)
    return column.astype(str).astype(object)


def picture(
    panels: Sequence[Panel],
    style: Style | None = None,
    *,
    what: str = "type",
    types: Sequence[str] = (),
    points: str = "cell",
    seed: int = 0,
) -> Picture:
    """Draw panels side by side; ``what`` names the colouring column, ``points`` what they are.

    ``types`` are all labels that get a colour, so that a type has the same colour in pictures
    of files that lack some; those that no panel shows are left out of the legend.
    """
    style = style or Style()
    numeric = all(panel.values.dtype.kind == "f" for panel in panels)
    with drawing():
        if numeric:
            figure = _numeric(panels, style, what, seed)
        else:
            figure = _by_type(panels, style, what, types, seed)
        for axis, panel in zip(figure.axes, panels, strict=False):
            rows = list(panel.named.values())
            name_points(figure, axis, panel.coordinates[rows], list(panel.named))
    numbers = Numbers(("panel", points, "umap_1", "umap_2", what), _Rows(panels))
    return Picture(figure, numbers, _alt(panels, what, points, numeric))


def _by_type(
    panels: Sequence[Panel], style: Style, what: str, types: Sequence[str], seed: int
) -> Any:
    shown = sorted({str(value) for panel in panels for value in panel.values} - {""})
    colours = colours_of({*types, *shown}, style.palette)
    nobody = any((panel.values == "").any() for panel in panels)
    names = printed(shown)
    size, place, columns = _room(list(names.values()), len(panels))
    figure = new_figure(style, size, "compressed")
    axes = _axes(figure, panels)
    for axis, panel in zip(axes, panels, strict=True):
        _scatter(axis, panel, _paint(panel.values, colours), seed)
    handles = _handles(shown, names, colours, nobody)
    if handles:
        figure.legend(
            handles=handles, loc=place, ncols=columns, handletextpad=0.2, columnspacing=0.8,
            labelspacing=0.3, title=cleaned(what.replace("_", " ")), title_fontsize=8,
            alignment="left",
        )  # fmt: skip
    if len(shown) >= NUMBERED_FROM:
        for axis, panel in zip(axes, panels, strict=True):
            number_types(figure, axis, panel.coordinates, panel.values, shown)
    return figure


def _numeric(panels: Sequence[Panel], style: Style, what: str, seed: int) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values = np.concatenate([panel.values for panel in panels])
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    chosen = "" if style.palette == "safe" else style.palette
    scale = ScalarMappable(Normalize(low, high), colour_map(chosen or "viridis"))
    figure = new_figure(style, (3.5 * len(panels) + 0.8, 4.1), "compressed")
    axes = _axes(figure, panels)
    for axis, panel in zip(axes, panels, strict=True):
        colours = scale.to_rgba(panel.values)
        colours[~np.isfinite(panel.values)] = _rgba(NOBODY)
        _scatter(axis, panel, colours, seed)
    bar = figure.colorbar(scale, ax=list(axes), shrink=0.7)
    bar.set_label(cleaned(what))
    bar.outline.set_visible(False)
    return figure


def _axes(figure: Any, panels: Sequence[Panel]) -> np.ndarray:
    return figure.subplots(1, len(panels), squeeze=False)[0]


def _rgba(colour: str) -> tuple[float, float, float, float]:
    from matplotlib.colors import to_rgba

    return to_rgba(colour)


def _paint(values: np.ndarray, colours: Mapping[str, str]) -> np.ndarray:
    """One colour per cell, float (cells, 4)."""
    names, codes = np.unique(values.astype(str), return_inverse=True)
    table = np.array([_rgba(colours.get(str(name), NOBODY)) for name in names])
    return table[codes] if len(codes) else np.zeros((0, 4))


def point_area(cells: int) -> float:
    """Area of a point in points²: large for few cells, a speck for a million."""
    return 26 * min(1.0, 500 / max(1, cells)) ** 0.7


def _scatter(axis: Any, panel: Panel, colours: np.ndarray, seed: int) -> None:
    """Points in random order, so that no type hides another; cells without a type below."""
    order = np.random.default_rng(seed).permutation(len(colours))
    if panel.values.dtype.kind != "f":
        order = order[np.argsort(panel.values[order] != "", kind="stable")]
    x, y = panel.coordinates[order].T
    axis.scatter(
        x, y, s=point_area(len(x)), c=colours[order], linewidths=0, rasterized=True,
        marker="o" if len(x) < 50_000 else "s",
    )  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axis.set_title(cleaned(panel.title))
    axis.margins(0.04)
    axis.set_box_aspect(1)
    if panel.separation is not None:
        axis.set_xlabel(f"UMAP 1\n{panel.separation}")


def _room(names: Sequence[str], panels: int) -> tuple[tuple[float, float], Place, int]:
    """Size of the figure in inches, where the legend goes, and its columns.

    Many types beside several panels would make the picture too wide for a page.
    """
    side = 3.5 if len(names) <= MANY else 5.2 if panels <= 2 else 4.0
    column = 0.5 + 0.062 * (max(map(len, names), default=0) + 3)
    if len(names) <= MANY or panels == 1:
        columns = max(1, math.ceil((len(names) + 1) * 0.16 / side))
        size = (side * panels + columns * column, side + 0.6)
        return size, "outside right upper", columns
    columns = max(1, int(side * panels / column))
    size = (side * panels, side + 0.8 + 0.16 * math.ceil(len(names) / columns))
    return size, "outside lower left", columns


def _handles(
    shown: Sequence[str], names: Mapping[str, str], colours: Mapping[str, str], nobody: bool
) -> list[Any]:
    from matplotlib.lines import Line2D

    numbered = len(shown) >= NUMBERED_FROM
    entries = [
        (with_number(names[name], f"{n}", before=True) if numbered else names[name], colours[name])
        for n, name in enumerate(shown, 1)
    ]
    if nobody:
        entries.append(("(none)", NOBODY))
    return [
        Line2D([], [], linestyle="", marker="o", markersize=5.5, color=colour,
               markeredgewidth=0, label=label)
        for label, colour in entries
    ]  # fmt: skip


@dataclass(frozen=True)
class _Rows:
    """A row per cell and panel, made when it is asked for."""

    panels: Sequence[Panel]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for panel in self.panels:
            for cell, (x, y), value in zip(
                panel.ids, panel.coordinates.tolist(), panel.values.tolist(), strict=True
            ):
                # Nine digits give the same float32 again.
                yield (panel.title, cell, f"{x:.9g}", f"{y:.9g}", value)


def _alt(panels: Sequence[Panel], what: str, points: str, numeric: bool) -> str:
    cells = max(len(panel.ids) for panel in panels)
    groups = len({str(value) for panel in panels for value in panel.values} - {""})
    colouring = f"coloured by {what}" + ("" if numeric else f" ({groups} values)")
    parts = [f"UMAP of {cells:,} {points}s, {colouring}"]
    for panel in panels:
        if panel.separation is not None:
            parts.append(f"{panel.title}: {panel.separation}")
    return joined(parts)
