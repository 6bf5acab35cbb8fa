"""``plot umap``: cells before and after reading, in two dimensions."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from screader_lib.command_line.options import FilePath, seed_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.pictures.picture_options import (
    TYPE_PALETTE,
    coordinate_options,
    given_coordinates,
    looks,
    name_option,
    neighbours_option,
    open_calls,
    picture_options,
    predictions_argument,
    target,
    write,
)


@tool(
    "plot umap",
    examples=[
        "plot umap predictions.h5ad --cells cells.h5ad -o umap.png",
        "plot umap genept.h5ad screader.h5ad --cells cells.h5ad -o umap.pdf",
        "plot umap predictions.h5ad --color confidence --palette cividis -o sure.png",
        "plot umap predictions.h5ad --save-coordinates umap.npz -o umap.png",
        "plot umap predictions.h5ad --coordinates umap.npz --color donor -o donors.png",
    ],
)
@predictions_argument
@name_option
@click.option("--cells", type=FilePath(), help="Cells of the first file: draw them unread too.")
@click.option(
    "--color",
    metavar="COLUMN",
    help="Column that colours the cells. [default: true_label, else predicted_label]",
)
@neighbours_option
@coordinate_options
@seed_option
@picture_options(TYPE_PALETTE)
def main(
    run: ToolRun,
    predictions: tuple[str, ...],
    names: tuple[str, ...],
    cells: str | None,
    color: str | None,
    neighbors: int,
    coordinates: str | None,
    seed: int,
    **settings: Any,
) -> None:
    """Draw the cells of PREDICTIONS by the vectors that the reader made of them.

    A panel per file; with --cells one more, of the weighted mean of each cell's gene
    embeddings, before reading. Under each panel: silhouette (-1 to 1) and the share of a cell's
    10 nearest neighbours that are of its type, both in the vectors, not in the picture, and
    from at most 5,000 cells.
    """
    from screader_lib.figures.plots.umap_panels import colouring, panels
    from screader_lib.figures.plots.umap_plot import picture

    where = target(run, settings)
    given = given_coordinates(run, coordinates)
    unread = run.open(cells, "cells") if cells is not None else nullcontext()
    with open_calls(run, predictions, names) as calls, unread as opened:
        chosen = colouring(calls, color)
        drawn = panels(
            calls, chosen, cells=opened, seed=seed, neighbours=neighbors, given=given,
            reporter=run.reporter,
        )  # fmt: skip
    style = looks(settings)
    made = picture(drawn, style, what=chosen.column, types=chosen.types, seed=seed)
    write(run, made, where, settings, drawn)
