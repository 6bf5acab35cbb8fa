"""``plot metrics``: measures of methods, and of each type."""

from __future__ import annotations

from typing import Any

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
    "plot metrics",
    examples=[
        "plot metrics predictions.h5ad -o metrics.png",
        "plot metrics genept-fold*.h5ad screader-fold*.h5ad -o metrics.pdf --data metrics.tsv",
        "plot metrics logistic-out-of-fold.h5ad screader-out-of-fold.h5ad -o folds.png",
    ],
)
@predictions_argument
@name_option
@picture_options(TYPE_PALETTE.replace("types", "methods"))
def main(
    run: ToolRun, predictions: tuple[str, ...], names: tuple[str, ...], **settings: Any
) -> None:
    """Draw accuracy, precision, recall and F1 of PREDICTIONS, and F1 against type size.

    Files of one method (or one --name) are its folds, and so are the folds that a file of
    train-reader --oof-predictions tells of: bars are means, dots folds, lines one standard
    deviation. Unassigned cells count with their most probable label; cells without a true label
    are left out.
    """
    from screader_lib.figures.plots import method_comparison

    where = target(run, settings)
    with open_calls(run, predictions, names) as calls:
        measured = method_comparison.measure(calls)
    write(run, method_comparison.picture(measured, looks(settings)), where, settings)
