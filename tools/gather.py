"""``screader gather``: merge the predictions of all folds, or of all shards, into one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from screader_lib.command_line.options import FilePath, output_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool

if TYPE_CHECKING:
    from screader_lib.exchange.opening import ExchangeFile


@tool(
    "gather",
    examples=[
        "screader gather part-*.h5ad -o predictions.h5ad",
        "screader gather fold-*.h5ad -o out-of-fold.h5ad",
        "screader gather fold-1.h5ad fold-2.h5ad | plot confusion -o confusion.png",
    ],
)
@click.argument("predictions", type=FilePath(), nargs=-1, required=True)
@output_option("the merged predictions")
def main(run: ToolRun, predictions: tuple[str, ...], output: str | None) -> None:
    """Merge the PREDICTIONS of all shards, or of all folds of a cross-validation, into one file.

    Shards come from predict --shard; the result is the file that predict without --shard would
    have written. Folds come from train-reader --folds N --fold I and predict --held-out; their
    cells are written in the order of the cells file, with metrics over all cells and per fold.
    """
    from contextlib import ExitStack

    with ExitStack() as stack:
        from screader_lib.reader.prediction.merge_predictions import merge_shards, shard_of

        opened = [stack.enter_context(run.open(name, "predictions")) for name in predictions]
        if all(shard_of(file) for file in opened):
            opened.sort(key=lambda file: shard_of(file)["number"])
            inputs = {f"shard-{number + 1}": file for number, file in enumerate(opened)}
            with run.create("predictions", output, inputs) as file:
                merge_shards(file, opened, run.reporter)
        else:
            _gather_folds(run, opened, output)


def _gather_folds(run: ToolRun, opened: list[ExchangeFile], output: str | None) -> None:
    from screader_lib.reader.prediction.merge_predictions import (
        fold_number,
        fold_summary,
        merge_folds,
    )

    opened.sort(key=fold_number)
    inputs = {f"fold-{number + 1}": file for number, file in enumerate(opened)}
    with run.create("predictions", output, inputs) as file:
        run.reporter.info(fold_summary(merge_folds(file, opened)))
