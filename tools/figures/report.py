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
from screader_tools.figures.figure_options import TYPE_PALETTE, read_coordinates


@tool(
    "plot report",
    examples=[
        "plot report predictions.h5ad -o report.html",
        "plot report predictions.h5ad --reader reader.h5 --cells cells.h5ad \\\n"
        "--metrics metrics.json -o report.html",
        "plot report screader.h5ad --compare-with genept.h5ad \\\n"
        "--multiqc screader_mqc.json -o report.html",
    ],
)
@input_argument("predictions")
@click.option(
    "--reader",
    type=FilePath(),
    metavar="NAME|FILE",
    help="The reader, or its name: adds its training curves.",
)
@click.option(
    "--cells", type=FilePath(), help="The cells: adds the UMAP of their mean gene embeddings."
)
@click.option("--metrics", type=FilePath(), help="Metrics of other methods to compare with (JSON).")
@click.option(
    "--compare-with",
    type=FilePath(),
    multiple=True,
    help="Another method's predictions of the same cells; repeatable. The first is in all "
    "figures, further ones only in the metrics.",
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
    help="Write the metrics here for MultiQC, which looks for names ending in _mqc.json.",
)
@click.option(
    "--sample",
    metavar="NAME",
    help="Name of the sample in MultiQC. [default: the predictions' file name without suffix]",
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
    compare_with: tuple[str, ...],
    coordinates: str | None,
    output: str | None,
    multiqc: str | None,
    sample: str | None,
    title: str,
    palette: str,
    seed: int,
) -> None:
    """Write a report on PREDICTIONS as one self-contained HTML file.

    It has a map of the cells to explore, all figures and tables, the least confident predictions,
    the steps that made the files, and the commands to repeat them. Cells selected on the map with
    the lasso can be named, and saved as a table. It loads nothing from the network and prints well.
    """
    from screader_lib.exchange.writing import replacing
    from screader_lib.figures.data.prediction_data import PredictionData
    from screader_lib.figures.report.report import ReportInputs, build
    from screader_lib.figures.report.report_tables import multiqc_content, read_metrics
    from screader_lib.readers.fetching import find_reader
    from screader_tools.figures.command_words import command_words

    destination = run.output_path(output)
    known = str(find_reader(reader, reporter=run.reporter)) if reader else None
    with ExitStack() as stack:
        scores = None
        if metrics is not None:
            name = "standard input" if metrics == "-" else metrics
            scores = read_metrics(stack.enter_context(run.path(metrics)), name)
        inputs = ReportInputs(
            PredictionData(stack.enter_context(run.open(predictions, "predictions"))),
            stack.enter_context(run.open(known, "reader")) if known else None,
            stack.enter_context(run.open(cells, "cells")) if cells else None,
            scores,
            [
                PredictionData(stack.enter_context(run.open(name, "predictions")))
                for name in compare_with
            ],
            read_coordinates(run, coordinates),
        )
        page = build(
            inputs, title=title, palette=palette, seed=seed, words=command_words,
            reporter=run.reporter,
        )  # fmt: skip
        if multiqc is not None:
            name = sample or ("predictions" if predictions == "-" else Path(predictions).stem)
            path = stack.enter_context(replacing(multiqc))
            path.write_text(multiqc_content([name], [inputs.predictions]), "utf-8")
        path = stack.enter_context(replacing(destination))
        path.write_text(page, "utf-8")
