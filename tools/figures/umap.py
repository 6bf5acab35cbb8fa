"""``plot umap``: cells before and after reading, in two dimensions."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from screader_lib.command_line.options import FilePath, seed_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options

if TYPE_CHECKING:
    from screader_lib.figures.plots.umap_plot import Labels


@tool(
    "plot umap",
    examples=[
        "plot umap predictions.h5ad --cells cells.h5ad -o umap.png",
        "plot umap genept.h5ad screader.h5ad --cells cells.h5ad -o umap.pdf",
        "plot umap predictions.h5ad --color confidence --palette cividis -o sure.png",
        "plot umap predictions.h5ad --save-coordinates umap.npz -o umap.png",
        "plot umap predictions.h5ad --labels names --width 85mm -o figure.pdf",
        "plot umap predictions.h5ad --split donor --width 180mm -o donors.pdf",
        "plot umap predictions.h5ad --coordinates umap.npz --color donor -o donors.png",
    ],
)
@options.predictions_argument
@options.name_option
@click.option(
    "--cells",
    type=FilePath(),
    help="Cells of the first file: adds a panel of their mean gene embeddings.",
)
@click.option(
    "--color",
    metavar="COLUMN",
    help="Column that colours the cells. [default: true_label, else predicted_label]",
)
@click.option(
    "--labels",
    type=click.Choice(["numbers", "names"]),
    default="numbers",
    help="names: write the types at their cells instead of in a legend; numbers: with a legend, "
    "and from 9 types numbers at their cells.",
)
@click.option(
    "--split",
    metavar="COLUMN",
    help="Draw a panel for each value of this column, such as donor: its cells before all others "
    "in grey. Of one file of PREDICTIONS.",
)
@options.neighbours_option
@options.coordinates_options
@seed_option
@options.figure_options(options.TYPE_PALETTE)
def main(
    run: ToolRun,
    predictions: tuple[str, ...],
    names: tuple[str, ...],
    cells: str | None,
    color: str | None,
    labels: Labels,
    split: str | None,
    neighbours: int,
    coordinates: str | None,
    seed: int,
    **settings: Any,
) -> None:
    """Draw the UMAP of the cell vectors in PREDICTIONS, a panel per file.

    With --cells there is one more panel, of the weighted mean of each cell's gene embeddings.
    Under each panel: silhouette (-1 to 1), and nearest-neighbour purity, the
    mean fraction of a cell's 10 nearest neighbours that have its label. Both are measured in the
    vectors, not in the figure, on at most 5,000 cells. Of more than 20,000 cells, a random
    20,000 have their UMAP and the others are placed among their nearest neighbours in these, which
    the figure says.
    """
    from screader_lib.figures.plots import umap_plot

    output = options.PictureOutput(run, settings)
    if split is not None and (len(predictions) > 1 or cells is not None):
        raise click.UsageError(
            "--split is for one file of predictions without --cells.", run.context
        )
    saved = options.read_coordinates(run, coordinates)
    cells_file = run.open(cells, "cells") if cells is not None else nullcontext()
    with options.open_predictions(run, predictions, names) as opened, cells_file as unread:
        colours = umap_plot.colouring(opened, color)
        panels = umap_plot.panels(
            opened, colours, cells=unread, seed=seed, neighbours=neighbours, saved=saved,
            reporter=run.reporter,
        )  # fmt: skip
        drawn = panels
        if split is not None:
            drawn = umap_plot.split(panels[0], opened[0].column(split), split)
    picture = umap_plot.picture(
        drawn, output.style, column=colours.column, types=colours.types, seed=seed, labels=labels
    )
    output.write(picture, panels)
