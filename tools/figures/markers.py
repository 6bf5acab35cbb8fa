"""``plot markers``: genes that mark the types of cells."""

from __future__ import annotations

from typing import Any

import click

from screader_lib.command_line.options import FilePath, input_argument
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options


@tool(
    "plot markers",
    examples=[
        "plot markers predictions.h5ad --cells cells.h5ad -o markers.pdf",
        "plot markers predictions.h5ad --cells cells.h5ad --gene INS --gene GCG --width 85mm \\\n"
        "-o islet.pdf",
        "plot markers predictions.h5ad --cells cells.h5ad --by true_label --data markers.tsv \\\n"
        "-o markers.png",
    ],
)
@input_argument("predictions")
@click.option("--cells", type=FilePath(), required=True, help="The cells, with their genes.")
@click.option(
    "--by",
    metavar="COLUMN",
    help="Column with the types. [default: the labels that the cells end up with]",
)
@click.option(
    "--per-type", type=click.IntRange(1, 20), default=3, help="Number of genes per type, at most."
)
@click.option(
    "--gene", "named", metavar="SYMBOL", multiple=True, help="Draw this gene. Repeatable."
)
@options.figure_options("A matplotlib colour map for the means. [default: Blues]")
def main(
    run: ToolRun,
    predictions: str,
    cells: str,
    by: str | None,
    per_type: int,
    named: tuple[str, ...],
    **settings: Any,
) -> None:
    """Draw the genes that mark the types in PREDICTIONS, a dot for each gene and type.

    The larger a dot, the more cells of the type have the gene in their sequence; the darker, the
    larger is its mean weight there. Genes are those whose mean is most above that in every other
    type, or those of --gene.
    """
    from screader_lib.errors import ScReaderError
    from screader_lib.figures.data import type_genes
    from screader_lib.figures.plots import marker_dots

    output = options.PictureOutput(run, settings)
    with (
        options.open_predictions(run, (predictions,)) as [opened],
        run.open(cells, "cells") as sequences,
    ):
        labels = opened.final_label if by is None else opened.column(by)
        if labels.dtype.kind == "f":
            raise ScReaderError(f"column {by!r} holds numbers, not types.", file=opened.name)
        found = type_genes.read(opened, sequences, labels)
        numbers = found.named(named, sequences.name) if named else found.marking(per_type)
    output.write(marker_dots.picture(found.of_genes(numbers), output.style))
