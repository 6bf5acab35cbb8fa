"""UMAP panels: cells before and after reading, one colour per type throughout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.figures.data.cell_vectors import Vectors, mean_gene_embeddings, stored_vectors
from screader_lib.figures.data.panels import Panel, PanelRows, SavedCoordinates
from screader_lib.figures.data.prediction_data import PredictionData, distinct_titles
from screader_lib.figures.data.projection import NEIGHBOURS, project, separation, sketch_of
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.palettes import UNLABELLED, colours_of
from screader_lib.figures.drawing.point_labels import label_types, name_points
from screader_lib.figures.drawing.type_names import display_names, one_line, with_number
from screader_lib.reporting import SILENT, Reporter

LegendPosition = Literal["outside right upper", "outside lower left"]
Labels = Literal["numbers", "names"]
NUMBERED_FROM = 9  # types; with fewer, colours alone can be told apart
MANY_TYPES = 25  # beyond, panels are larger
MAX_TYPES = 300
ACROSS, MAX_PARTS = 4, 24  # panels beside each other; of one column's values
BEHIND = "#E4E4E4"
SIDE = 3.5  # inches of a panel
BEFORE = "before reading (mean gene embedding)"


@dataclass(frozen=True)
class Colouring:
    """The column that colours the cells, and all its labels, sorted; none for numbers."""

    column: str
    types: list[str]


def colouring(predictions: Sequence[PredictionData], column: str | None) -> Colouring:
    """By ``column``; by default the true labels where all files have some, else the predicted.

    ScReaderError where a file lacks the column, or it has numbers in one file and labels in
    another.
    """
    if column is None:
        known = all(one.known.any() for one in predictions)
        column = "true_label" if known else "predicted_label"
    columns = [one.column(column) for one in predictions]
    if len({values.dtype.kind for values in columns}) > 1:
        raise ScReaderError(f"column {column!r} has labels in one file and numbers in another.")
    values = np.concatenate(columns)
    check_number_of_colours(values, column)
    if values.dtype.kind == "f":
        return Colouring(column, [])
    types = {str(value) for value in values} - {""}
    if column in ("true_label", "predicted_label"):
        types.update(label for one in predictions for label in one.all_labels)
    return Colouring(column, sorted(types))


def check_number_of_colours(values: np.ndarray, column: str) -> None:
    """ScReaderError where a column has more different labels than a figure can show."""
    if values.dtype.kind != "f" and (count := len(set(values.tolist()))) > MAX_TYPES:
        raise ScReaderError(
            f"column {column!r} has {count:,} different values, at most {MAX_TYPES} can be "
            "coloured.",
            remedy="Choose a column of groups or of numbers.",
        )


def panels(
    predictions: Sequence[PredictionData],
    colours: Colouring,
    *,
    cells: ExchangeFile | None = None,
    seed: int = 0,
    neighbours: int = NEIGHBOURS,
    saved: SavedCoordinates | None = None,
    reporter: Reporter = SILENT,
) -> list[Panel]:
    """One panel per file; with ``cells``, first one of the first file's cells before reading.

    ``saved`` coordinates are used instead of computing them. Separation is measured by the
    colours where they are labels, else by the types. Without ``saved`` coordinates, ScReaderError
    where a file has no vectors; with them, separation is then not measured.
    """
    spaces: list[tuple[str, PredictionData, Vectors | None]] = []
    if cells is not None:
        first = predictions[0]
        spaces.append((BEFORE, first, mean_gene_embeddings(cells, first.ids, first.name)))
    for one, title in zip(predictions, distinct_titles(predictions), strict=True):
        needed = one.has_vectors or saved is None
        spaces.append((f"after {title}", one, stored_vectors(one.vectors) if needed else None))
    result = []
    with reporter.progress("UMAP", len(spaces), "panels") as advance:
        for title, one, vectors in spaces:
            values = labels = one.column(colours.column)
            if values.dtype.kind == "f":
                labels = one.true if one.known.any() else one.predicted
            sketch = None
            if saved is not None:
                coordinates = saved.of_panel(title, one.ids, single=len(spaces) == 1)
            elif vectors is not None:
                sketch = sketch_of(vectors.rows)
                coordinates = project(vectors, seed, neighbours)
            separated = None if vectors is None else separation(vectors, labels, seed)
            result.append(Panel(title, one.ids, coordinates, values, separated, sketch=sketch))
            advance(1)
    return result


def split(panel: Panel, by: np.ndarray, column: str) -> list[Panel]:
    """A panel for each value of ``by``, objects (cells,): its cells, in front of all others.

    ScReaderError where the ``column`` holds numbers or too many values.
    """
    parts = sorted({*by.tolist()} - {""}) if by.dtype.kind != "f" else []
    if not 0 < len(parts) <= MAX_PARTS:
        raise ScReaderError(
            f"column {column!r} has no 1 to {MAX_PARTS} different labels, a panel for each.",
            remedy="Choose a column of a few groups, such as donors.",
        )
    return [
        Panel(
            f"{name} ({int(mine.sum()):,})", panel.ids[mine], panel.coordinates[mine],
            panel.values[mine], behind=panel.coordinates[~mine], sketch=panel.sketch,
        )
        for name, mine in ((name, by == name) for name in parts)
    ]  # fmt: skip


def picture(
    panels: Sequence[Panel],
    style: canvas.Style = canvas.DEFAULT_STYLE,
    *,
    column: str = "type",
    types: Sequence[str] = (),
    unit: str = "cell",
    seed: int = 0,
    labels: Labels = "numbers",
) -> canvas.Picture:
    """Draw panels side by side, coloured by ``column``; a point is a ``unit``: cell or gene.

    ``types`` are all labels that get a colour, so that a type has the same colour in figures
    of files that lack some; those that no panel shows are left out of the legend. With ``labels``
    "names", types are named at their points instead of in a legend.
    """
    numeric = all(panel.values.dtype.kind == "f" for panel in panels)
    with canvas.drawing(style):
        if numeric:
            figure = _by_number(panels, style, column, seed)
        else:
            figure = _by_type(panels, style, column, types, seed, labels)
        for axis, panel in zip(figure.axes, panels, strict=False):
            rows = list(panel.named.values())
            name_points(figure, axis, panel.coordinates[rows], list(panel.named))
    alt = [f"UMAP of {max(len(panel.ids) for panel in panels):,} {unit}s, coloured by {column}"]
    alt[0] += "" if numeric else f" ({len(_types_in(panels))} values)"
    alt += [f"{panel.title}: {panel.separation}" for panel in panels if panel.separation]
    alt += [_of_sketch(sketch) for sketch in {panel.sketch for panel in panels} if sketch]
    columns = ("panel", unit, "umap_1", "umap_2", column)
    return canvas.Picture.of(figure, columns, PanelRows(panels), alt)


def _of_sketch(cells: int) -> str:
    return f"UMAP of a sample of {cells:,}, others placed among it"


def _types_in(panels: Sequence[Panel]) -> list[str]:
    return sorted({str(value) for panel in panels for value in panel.values} - {""})


def _by_type(
    panels: Sequence[Panel],
    style: canvas.Style,
    column: str,
    types: Sequence[str],
    seed: int,
    labels: Labels,
) -> Any:
    from matplotlib.colors import to_rgba_array
    from matplotlib.lines import Line2D

    drawn = _types_in(panels)
    colours = colours_of({*types, *drawn}, style.palette)
    names = display_names(drawn)
    numbered = len(drawn) >= NUMBERED_FROM
    entries = [
        (with_number(names[name], f"{n}", before=True) if numbered else names[name], colours[name])
        for n, name in enumerate(drawn, 1)
    ]
    if any((panel.values == "").any() for panel in panels):
        entries.append(("(none)", UNLABELLED))
    if labels == "names":
        entries = []
    shown = [label for label, _ in entries]
    size, side, position, legend_columns = _layout(shown, len(panels), style.width)
    figure = canvas.new_figure(style, size, "compressed")
    axes = _axes(figure, len(panels), style.width)
    for axis, panel in zip(axes, panels, strict=True):
        cell_colours = to_rgba_array([colours.get(name, UNLABELLED) for name in panel.values])
        _scatter(axis, panel, cell_colours, seed, side)
    if entries:
        letters = canvas.require("matplotlib").rcParams["legend.fontsize"]
        handles = [
            Line2D([], [], linestyle="", marker="o", markersize=0.69 * letters, color=colour,
                   markeredgewidth=0, label=label)
            for label, colour in entries
        ]  # fmt: skip
        figure.legend(
            handles=handles, loc=position, ncols=legend_columns,
            handletextpad=0.2, columnspacing=0.8, labelspacing=0.3,
            title=one_line(column.replace("_", " ")), alignment="left",
        )  # fmt: skip
    written = {name: names[name] for name in drawn}
    if labels == "numbers":
        written = {name: f"{number}" for number, name in enumerate(drawn, 1) if numbered}
    for axis, panel in zip(axes, panels, strict=True):
        label_types(figure, axis, panel.coordinates, panel.values, written)
    return figure


def _by_number(panels: Sequence[Panel], style: canvas.Style, column: str, seed: int) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values = [np.ma.masked_invalid(panel.values) for panel in panels]
    known = np.ma.concatenate(values).compressed()
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    palette = style.palette if style.palette not in ("", "safe") else "viridis"
    colours = canvas.colour_map(palette).with_extremes(bad=UNLABELLED)
    scale = ScalarMappable(Normalize(low, high), colours)
    across, down = _grid(len(panels), style.width)
    size = (SIDE * across + 0.8, (SIDE + 0.6) * down)
    side = SIDE if style.width is None else SIDE * style.width / size[0]
    figure = canvas.new_figure(style, size, "compressed")
    axes = _axes(figure, len(panels), style.width)
    for axis, panel, masked in zip(axes, panels, values, strict=True):
        _scatter(axis, panel, scale.to_rgba(masked), seed, side)
    bar = figure.colorbar(scale, ax=list(axes), shrink=0.7)
    bar.set_label(one_line(column))
    bar.outline.set_visible(False)
    return figure


def _grid(panels: int, width: float | None) -> tuple[int, int]:
    """How many panels stand beside and below each other."""
    across = min(panels, 2 if width is not None and width < canvas.WIDE else ACROSS)
    return across, math.ceil(panels / across)


def _axes(figure: Any, panels: int, width: float | None) -> list[Any]:
    across, down = _grid(panels, width)
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axis in axes[panels:]:
        axis.remove()
    return axes[:panels]


def _scatter(axis: Any, panel: Panel, colours: np.ndarray, seed: int, side: float) -> None:
    """Points in random order, so that no type hides another; cells without a type at the back.

    The more points, the smaller they are and the more of those behind them shows; ``side`` is the
    panel's, in inches.
    """
    order = np.random.default_rng(seed).permutation(len(colours))
    if panel.values.dtype.kind != "f":
        order = order[np.argsort(panel.values[order] != "", kind="stable")]
    x, y = panel.coordinates[order].T
    count = max(1, len(x) + (0 if panel.behind is None else len(panel.behind)))
    area = 26 * min(1.0, 500 / count) ** 0.7  # in points²: a speck for a million cells
    if panel.behind is not None:
        axis.scatter(
            *panel.behind.T,
            s=area * (side / SIDE) ** 2,
            color=BEHIND,
            linewidths=0,
            rasterized=True,
        )
    axis.scatter(
        x, y, s=area * (side / SIDE) ** 2, c=colours[order], linewidths=0, rasterized=True,
        alpha=min(0.9, max(0.35, (2000 / count) ** 0.25)), marker="o" if count < 50_000 else "s",
    )  # fmt: skip
    below = [] if panel.separation is None else [str(panel.separation)]
    if panel.sketch:
        below.append(_of_sketch(panel.sketch))
    if side <= 2:
        below = [line.replace(", ", "\n") for line in below]
    axis.set(xticks=[], yticks=[], xlabel="\n".join(["UMAP 1", *below]), ylabel="UMAP 2")
    axis.set_title(one_line(panel.title))
    axis.margins(0.04)
    axis.set_box_aspect(1)


def _layout(
    names: Sequence[str], panels: int, width: float | None
) -> tuple[tuple[float, float], float, LegendPosition, int]:
    """Size of the figure, side of a panel, where the legend goes, and its number of columns.

    In inches; ``width`` is that of the figure where it is given. Many types beside several panels
    would make the figure too wide for a page.
    """
    longest = max(map(len, names), default=0)
    across, down = _grid(panels, width)
    if width is not None:
        column = (0.3 + 0.046 * longest) if names else 0.0
        columns = math.ceil(len(names) * 0.12 / (width / across))
        if panels == 1 and width >= canvas.WIDE and columns * column < width / 2:
            side = width - columns * column
            return (width, side + 0.35), side, "outside right upper", max(1, columns)
        side, columns = width / across, max(1, int(width / max(column, 0.1)))
        rows = math.ceil(len(names) / columns)
        return (
            (width, (side + 0.25) * down + 0.35 + 0.115 * rows),
            side,
            "outside lower left",
            columns,
        )
    side = SIDE if len(names) <= MANY_TYPES else 5.2 if panels <= 2 else 4.0
    column = 0.5 + 0.062 * longest
    if len(names) <= MANY_TYPES or panels == 1:
        columns = max(1, math.ceil((len(names) + 1) * 0.16 / (side * down))) if names else 0
        size = (side * across + columns * column, (side + 0.6) * down)
        return size, side, "outside right upper", columns
    columns = max(1, int(side * across / column))
    below = 0.2 + 0.16 * math.ceil(len(names) / columns)
    size = (side * across, (side + 0.6) * down + below)
    return size, side, "outside lower left", columns
