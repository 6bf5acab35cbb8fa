"""The options of ``train-reader`` that are settings of a training; see reader.settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from screader_lib.option_values import (
    CLASS_WEIGHTS,
    CLASSIFIERS,
    INITS,
    ORDERS,
    POOLINGS,
    POSITIONS,
    PRECISIONS,
    QUANTIZATIONS,
    SCALINGS,
    SCHEDULES,
    WEIGHT_TARGETS,
)


def _poolings(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    parts = tuple(part for part in POOLINGS if part in value.split(","))
    if not parts or set(value.split(",")) - set(POOLINGS):
        raise click.BadParameter(f"wanted some of {','.join(POOLINGS)}, separated by commas.")
    return parts


OPTIONS = (
    click.option(
        "--llm",
        metavar="NAME",
        help="Frozen LLM: 'packaged' (SmolLM2-135M), a folder, or a Hugging Face id. "
        "[default: packaged]",
    ),
    click.option(
        "--llm-layers", type=click.IntRange(min=1), help="Keep the LLM's first layers only."
    ),
    click.option("--llm-revision", metavar="COMMIT", help="Revision of a Hugging Face id."),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Of the LLM's arithmetic; auto is bfloat16 where the processor has it. "
        "[default: auto]",
    ),
    click.option(
        "--quantize",
        type=click.Choice(QUANTIZATIONS),
        help="Keep the LLM in fewer bits: fp8 for GPUs that multiply 8-bit floats, twice as fast; "
        "8bit and 4bit for small cards (need the gpu extra). [default: none]",
    ),
    click.option("--instruction", metavar="TEXT", help="What the LLM is told beside the cell."),
    click.option("--order", type=click.Choice(ORDERS), help="Order of the LLM's input."),
    click.option(
        "--position",
        type=click.Choice(POSITIONS),
        help="Join the rank's encoding to each gene (paper, section 3.2).",
    ),
    click.option(
        "-k", "--genes-per-cell", type=click.IntRange(min=1), help="Genes of a cell the LLM reads."
    ),
    click.option(
        "--scaling", type=click.Choice(SCALINGS), help="What is done to gene embeddings first."
    ),
    click.option(
        "--weight-on",
        type=click.Choice(WEIGHT_TARGETS),
        help="Where a gene's weight goes: onto its embedding (as in the paper) or its token.",
    ),
    click.option(
        "--init",
        type=click.Choice(INITS),
        help="First weights: scaled to the LLM's own tokens, or the paper's N(0, 0.02).",
    ),
    click.option(
        "--gene-scores/--no-gene-scores",
        default=None,
        help="Add what each gene says for each label by itself, by name and text.",
    ),
    click.option(
        "--gene-offsets",
        type=click.FloatRange(min=0),
        help="Spread, at the start, of a vector that each gene learns beside its text; "
        "0: text alone.",
    ),
    click.option("--projector-layers", type=click.IntRange(min=1), help="Layers of the projector."),
    click.option(
        "--pooling",
        callback=_poolings,
        metavar="LIST",
        help=f"What the head reads, of {','.join(POOLINGS)}: the LLM's output at cls, its mean "
        "over the genes, the mean projected gene around the LLM.",
    ),
    click.option(
        "--warm-start-epochs", type=click.IntRange(min=0), help="Epochs before the LLM joins."
    ),
    click.option(
        "--warm-start-learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        help="Learning rate before the LLM joins.",
    ),
    click.option("--epochs", type=click.IntRange(min=0), help="Epochs with the LLM."),
    click.option(
        "--learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        help="Highest learning rate.",
    ),
    click.option("--warm-up-steps", type=click.IntRange(min=0), help="Steps to reach that rate."),
    click.option(
        "--schedule", type=click.Choice(SCHEDULES), help="Learning rate after the warm-up steps."
    ),
    click.option("--weight-decay", type=click.FloatRange(min=0), help="Of AdamW."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Cells a step."),
    click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Before the head."),
    click.option(
        "--gene-dropout",
        type=click.FloatRange(0, 1, max_open=True),
        help="Share of a cell's genes left out at random while training.",
    ),
    click.option(
        "--class-weights",
        type=click.Choice(CLASS_WEIGHTS),
        help="Weight of rare labels in the loss: none, by the root of, or by the inverse "
        "frequency.",
    ),
    click.option(
        "--classifier",
        type=click.Choice(CLASSIFIERS),
        help="Of genept-w and genept-s: logistic regression, or nearest neighbours by cosine. "
        "[default: logistic]",
    ),
    click.option(
        "--neighbours", type=click.IntRange(min=1), help="Neighbours that vote. [default: 10]"
    ),
    click.option(
        "--embedder",
        metavar="PLACE",
        help="Where the text model of genept-s is: a folder, a Hugging Face id, a server's URL or "
        "'packaged'. [default: as the genes were embedded]",
    ),
    click.option(
        "--validation",
        type=click.FloatRange(0, 0.5),
        help="Share of each label's cells kept to calibrate confidence and to watch the training.",
    ),
    click.option(
        "--patience",
        type=click.IntRange(min=0),
        help="End a stage after so many checks on kept cells without a better one; 0: never. "
        "The best state stays in any case.",
    ),
    click.option(
        "--micro-batch-tokens",
        type=click.IntRange(min=1),
        help="Most tokens the LLM reads at once; less needs less memory.",
    ),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of them, in this order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
