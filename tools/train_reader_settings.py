"""The options of ``train-reader`` that are fields of ``TrainingSettings``; see reader.settings."""

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


def _parse_poolings(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """The comma-separated poolings in their usual order; a usage error for unknown ones."""
    if value is None:
        return None
    given = set(value.split(","))
    if given - set(POOLINGS):
        raise click.BadParameter(f"expected a comma-separated list of {', '.join(POOLINGS)}.")
    return tuple(name for name in POOLINGS if name in given)


OPTIONS = (
    click.option(
        "--llm",
        metavar="NAME",
        help="Frozen LLM: 'packaged' (SmolLM2-135M), a folder, or a Hugging Face id. "
        "[default: packaged]",
    ),
    click.option(
        "--llm-layers", type=click.IntRange(min=1), help="Use only the LLM's first N layers."
    ),
    click.option("--llm-revision", metavar="COMMIT", help="Revision of the Hugging Face model."),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Precision of the LLM; auto: bfloat16 where the hardware supports it. [default: auto]",
    ),
    click.option(
        "--quantize",
        type=click.Choice(QUANTIZATIONS),
        help="Quantize the LLM: fp8 for GPUs with 8-bit floating-point units (twice as fast), 8bit "
        "and 4bit for small GPUs (require the gpu extra). [default: none]",
    ),
    click.option(
        "--instruction", metavar="TEXT", help="Instruction given to the LLM along with the cell."
    ),
    click.option("--order", type=click.Choice(ORDERS), help="Order of the LLM's input sequence."),
    click.option(
        "--position",
        type=click.Choice(POSITIONS),
        help="Concatenate an encoding of the gene's rank to its embedding (paper, section 3.2).",
    ),
    click.option(
        "-k",
        "--genes-per-cell",
        type=click.IntRange(min=1),
        help="Genes per cell that the LLM reads.",
    ),
    click.option(
        "--scaling",
        type=click.Choice(SCALINGS),
        help="How gene embeddings are scaled before the projector.",
    ),
    click.option(
        "--weight-on",
        type=click.Choice(WEIGHT_TARGETS),
        help="What a gene's weight multiplies: its embedding (as in the paper) or its token.",
    ),
    click.option(
        "--init",
        type=click.Choice(INITS),
        help="Initial weights: scaled to the LLM's token embeddings, or the paper's N(0, 0.02).",
    ),
    click.option(
        "--gene-scores/--no-gene-scores",
        default=None,
        help="Add a linear score of every gene for every label, fitted on gene identity and text.",
    ),
    click.option(
        "--gene-offsets",
        type=click.FloatRange(min=0),
        help="Initial standard deviation of a learned vector added to each gene's projected text; "
        "0: none.",
    ),
    click.option(
        "--projector-layers", type=click.IntRange(min=1), help="Number of projector layers."
    ),
    click.option(
        "--pooling",
        callback=_parse_poolings,
        metavar="LIST",
        help=f"What the head reads, any of {','.join(POOLINGS)}: the LLM's output at "
        "cls, the mean of its outputs over the genes, the weighted mean of the projected genes "
        "(bypassing the LLM).",
    ),
    click.option(
        "--warm-start-epochs",
        type=click.IntRange(min=0),
        help="Epochs of the warm start, without the LLM.",
    ),
    click.option(
        "--warm-start-steps",
        type=click.IntRange(min=0),
        help="The warm start ends after this many steps at the latest, so that it does not take "
        "longer the more cells there are; 0: no limit.",
    ),
    click.option(
        "--warm-start-learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        help="Learning rate of the warm start.",
    ),
    click.option("--epochs", type=click.IntRange(min=0), help="Epochs of the LLM stage."),
    click.option(
        "--learning-rate",
        type=click.FloatRange(min=0, min_open=True),
        help="Peak learning rate of the LLM stage.",
    ),
    click.option(
        "--warm-up-steps",
        type=click.IntRange(min=0),
        help="Steps of linear warm-up to the peak learning rate.",
    ),
    click.option(
        "--schedule", type=click.Choice(SCHEDULES), help="Learning-rate schedule after warm-up."
    ),
    click.option("--weight-decay", type=click.FloatRange(min=0), help="Weight decay of AdamW."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Cells per training step."),
    click.option(
        "--dropout",
        type=click.FloatRange(0, 1, max_open=True),
        help="Dropout before the classification head.",
    ),
    click.option(
        "--gene-dropout",
        type=click.FloatRange(0, 1, max_open=True),
        help="Fraction of a cell's genes dropped at random during training.",
    ),
    click.option(
        "--class-weights",
        type=click.Choice(CLASS_WEIGHTS),
        help="Label weights in the loss: none, inverse square root of the frequency, or inverse "
        "frequency.",
    ),
    click.option(
        "--classifier",
        type=click.Choice(CLASSIFIERS),
        help="Classifier of genept-w and genept-s: logistic regression, or k nearest neighbours by "
        "cosine similarity. [default: logistic]",
    ),
    click.option(
        "--neighbours",
        type=click.IntRange(min=1),
        help="Number of neighbours that vote (--classifier knn). [default: 10]",
    ),
    click.option(
        "--embedder",
        metavar="MODEL",
        help="Text embedding model of genept-s: a folder, a Hugging Face id, a server's URL or "
        "'packaged'. [default: the model that embedded the genes]",
    ),
    click.option(
        "--cells-per-label",
        type=click.IntRange(min=0),
        help="Train on at most this many cells of each label, drawn at random and evenly from the "
        "donors; 0: all. A million cells are learnt from in minutes by a few thousand of each "
        "label (benchmarks/training_many_cells.md).",
    ),
    click.option(
        "--validation",
        type=click.FloatRange(0, 0.5),
        help="Fraction of each label's cells held back as validation cells, for early stopping and "
        "calibration; none of labels with fewer than 10 cells.",
    ),
    click.option(
        "--patience",
        type=click.IntRange(min=0),
        help="Stop a stage after this many validations without improvement; 0: never. The best "
        "weights are kept either way.",
    ),
    click.option(
        "--micro-batch-tokens",
        type=click.IntRange(min=1),
        help="Maximum number of tokens per LLM call; fewer need less memory.",
    ),
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of them, in this order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
