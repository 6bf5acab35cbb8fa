"""``screader gather``: the predictions of all folds to one file."""

from __future__ import annotations

import click

from screader_lib.command_line.options import FilePath, output_option
from screader_lib.command_line.run import Run
from screader_lib.command_line.tool import tool


@tool(
    "gather",
    examples=[
        "screader gather fold-*.h5ad -o out-of-fold.h5ad",
        "screader gather fold-1.h5ad fold-2.h5ad | plot confusion -o confusion.png",
    ],
)
@click.argument("predictions", type=FilePath(), nargs=-1, required=True)
@output_option("the gathered predictions")
def main(run: Run, predictions: tuple[str, ...], output: str | None) -> None:
    """Gather the PREDICTIONS of all folds of one cross-validation into one file.

    Each comes from train-reader --folds N --fold I and predict --held-out. Cells come in the
    order of the cells file; the measures are given over all cells and over folds.
    """
    from contextlib import ExitStack

    with ExitStack() as stack:
        from screader_lib.reader.cross_validation import spoken
        from screader_lib.reader.gathering import fold_number, gather

        opened = [stack.enter_context(run.open(name, "predictions")) for name in predictions]
        opened.sort(key=fold_number)
        inputs = {f"fold-{number + 1}": file for number, file in enumerate(opened)}
        with run.create("predictions", output, inputs) as file:
            run.reporter.say(spoken(gather(file, opened)))
