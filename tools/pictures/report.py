"""``plot report``: everything as one HTML file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from screader_lib.command_line.options import (
    FilePath,
    OutputPath,
    input_argument,
    output_option,
    seed_option,
)
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.pictures.picture_options import TYPE_PALETTE, given_coordinates, refuse_same


@tool(
    "plot report",
    examples=[
        "plot report predictions.h5ad -o report.html",
        "plot report predictions.h5ad --reader reader.h5 --cells cells.h5ad \\\n"
        "--metrics metrics.json -o report.html",
        "plot report screader.h5ad --beside genept.h5ad -o report.html --multiqc screader_mqc.json",
    ],
)
@input_argument("predictions")
@click.option("--reader", type=FilePath(), help="The reader: adds its training.")
@click.option("--cells", type=FilePath(), help="The cells: adds how they lay before reading.")
@click.option(
    "--metrics", type=FilePath(), help="Measures of other methods to compare with (JSON)."
)
@click.option(
    "--beside",
    type=FilePath(),
    multiple=True,
    help="Another method's predictions of the same cells; repeatable. The first is in all "
    "pictures, further ones are in the measures.",
)
@click.option(
    "--coordinates",
    type=FilePath(),
    help="Take the UMAP coordinates from this file (plot umap --save-coordinates).",
)
@output_option("the report (HTML)")
@click.option(
    "--multiqc",
    type=OutputPath(),
    help="Write the measures here for MultiQC, which looks for names ending in _mqc.json.",
)
@click.option(
    "--sample",
    metavar="NAME",
    help="What MultiQC calls the sample. [default: the predictions' file name without its end]",
)
@click.option("--title", default="", show_default=False, help="Title of the report.")
@click.option("--palette", default="", show_default=False, metavar="NAME", help=TYPE_PALETTE)
@seed_option
def main(
    run: ToolRun,
    predictions: str,
    reader: str | None,
    cells: str | None,
    metrics: str | None,
    beside: tuple[str, ...],
    coordinates: str | None,
    output: str | None,
    multiqc: str | None,
    sample: str | None,
    title: str,
    palette: str,
    seed: int,
) -> None:
    """Write a report on PREDICTIONS as one HTML file that needs nothing but itself.

    It tells what was done with what, shows all pictures and tables, lists the least sure calls,
    and ends with the commands that repeat it. It asks nothing of the network and prints well.
    """
    from screader_lib.exchange.writing import replacing
    from screader_lib.figures.data.prediction_data import PredictionData
    from screader_lib.figures.report.multiqc import content
    from screader_lib.figures.report.report import Inputs, build
    from screader_lib.figures.report.report_tables import read_metrics
    from screader_tools.pictures.command_words import spelling

    destination = run.output_path(output)
    refuse_same(destination, multiqc)
    with ExitStack() as stack:
        compared = None
        if metrics is not None:
            shown = "standard input" if metrics == "-" else metrics
            compared = read_metrics(stack.enter_context(run.path(metrics)), shown)
        inputs = Inputs(
            PredictionData(stack.enter_context(run.open(predictions, "predictions"))),
            stack.enter_context(run.open(reader, "reader")) if reader else None,
            stack.enter_context(run.open(cells, "cells")) if cells else None,
            compared,
            [PredictionData(stack.enter_context(run.open(name, "predictions"))) for name in beside],
            given_coordinates(run, coordinates),
        )
        page = build(
            inputs,
            title=title,
            palette=palette,
            seed=seed,
            spelling=spelling,
            reporter=run.reporter,
        )
        if multiqc is not None:
            name = sample or ("predictions" if predictions == "-" else Path(predictions).stem)
            path = stack.enter_context(replacing(multiqc))
            path.write_text(content([name], [inputs.calls]), "utf-8")
        path = stack.enter_context(replacing(destination))
        path.write_text(page, "utf-8")
