"""``plot metrics``: metrics of methods, and F1 of each type."""

from __future__ import annotations

from typing import Any

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options


@tool(
    "plot metrics",
    examples=[
        "plot metrics predictions.h5ad -o metrics.png",
        "plot metrics genept-fold*.h5ad screader-fold*.h5ad -o metrics.pdf --data metrics.tsv",
        "plot metrics logistic-out-of-fold.h5ad screader-out-of-fold.h5ad -o folds.png",
    ],
)
@options.predictions_argument
@options.name_option
@options.figure_options(options.TYPE_PALETTE.replace("types", "methods"))
def main(
    run: ToolRun, predictions: tuple[str, ...], names: tuple[str, ...], **settings: Any
) -> None:
    """Draw accuracy, precision, recall and F1 of PREDICTIONS, and F1 against type size.

    Files of one method (or one --name) are its folds, and so are the folds within a file of
    train-reader --oof-predictions: bars are means, dots folds, lines one standard deviation.
    Unassigned cells count by their most probable label; cells without a true label are left out.
    """
    from screader_lib.figures.plots import method_comparison

    output = options.PictureOutput(run, settings)
    with options.open_predictions(run, predictions, names) as opened:
        methods = method_comparison.measure(opened)
    output.write(method_comparison.picture(methods, output.style))
