"""``plot confusion``: which types are taken for which."""

from __future__ import annotations

from typing import Any

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.pictures.picture_options import (
    looks,
    name_option,
    open_calls,
    picture_options,
    predictions_argument,
    target,
    write,
)


@tool(
    "plot confusion",
    examples=[
        "plot confusion predictions.h5ad -o confusion.png",
        "plot confusion genept.h5ad screader.h5ad --counts -o both.pdf --data both.tsv",
    ],
)
@predictions_argument
@name_option
@click.option(
    "--order",
    type=click.Choice(("similarity", "name", "size")),
    default="similarity",
    help="Order of the types; similarity puts types beside those they are taken for.",
)
@click.option(
    "--unassigned",
    type=click.Choice(("column", "call", "omit")),
    default="column",
    help="Unassigned and backed-off cells: columns of their own, their most probable label, or "
    "left out.",
)
@click.option("--counts", is_flag=True, help="Print numbers of cells instead of shares.")
@picture_options("Colour map of the shares (matplotlib). [default: Blues]")
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

    Rows are true types with their numbers of cells, columns predicted ones, colours shares of
    the row. Cells without a true label are left out.
    """
    from screader_lib.figures.plots import confusion_matrix

    where = target(run, settings)
    with open_calls(run, predictions, names) as calls:
        matrices = confusion_matrix.tabulate(calls, unassigned=unassigned, order=order)
    write(run, confusion_matrix.picture(matrices, looks(settings), counts=counts), where, settings)
