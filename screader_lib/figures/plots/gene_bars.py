"""Which genes made the calls of each type: a panel of bars per type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing.canvas import (
    INK,
    Numbers,
    Picture,
    Style,
    drawing,
    joined,
    new_figure,
)
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.drawing.type_names import printed

COLUMNS = 4
NAME_LENGTH = 14
TYPE_LENGTH = 24


@dataclass(frozen=True)
class Gene:
    """A gene with its mean part in the log-odds of a type's calls."""

    id: str
    symbol: str
    text: str
    part: float


@dataclass(frozen=True)
class TypeGenes:
    """A type, the cells called it, and the genes that spoke most for those calls, most first."""

    type: str
    cells: int
    genes: tuple[Gene, ...]


def read(calls: PredictionData, most: int, types: Sequence[str] = ()) -> list[TypeGenes]:
    """The ``most`` genes of each type that was called, or of the given ``types``.

    ScReaderError where the predictions hold no explanation, or nothing was called so.
    """
    if not has_explanation(calls):
        raise ScReaderError(
            "does not tell which genes made its calls.",
            file=calls.name,
            remedy="Make it with predict --explain 20.",
        )
    group = calls.opened.file["uns/explanation"]
    ids, symbols, texts = (encoding.read_strings(group[name]) for name in ("id", "symbol", "text"))
    counts = {label: int((calls.predicted == label).sum()) for label in calls.labels}
    for label in types:
        if not counts.get(label):
            raise ScReaderError(f"calls no cell {label!r}.", file=calls.name)
    found = []
    for number, label in enumerate(calls.labels):
        if not counts[label] or (types and label not in types):
            continue
        part = group["part"][number]
        best = [place for place in np.argsort(-part, kind="stable")[:most] if part[place] > 0]
        genes = tuple(
            Gene(str(ids[one]), str(symbols[one] or ids[one]), str(texts[one]), float(part[one]))
            for one in best
        )
        found.append(TypeGenes(label, counts[label], genes))
    return found


def has_explanation(calls: PredictionData) -> bool:
    """Whether the predictions tell which genes made the calls."""
    return "part" in calls.opened.file["uns"].get("explanation", {})


def picture(
    found: Sequence[TypeGenes], style: Style | None = None, *, types: Sequence[str] = ()
) -> Picture:
    """A panel of bars for each type.

    ``types`` are all labels that get a colour, so that a type has the colour that it has in the
    other pictures of the same file.
    """
    style = style or Style()
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    most = max(1, *(len(one.genes) for one in found))
    with drawing():
        figure = new_figure(style, (2.6 * columns + 0.4, (0.19 * most + 0.75) * rows + 0.4))
        axes = figure.subplots(rows, columns, squeeze=False)
        shown = [one.type for one in found]
        colours = colours_of({*types, *shown}, style.palette)
        titles = printed(shown, TYPE_LENGTH)
        for axis, one in zip(axes.flat, found, strict=False):
            _panel(axis, one, titles[one.type], colours[one.type], most)
        for axis in axes.flat[len(found) :]:
            axis.set_visible(False)
        figure.supxlabel("mean part in the log-odds of the call", fontsize=9)
    lines = [
        (one.type, one.cells, g.id, g.symbol, g.part, g.text) for one in found for g in one.genes
    ]
    numbers = Numbers(("type", "cells", "gene", "symbol", "part", "text"), lines)
    return Picture(figure, numbers, _alt(found))


def _panel(axis: Any, one: TypeGenes, title: str, colour: str, most: int) -> None:
    places = np.arange(len(one.genes))
    symbols = printed([gene.symbol for gene in one.genes], NAME_LENGTH)
    axis.barh(places, [gene.part for gene in one.genes], color=colour, height=0.75)
    axis.set_yticks(places, [symbols[gene.symbol] for gene in one.genes])
    axis.set_ylim(most - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    shown = f"{title} ({one.cells:,})"
    axis.set_title(shown, color=INK, fontsize=8, x=-0.25, ha="left")  # else the last is cut off


def _alt(found: Sequence[TypeGenes]) -> str:
    parts = [f"{one.type}: {', '.join(gene.symbol for gene in one.genes[:3])}" for one in found]
    return joined(["Bars of the genes that spoke most for the calls of each type", *parts])
