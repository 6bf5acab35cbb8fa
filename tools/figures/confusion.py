"""``plot confusion``: which true labels are predicted as which."""

from __future__ import annotations

from typing import Any

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options


@tool(
    "plot confusion",
    examples=[
        "plot confusion predictions.h5ad -o confusion.png",
        "plot confusion genept.h5ad screader.h5ad --counts -o both.pdf --data both.tsv",
    ],
)
@options.predictions_argument
@options.name_option
@click.option(
    "--order",
    type=click.Choice(("similarity", "name", "size")),
    default="similarity",
    help="Order of the types; similarity puts types next to those they are confused with.",
)
@click.option(
    "--unassigned",
    type=click.Choice(("column", "call", "omit")),
    default="column",
    help="Unassigned and backed-off cells: in columns of their own, by their most probable label, "
    "or left out.",
)
@click.option("--counts", is_flag=True, help="Print numbers of cells instead of fractions.")
@options.figure_options("Colour map of the fractions (matplotlib). [default: Blues]")
def main(
    run: ToolRun,
    predictions: tuple[str, ...],
    names: tuple[str, ...],
    order: str,
    unassigned: str,
    counts: bool,
    **settings: Any,
) -> None:
    """Draw the confusion matrix of PREDICTIONS, several files side by side.

    Rows are true labels with their numbers of cells, columns predicted labels, colours fractions
    of the row. Cells without a true label are left out.
    """
    from screader_lib.figures.plots import confusion_matrix

    output = options.PictureOutput(run, settings)
    with options.open_predictions(run, predictions, names) as opened:
        matrices = confusion_matrix.tabulate(opened, unassigned=unassigned, order=order)
    output.write(confusion_matrix.picture(matrices, output.style, counts=counts))
