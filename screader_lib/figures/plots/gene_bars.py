"""Genes behind the predictions: a bar chart for each type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.drawing.type_names import display_names

COLUMNS = 4
MAX_GENE_LENGTH = 14
MAX_TYPE_LENGTH = 24


@dataclass(frozen=True)
class GeneContribution:
    """A gene and its mean contribution to the log-odds of a type's predictions."""

    id: str
    symbol: str
    text: str
    contribution: float


@dataclass(frozen=True)
class TypeGenes:
    """A type, the number of cells predicted as it, and its genes, the largest first."""

    type: str
    cells: int
    genes: tuple[GeneContribution, ...]


def has_explanation(predictions: PredictionData) -> bool:
    """Whether the file holds the genes' contributions."""
    return "part" in predictions.opened.file["uns"].get("explanation", {})


def read(predictions: PredictionData, max_genes: int, types: Sequence[str] = ()) -> list[TypeGenes]:
    """Up to ``max_genes`` genes of each predicted type, or of the given ``types``.

    Only genes with a positive contribution. ScReaderError where the file has no contributions, or
    no cell is predicted as one of ``types``.
    """
    if not has_explanation(predictions):
        raise ScReaderError(
            "does not hold the genes' contributions.",
            file=predictions.name,
            remedy="Make it with predict --explain 20.",
        )
    group = predictions.opened.file["uns/explanation"]
    ids, symbols, texts = (encoding.read_strings(group[name]) for name in ("id", "symbol", "text"))
    counts = {label: int((predictions.predicted == label).sum()) for label in predictions.labels}
    for label in types:
        if not counts.get(label):
            raise ScReaderError(f"predicts no cell as {label!r}.", file=predictions.name)
    result = []
    for row, label in enumerate(predictions.labels):
        if not counts[label] or (types and label not in types):
            continue
        part = group["part"][row]
        genes = tuple(
            GeneContribution(str(ids[i]), str(symbols[i] or ids[i]), str(texts[i]), float(part[i]))
            for i in np.argsort(-part, kind="stable")[:max_genes]
            if part[i] > 0
        )
        result.append(TypeGenes(label, counts[label], genes))
    return result


def picture(
    types: Sequence[TypeGenes],
    style: canvas.Style = canvas.DEFAULT_STYLE,
    *,
    all_types: Sequence[str] = (),
) -> canvas.Picture:
    """A panel of bars for each type.

    ``all_types`` are all labels that get a colour, so that a type has the same colour in all
    figures of a file.
    """
    columns = min(2 if style.is_narrow else COLUMNS, len(types))
    rows = math.ceil(len(types) / columns)
    bars = max(1, *(len(one.genes) for one in types))
    with canvas.drawing(style):
        size = (2.6 * columns + 0.4, (0.19 * bars + 0.75) * rows + 0.4)
        figure = canvas.new_figure(style, size)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        names = [one.type for one in types]
        colours = colours_of({*all_types, *names}, style.palette)
        titles = display_names(names, MAX_TYPE_LENGTH)
        for axis, one in zip(axes, types, strict=False):
            positions, colour = np.arange(len(one.genes)), colours[one.type]
            symbols = display_names([gene.symbol for gene in one.genes], MAX_GENE_LENGTH)
            axis.barh(positions, [g.contribution for g in one.genes], color=colour, height=0.75)
            axis.set_yticks(positions, [symbols[gene.symbol] for gene in one.genes])
            axis.set_ylim(bars - 0.4, -0.6)
            axis.tick_params(axis="y", length=0)
            axis.grid(axis="x")
            title = f"{titles[one.type]} ({one.cells:,})"
            axis.set_title(title, color=canvas.INK, fontsize=8, x=-0.25, ha="left")  # not cut off
        for axis in axes[len(types) :]:
            axis.set_visible(False)
        figure.supxlabel("mean contribution to the log-odds of the prediction", fontsize=9)
    data = [
        (one.type, one.cells, g.id, g.symbol, g.contribution, g.text)
        for one in types
        for g in one.genes
    ]
    alt = [f"{one.type}: {', '.join(gene.symbol for gene in one.genes[:3])}" for one in types]
    alt.insert(0, "Bars of the genes that contribute most to each type")
    return canvas.Picture.of(figure, ("type", "cells", "gene", "symbol", "part", "text"), data, alt)
