"""``plot report``: everything as one HTML file."""

from __future__ import annotations

from contextlib import ExitStack

import click

from screader_lib.command_line.options import FilePath, input_argument, output_option, seed_option
from screader_lib.command_line.run import Run
from screader_lib.command_line.tool import tool
from screader_tools.plot_options import TYPE_PALETTE


@tool(
    "plot report",
    examples=[
        "plot report predictions.h5ad -o report.html",
        "plot report predictions.h5ad --reader reader.h5 --cells cells.h5ad \\\n"
        "--metrics metrics.json -o report.html",
    ],
)
@input_argument("predictions")
@click.option("--reader", type=FilePath(), help="The reader: adds its training.")
@click.option("--cells", type=FilePath(), help="The cells: adds how they lay before reading.")
@click.option(
    "--metrics", type=FilePath(), help="Measures of other methods to compare with (JSON)."
)
@output_option("the report (HTML)")
@click.option("--title", default="", show_default=False, help="Title of the report.")
@click.option("--palette", default="", show_default=False, metavar="NAME", help=TYPE_PALETTE)
@seed_option
def main(
    run: Run,
    predictions: str,
    reader: str | None,
    cells: str | None,
    metrics: str | None,
    output: str | None,
    title: str,
    palette: str,
    seed: int,
) -> None:
    """Write a report on PREDICTIONS as one HTML file that needs nothing but itself.

    It tells what was done with what, shows all pictures and tables, lists the least sure calls,
    and ends with the commands that repeat it. It asks nothing of the network and prints well.
    """
    from screader_lib.exchange.writing import replacing
    from screader_lib.figures.calls import Calls
    from screader_lib.figures.report import Inputs, build
    from screader_lib.figures.report_tables import read_metrics
    from screader_tools.plot_spelling import spelling

    destination = run.destination(output)
    with ExitStack() as stack:
        compared = None
        if metrics is not None:
            shown = "standard input" if metrics == "-" else metrics
            compared = read_metrics(stack.enter_context(run.path(metrics)), shown)
        inputs = Inputs(
            Calls(stack.enter_context(run.open(predictions, "predictions"))),
            stack.enter_context(run.open(reader, "reader")) if reader else None,
            stack.enter_context(run.open(cells, "cells")) if cells else None,
            compared,
        )
        page = build(
            inputs,
            title=title,
            palette=palette,
            seed=seed,
            spelling=spelling,
            reporter=run.reporter,
        )
    with replacing(destination) as path:
        path.write_text(page, "utf-8")
