"""``plot genes``: which genes made the calls of each type."""

from __future__ import annotations

from typing import Any

import click

from screader_lib.command_line.options import input_argument
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.pictures.picture_options import (
    TYPE_PALETTE,
    looks,
    open_calls,
    picture_options,
    target,
    write,
)


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
    "--genes",
    type=click.IntRange(1, 50),
    default=8,
    help="Genes a type, those that spoke most for its calls.",
)
@click.option("--type", "types", metavar="NAME", multiple=True, help="Only this type. Repeatable.")
@picture_options(TYPE_PALETTE)
def main(
    run: ToolRun, predictions: str, genes: int, types: tuple[str, ...], **settings: Any
) -> None:
    """Draw which genes made the calls of PREDICTIONS, a panel for each type.

    The predictions have to be made with --explain. Bars are what a gene added to the log-odds
    of the call, on average over the cells called so; --data adds the genes' descriptions.
    """
    from screader_lib.figures.plots import gene_bars

    where = target(run, settings)
    with open_calls(run, (predictions,), ()) as calls:
        found = gene_bars.read(calls[0], genes, types)
        made = gene_bars.picture(found, looks(settings), types=calls[0].all_labels)
    write(run, made, where, settings)
