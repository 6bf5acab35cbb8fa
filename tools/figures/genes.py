"""``plot genes``: the genes behind the predictions of each type."""

from __future__ import annotations

from typing import Any

import click

from screader_lib.command_line.options import input_argument
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options


@tool(
    "plot genes",
    examples=[
        "plot genes predictions.h5ad -o genes.png",
        "plot genes predictions.h5ad --type beta --type alpha --genes 20 -o islet.pdf",
        "predict cells.h5ad -r reader.h5 --explain 20 | plot genes --format svg > genes.svg",
    ],
)
@input_argument("predictions")
@click.option(
    "--genes", type=click.IntRange(1, 50), default=8, help="Number of genes per type, at most."
)
@click.option("--type", "types", metavar="NAME", multiple=True, help="Only this type. Repeatable.")
@options.figure_options(options.TYPE_PALETTE)
def main(
    run: ToolRun, predictions: str, genes: int, types: tuple[str, ...], **settings: Any
) -> None:
    """Draw the genes behind PREDICTIONS, a panel for each predicted type.

    The predictions have to be made with --explain. Bars are the contributions of genes to the
    log-odds of the prediction, averaged over the cells predicted as the type; --data adds the
    genes' descriptions.
    """
    from screader_lib.figures.plots import gene_bars

    output = options.PictureOutput(run, settings)
    with options.open_predictions(run, (predictions,)) as [opened]:
        found = gene_bars.read(opened, genes, types)
        picture = gene_bars.picture(found, output.style, all_types=opened.all_labels)
    output.write(picture)
