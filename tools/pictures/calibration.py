"""``plot calibration``: how often calls of a given confidence are right."""

from __future__ import annotations

from typing import Any

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.pictures.picture_options import (
    TYPE_PALETTE,
    looks,
    name_option,
    open_calls,
    picture_options,
    predictions_argument,
    target,
    write,
)


@tool(
    "plot calibration",
    examples=[
        "plot calibration predictions.h5ad -o calibration.png",
        "plot calibration genept.h5ad screader.h5ad --bins 10 -o calibration.svg",
    ],
)
@predictions_argument
@name_option
@click.option(
    "--bins", type=click.IntRange(2, 100), default=15, help="Bins of confidence, equally wide."
)
@picture_options(TYPE_PALETTE.replace("types", "methods"))
def main(
    run: ToolRun,
    predictions: tuple[str, ...],
    names: tuple[str, ...],
    bins: int,
    **settings: Any,
) -> None:
    """Draw how often calls of PREDICTIONS are right, against their confidence.

    Points lie on the diagonal where confidence can be taken at its word; their area tells the
    number of cells, upright lines the 95 % interval of their share. ECE is the expected
    calibration error.
    """
    from screader_lib.figures.plots import calibration_plot

    where = target(run, settings)
    with open_calls(run, predictions, names) as calls:
        found = calibration_plot.measure(calls, bins)
    write(run, calibration_plot.picture(found, looks(settings), bins), where, settings)
