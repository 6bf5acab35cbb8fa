"""``plot calibration``: how often predictions of a given confidence are correct."""

from __future__ import annotations

from typing import Any

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options


@tool(
    "plot calibration",
    examples=[
        "plot calibration predictions.h5ad -o calibration.png",
        "plot calibration genept.h5ad screader.h5ad --bins 10 -o calibration.svg",
    ],
)
@options.predictions_argument
@options.name_option
@click.option(
    "--bins", type=click.IntRange(2, 100), default=15, help="Number of equally wide bins."
)
@options.figure_options(options.TYPE_PALETTE.replace("types", "methods"))
def main(
    run: ToolRun,
    predictions: tuple[str, ...],
    names: tuple[str, ...],
    bins: int,
    **settings: Any,
) -> None:
    """Draw the accuracy of PREDICTIONS against their confidence.

    Points lie on the diagonal where confidence equals accuracy; their area shows the number of
    cells, vertical lines the 95% interval of the accuracy. ECE is the expected calibration error.
    """
    from screader_lib.figures.plots import calibration_plot

    output = options.PictureOutput(run, settings)
    with options.open_predictions(run, predictions, names) as opened:
        methods = calibration_plot.measure(opened, bins)
    output.write(calibration_plot.picture(methods, output.style, bins))
