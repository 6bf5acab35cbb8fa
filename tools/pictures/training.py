"""``plot training``: loss and validation curves of a reader."""

from __future__ import annotations

from typing import Any

from screader_lib.command_line.options import input_argument
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.pictures.picture_options import looks, picture_options, target, write


@tool(
    "plot training",
    examples=[
        "plot training reader.h5 -o training.png",
        "train-reader cells.h5ad | plot training -o training.svg --data training.tsv",
    ],
)
@input_argument("reader")
@picture_options("Colours of the curves: safe or a matplotlib colour map. [default: safe]")
def main(run: ToolRun, reader: str, **settings: Any) -> None:
    """Draw the training of READER: loss by epoch, and measures on the validation cells.

    Dashed lines part the stages of training.
    """
    from screader_lib.figures.plots import training_curves

    where = target(run, settings)
    with run.open(reader, "reader") as opened:
        history = training_curves.read(opened)
    write(run, training_curves.picture(history, looks(settings)), where, settings)
