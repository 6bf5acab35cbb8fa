"""``train-reader``: labelled cells to a trained reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from screader_lib.command_line.options import OutputPath, input_argument, output_option, seed_option
from screader_lib.command_line.run import Run
from screader_lib.command_line.tool import tool
from screader_lib.reader.choices import (
    CLASS_WEIGHTS,
    CLASSIFIERS,
    DEVICES,
    INITIALS,
    METHODS,
    ORDERS,
    POSITIONS,
    PRECISIONS,
    QUANTIZATIONS,
    READ_OUTS,
    RECIPES,
    SCALINGS,
    SCHEDULES,
    TRAINED_IN_STEPS,
    WEIGHED,
    WITH_CLASSIFIER,
)


def _read_outs(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    parts = tuple(part for part in READ_OUTS if part in value.split(","))
    if not parts or set(value.split(",")) - set(READ_OUTS):
        raise click.BadParameter(f"wanted some of {','.join(READ_OUTS)}, separated by commas.")
    return parts


def _check_classifier(run: Run, method: str, given: dict[str, Any], embedder: str | None) -> None:
    """Wrong usage where an option is for other methods."""
    for option in ("classifier", "neighbours"):
        if given[option] is not None and method not in WITH_CLASSIFIER:
            wanted = " and ".join(WITH_CLASSIFIER)
            raise click.UsageError(f"--{option} is for --method {wanted}.", run.context)
    if given["neighbours"] is not None and given["classifier"] != "knn":
        raise click.UsageError("--neighbours is for --classifier knn.", run.context)
    if embedder is not None and method != "genept-s":
        raise click.UsageError("--embedder is for --method genept-s.", run.context)


@tool(
    "train-reader",
    examples=[
        "train-reader cells.h5ad -o reader.h5",
        "train-reader cells.h5ad --llm meta-llama/Llama-2-13b-hf --device cuda -o reader.h5",
        "train-reader cells.h5ad --method logistic -o control.h5",
        "train-reader cells.h5ad --method genept-s --classifier knn -o control.h5",
        "build-cells counts.h5ad -e genes.h5ad --label cell_type | train-reader -o reader.h5",
    ],
)
@input_argument("cells")
@output_option("the reader")
@click.option(
    "--method", type=click.Choice(METHODS), default="screader", help="scReader or a control."
)
@click.option(
    "--recipe",
    type=click.Choice(RECIPES),
    default="default",
    help="Settings to start from: those that learn best, or the paper's experiments.",
)
@click.option(
    "--llm",
    metavar="NAME",
    help="Frozen LLM: 'packaged' (SmolLM2-135M), a folder, or a Hugging Face id. "
    "[default: packaged]",
)
@click.option("--llm-layers", type=click.IntRange(min=1), help="Keep the LLM's first layers only.")
@click.option("--llm-revision", metavar="COMMIT", help="Revision of a Hugging Face id.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="Of the LLM's arithmetic; auto is bfloat16 where the processor has it. [default: auto]",
)
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZATIONS),
    help="Keep the LLM in 8 or 4 bits, for small cards (needs the gpu extra). [default: none]",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", help="Where to compute.")
@click.option("--instruction", metavar="TEXT", help="What the LLM is told beside the cell.")
@click.option("--order", type=click.Choice(ORDERS), help="Order of the LLM's input.")
@click.option(
    "--position",
    type=click.Choice(POSITIONS),
    help="Join the rank's encoding to each gene (paper, section 3.2).",
)
@click.option(
    "-k", "--genes-per-cell", type=click.IntRange(min=1), help="Genes of a cell the LLM reads."
)
@click.option(
    "--scaling", type=click.Choice(SCALINGS), help="What is done to gene embeddings first."
)
@click.option(
    "--weigh",
    type=click.Choice(WEIGHED),
    help="Where a gene's weight goes: onto its embedding (as in the paper) or its token.",
)
@click.option(
    "--initial",
    type=click.Choice(INITIALS),
    help="First weights: scaled to the LLM's own tokens, or the paper's N(0, 0.02).",
)
@click.option("--projector-layers", type=click.IntRange(min=1), help="Layers of the projector.")
@click.option(
    "--read-out",
    callback=_read_outs,
    metavar="LIST",
    help=f"What the head reads, of {','.join(READ_OUTS)}: the LLM's output at cls, its mean "
    "over the genes, the mean projected gene around the LLM.",
)
@click.option(
    "--warm-start-epochs", type=click.IntRange(min=0), help="Epochs before the LLM joins."
)
@click.option(
    "--warm-start-learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Learning rate before the LLM joins.",
)
@click.option("--epochs", type=click.IntRange(min=0), help="Epochs with the LLM.")
@click.option(
    "--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Highest learning rate."
)
@click.option("--warm-up-steps", type=click.IntRange(min=0), help="Steps to reach that rate.")
@click.option(
    "--schedule", type=click.Choice(SCHEDULES), help="Learning rate after the warm-up steps."
)
@click.option("--weight-decay", type=click.FloatRange(min=0), help="Of AdamW.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Cells a step.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Before the head.")
@click.option(
    "--gene-dropout",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of a cell's genes left out at random while training.",
)
@click.option(
    "--class-weights",
    type=click.Choice(CLASS_WEIGHTS),
    help="Weight of rare labels in the loss: none, by the root of, or by the inverse frequency.",
)
@click.option(
    "--classifier",
    type=click.Choice(CLASSIFIERS),
    help="Of genept-w and genept-s: logistic regression, or nearest neighbours by cosine. "
    "[default: logistic]",
)
@click.option(
    "--neighbours", type=click.IntRange(min=1), help="Neighbours that vote. [default: 10]"
)
@click.option(
    "--embedder",
    metavar="PLACE",
    help="Where the text model of genept-s is: a folder, a Hugging Face id, a server's URL or "
    "'packaged'. [default: as the genes were embedded]",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 0.5),
    help="Share of each label's cells kept to calibrate confidence and to watch the training.",
)
@click.option(
    "--micro-batch-tokens",
    type=click.IntRange(min=1),
    help="Most tokens the LLM reads at once; less needs less memory.",
)
@click.option(
    "--checkpoint",
    type=OutputPath(),
    show_default="OUTPUT.checkpoint, where the output is a file",
    help="Keep the training's state here; a run that was killed goes on from it.",
)
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=5.0,
    help="How often; 0 is after every step.",
)
@seed_option
def main(
    run: Run,
    cells: str,
    output: str | None,
    method: str,
    recipe: str,
    device: str,
    checkpoint: str | None,
    checkpoint_minutes: float,
    embedder: str | None,
    **given: Any,
) -> None:
    """Train a reader on labelled CELLS (from build-cells).

    The LLM stays frozen; a projector, a cls vector and a classifying head are learnt, and only
    these are stored. Options without a default come from the recipe; docs/tools/train-reader.md
    lists its values. Run again after a kill, the same command goes on where the last state was
    kept, and ends with the same reader.
    """
    from screader_lib.reader.settings import settings_for

    _check_classifier(run, method, given, embedder)
    settings = settings_for(method, recipe, given)
    if checkpoint is None and output not in (None, "-"):
        checkpoint = f"{output}.checkpoint"
    state = Path(checkpoint) if checkpoint and method in TRAINED_IN_STEPS else None
    with (
        run.open(cells, "cells") as opened,
        run.create("reader", output, {"cells": opened}) as file,
    ):
        from screader_lib.cells.reading import CellSequences
        from screader_lib.reader import methods
        from screader_lib.reader.device import prepare
        from screader_lib.reader.file import write_reader
        from screader_lib.reader.task import calibrate, make_task

        place = prepare(device)
        task = make_task(CellSequences(opened), settings, place, run.reporter)
        trained = methods.train(task, state, checkpoint_minutes, embedder)
        write_reader(file, task, trained, calibrate(trained, task))
    if state is not None:
        state.unlink(missing_ok=True)
