"""``plot training``: loss and validation curves of a reader."""

from __future__ import annotations

from typing import Any

from screader_lib.command_line.options import input_argument
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options


@tool(
    "plot training",
    examples=[
        "plot training reader.h5 -o training.png",
        "train-reader cells.h5ad | plot training -o training.svg --data training.tsv",
    ],
)
@input_argument("reader")
@options.figure_options("Colours of the curves: safe or a matplotlib colour map. [default: safe]")
def main(run: ToolRun, reader: str, **settings: Any) -> None:
    """Draw the training of READER: loss by epoch, and metrics on the validation cells.

    Dashed lines separate the stages of training.
    """
    from screader_lib.figures.plots import training_curves
    from screader_lib.readers.fetching import find_reader

    output = options.PictureOutput(run, settings)
    with run.open(str(find_reader(reader, reporter=run.reporter)), "reader") as opened:
        history = training_curves.read(opened)
    output.write(training_curves.picture(history, output.style))
