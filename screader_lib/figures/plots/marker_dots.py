"""Dots of genes by types: how many cells of a type have a gene, and how much of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.figures.data.type_genes import TypeGenes
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.type_names import display_names

MAX_GENES = 400
PITCH, PITCH_IN_A_COLUMN = 0.19, 0.125  # inches from dot to dot
LETTER = 0.56  # mean width of a letter over the font size
SHARES = (0.25, 0.5, 1.0)  # in the legend
LEGEND, LOWEST = 0.95, 1.4  # inches beside the dots, and of their height


def picture(found: TypeGenes, style: canvas.Style = canvas.DEFAULT_STYLE) -> canvas.Picture:
    """Types in rows and genes in columns, or the other way where these would not fit the width.

    The area of a dot is the share of the type's cells that have the gene, its colour the mean
    weight, over the largest mean of the gene. ScReaderError where there is nothing to draw.
    """
    if not len(found.types) or not len(found.symbols):
        raise ScReaderError(
            "there is no gene to draw: too few types have cells enough, or none has more of a gene "
            "than the others.",
            remedy="Name genes with --gene.",
        )
    if len(found.symbols) > MAX_GENES:
        raise ScReaderError(
            f"{len(found.symbols):,} genes would be drawn, at most {MAX_GENES} can be.",
            remedy="Lower --per-type.",
        )
    scaled = found.mean / np.maximum(found.mean.max(0), 1e-12)
    names = display_names(list(found.types), 30)
    sizes = zip(found.types, found.cells.tolist(), strict=True)
    types = [f"{names[name]} ({count:,})" for name, count in sizes]
    given = found.symbols.tolist()  # two genes may have the same
    shown = display_names(list(dict.fromkeys(given)), 16)
    symbols = [shown[symbol] for symbol in given]
    with canvas.drawing(style):
        figure = _draw(scaled, found.share, types, symbols, style)
    rows = [
        (name, int(found.cells[row]), str(symbol), found.share[row, gene], found.mean[row, gene])
        for row, name in enumerate(found.types)
        for gene, symbol in enumerate(found.symbols)
    ]
    alt = [f"Dots of {len(symbols)} genes in {len(types)} types"]
    for row, name in enumerate(found.types):
        best = np.argsort(-scaled[row] * found.share[row], kind="stable")[:3]
        alt.append(f"{name}: {', '.join(found.symbols[best])}")
    columns = ("type", "cells", "gene", "share of cells", "mean weight")
    return canvas.Picture.of(figure, columns, rows, alt)


def _draw(
    scaled: np.ndarray, share: np.ndarray, types: list[str], symbols: list[str], style: canvas.Style
) -> Any:
    matplotlib = canvas.require("matplotlib")
    in_a_column = style.size is None and style.width is not None
    pitch = PITCH_IN_A_COLUMN if in_a_column else PITCH
    letters = matplotlib.rcParams["ytick.labelsize"]
    of_types, of_symbols = (
        letters * LETTER / 72 * max(map(len, texts)) + 0.15 for texts in (types, symbols)
    )
    wide = pitch * len(symbols) + of_types + LEGEND
    is_upright = style.width is not None and wide > style.width
    if is_upright:
        scaled, share, types, symbols = scaled.T, share.T, symbols, types
        of_symbols = of_types
    high = max(pitch * len(types), LOWEST) + of_symbols + 0.1
    size = (style.width or wide, high)
    figure = canvas.new_figure(style, size)
    width, height = style.sized(size)
    axis, side = figure.subplots(1, 2, width_ratios=[width - LEGEND, LEGEND])
    down, right = (part.ravel() for part in np.indices(scaled.shape))
    dots = axis.scatter(
        right, down, s=0, c=scaled.ravel(), cmap=canvas.colour_map(style.palette or "Blues"),
        vmin=0, vmax=1, linewidths=0.3, edgecolors="#777777",
    )  # fmt: skip
    axis.set_xticks(range(len(symbols)), symbols, rotation=90)
    axis.set_yticks(range(len(types)), types)
    axis.set(xlim=(-0.6, len(symbols) - 0.4), ylim=(len(types) - 0.4, -0.6))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(True)
    side.axis("off")
    bar_at = (0.05, 0.02, 0.14, min(0.35, 0.8 / height))
    bar = figure.colorbar(dots, cax=side.inset_axes(bar_at), ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.set_title("mean, of the\ngene's largest", fontsize=letters, color=canvas.INK)
    handles = [side.scatter([], [], s=1, color="#777777", label=f"{one:.0%}") for one in SHARES]
    legend = side.legend(
        handles=handles, loc="upper left", borderaxespad=0, borderpad=0, alignment="left",
        title="cells with\nthe gene",
    )  # fmt: skip
    figure.draw_without_rendering()  # sets the places of the axes
    box = axis.get_window_extent()
    step = min(box.width / len(symbols), box.height / len(types)) * 72 / figure.dpi
    largest = (0.92 * step) ** 2
    dots.set_sizes(largest * share.ravel())
    for handle, one in zip(legend.legend_handles, SHARES, strict=True):
        handle.set_sizes([largest * one])
    return figure
