"""``train-reader``: labelled cells to a trained reader."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib import launch
from screader_lib.command_line.options import (
    FilePath,
    OutputPath,
    input_argument,
    output_option,
    seed_option,
)
from screader_lib.command_line.run import Inputs, ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.option_values import (
    CALIBRATIONS,
    CLASSIFIER_METHODS,
    ITERATIVE_METHODS,
    LABEL_TEXT_METHODS,
    METHODS,
    PACKAGED,
    PAPER_METHODS,
    RECIPES,
    UNLABELLED_METHODS,
)
from screader_tools.machine_options import machine_options
from screader_tools.train_reader_settings import settings_options

if TYPE_CHECKING:
    from screader_lib.exchange.opening import ExchangeFile
    from screader_lib.reader.task import LabelTexts
    from screader_lib.reporting import Reporter


@tool(
    "train-reader",
    examples=[
        "train-reader cells.h5ad -o reader.h5",
        "train-reader cells.h5ad --llm meta-llama/Llama-2-13b-hf --device cuda -o reader.h5",
        "train-reader cells.h5ad --method logistic -o control.h5",
        "train-reader few.h5ad --method few-labels --unlabelled others.h5ad -o reader.h5",
        "train-reader cells.h5ad --folds 10 --oof-predictions calls.h5ad -o reader.h5",
        "train-reader cells.h5ad --group-by donor --fold 2 -o reader-of-fold-2.h5",
        "train-reader cells.h5ad --method pooled --card card.yaml -o reader.h5",
        "train-reader cells.h5ad --method genept-s --classifier knn -o control.h5",
        "build-cells counts.h5ad -e genes.h5ad --label cell_type | train-reader -o reader.h5",
    ],
    resumes="its last checkpoint, where the output is a file",
)
@input_argument("cells")
@output_option("the reader")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="screader",
    help="screader; the same with a randomly initialised LLM (screader-random) or none (pooled); "
    "genept, genept-w, genept-s: GenePT; logistic, components: logistic regression on genes or "
    "principal components; majority: the most frequent label; few-labels: for a few labelled "
    "cells among many.",
)
@click.option(
    "--recipe",
    type=click.Choice(RECIPES),
    default="default",
    help="Base settings: those that learn best, or those of the paper's experiments (for methods "
    "screader, screader-random and genept).",
)
@click.option(
    "--unlabelled",
    type=FilePath(),
    multiple=True,
    help="Further cells, from build-cells --like CELLS, that join in without a label: method "
    "few-labels places all cells among them. Labels there are not read. Repeatable.",
)
@click.option(
    "--label-texts",
    metavar="packaged|TABLE",
    help="With method logistic, shrink the weights of genes not towards zero but towards the "
    "similarity of the genes' and labels' texts: by the labels' names and the Cell Ontology "
    "(packaged), or by TABLE, .csv or .tsv with columns type (the label) and optionally "
    "ontology_id and text. Of four data sets it helped on one, sorted blood with 1 to 5 cells of "
    "each type, and lowered macro F1 on others (benchmarks/texts.md).",
)
@settings_options
@machine_options
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Cross-validate with this many folds, stratified by label, or of whole groups with "
    "--group-by.",
)
@click.option(
    "--fold",
    type=click.IntRange(min=1),
    help="Train on all folds but this one, counted from 1; predict --held-out then labels its "
    "cells.",
)
@click.option(
    "--group-by",
    metavar="COLUMN",
    help="Assign whole groups, such as donors, to folds; one fold per group unless --folds is "
    "given.",
)
@click.option(
    "--calibrate-on",
    type=click.Choice(CALIBRATIONS),
    default="donors",
    help="Calibrate confidence on whole donors where the cells are of several, so that it holds "
    "for new donors, or on validation cells of all donors. Methods with an LLM or a text model "
    "only use donors with few enough cells: give --group-by for these.",
)
@click.option(
    "--card",
    type=FilePath(),
    help="What to say of the reader, in YAML or JSON: name, tissue, species, studies, limits "
    "(docs/readers.md); 'screader readers show' prints it.",
)
@click.option(
    "--oof-predictions",
    type=OutputPath(),
    metavar="FILE",
    help="Write out-of-fold predictions: each cell labelled by a reader not trained on it.",
)
@click.option(
    "--checkpoint",
    type=OutputPath(),
    show_default="OUTPUT.checkpoint, if the output is a file",
    help="File for the training checkpoint; a killed run resumes from it.",
)
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=5.0,
    help="Minutes between checkpoints; 0: after every step.",
)
@seed_option
def main(
    run: ToolRun,
    cells: str,
    output: str | None,
    method: str,
    recipe: str,
    unlabelled: tuple[str, ...],
    label_texts: str | None,
    device: str,
    max_memory: int | None,
    checkpoint_activations: int | None,
    compile: bool,
    checkpoint: str | None,
    checkpoint_minutes: float,
    embedder: str | None,
    folds: int | None,
    fold: int | None,
    group_by: str | None,
    calibrate_on: str,
    card: str | None,
    oof_predictions: str | None,
    **given: Any,
) -> None:
    """Train a reader on labelled CELLS (from build-cells).

    The LLM stays frozen; a projector, a cls vector and a classification head are trained, and
    only these are stored. Options without a default are set by the recipe;
    docs/tools/train-reader.md lists its values. If the command is killed and run again, it
    resumes from the last checkpoint and ends with the same reader.

    With --folds or --group-by, each fold is labelled by a reader that was not trained on it;
    then the reader is trained on all cells and its confidence calibrated on the out-of-fold
    predictions. Without these options, methods that need no LLM or text model do so by whole
    donors, in at most 5 folds, if the cells are of several (see --calibrate-on). Otherwise,
    confidence is calibrated on the validation cells. Labels with fewer than 10 cells have no
    validation cells, so confidence in them is not calibrated. --method few-labels instead
    predicts each labelled cell with that cell's label left out, for labels with 3 cells or more,
    if these have 20 cells in all.

    --fold trains the reader of a single fold, so that a cluster can run the folds in parallel;
    'screader gather' merges their predictions.
    """
    from screader_lib.reader.settings import settings_for

    _check_method(run, method, recipe, given, embedder)
    if unlabelled and method not in UNLABELLED_METHODS:
        raise click.UsageError(
            f"--unlabelled only applies to --method {' and '.join(UNLABELLED_METHODS)}.",
            run.context,
        )
    if label_texts and method not in LABEL_TEXT_METHODS:
        raise click.UsageError(
            f"--label-texts only applies to --method {' and '.join(LABEL_TEXT_METHODS)}.",
            run.context,
        )
    _check_folds(run, folds, fold, group_by, oof_predictions)
    if oof_predictions is not None:
        oof_predictions = run.output_path(oof_predictions)
    settings = settings_for(method, recipe, given)
    if checkpoint is None and output not in (None, "-"):
        checkpoint = f"{output}.checkpoint"
    state = Path(checkpoint) if checkpoint and method in ITERATIVE_METHODS else None
    with (
        run.open(cells, "cells") as opened,
        ExitStack() as stack,
        run.path(card) if card else nullcontext() as card_path,
    ):
        table = None
        if label_texts not in (None, PACKAGED):
            table = stack.enter_context(run.path(label_texts))
        others = [stack.enter_context(run.open(path, "cells")) for path in unlabelled]
        file = stack.enter_context(
            run.create("reader", output, _inputs(opened, others, card_path, table))
        )
        from screader_lib.cells.cells_file import CellSequences
        from screader_lib.reader.llm.machine import prepare
        from screader_lib.reader.prediction.cross_validation import fold_folder
        from screader_lib.reader.train_reader import TrainingOptions, train_reader
        from screader_lib.readers.card import read_card

        about = read_card(card_path, card) if card_path else None
        sequences = CellSequences(opened)
        machine = prepare(device, max_memory, checkpoint_activations, compile)
        with fold_folder(output) as folder:
            options = TrainingOptions(
                folder, folds or 0, fold or 0, group_by or "", calibrate_on, oof_predictions,
                state, checkpoint_minutes, embedder,
                tuple(CellSequences(other, sequential=True) for other in others),
                _label_texts(label_texts, table, run.reporter) if label_texts else None,
            )  # fmt: skip
            made = run.provenance({"cells": opened})
            train_reader(file, sequences, settings, options, made, about, machine, run.reporter)
    if state is not None and not launch.is_worker():
        state.unlink(missing_ok=True)


def _label_texts(asked: str, table: Path | None, reporter: Reporter) -> LabelTexts:
    from screader_lib.annotation.no_labels.label_texts import label_texts_of

    return label_texts_of(asked, table, reporter)


def _inputs(
    cells: ExchangeFile, unlabelled: list[ExchangeFile], card: Path | None, table: Path | None
) -> Inputs:
    inputs: dict[str, ExchangeFile | Path] = {"cells": cells}
    inputs |= {f"unlabelled-{number}": one for number, one in enumerate(unlabelled, 1)}
    files = {"card": card, "label_texts": table}
    return inputs | {role: path for role, path in files.items() if path is not None}


def _check_method(
    run: ToolRun, method: str, recipe: str, given: dict[str, Any], embedder: str | None
) -> None:
    """A usage error if an option does not apply to the method."""
    if recipe == "paper" and method not in PAPER_METHODS:
        methods = f"{', '.join(PAPER_METHODS[:-1])} and {PAPER_METHODS[-1]}"
        raise click.UsageError(
            f"--recipe paper only applies to --method {methods}; the paper has no settings for "
            f"{method}.",
            run.context,
        )
    for option in ("classifier", "neighbours"):
        if given[option] is not None and method not in CLASSIFIER_METHODS:
            methods = " and ".join(CLASSIFIER_METHODS)
            raise click.UsageError(f"--{option} only applies to --method {methods}.", run.context)
    if given["neighbours"] is not None and given["classifier"] != "knn":
        raise click.UsageError("--neighbours only applies to --classifier knn.", run.context)
    if embedder is not None and method != "genept-s":
        raise click.UsageError("--embedder only applies to --method genept-s.", run.context)


def _check_folds(
    run: ToolRun,
    folds: int | None,
    fold: int | None,
    group_by: str | None,
    oof_predictions: str | None,
) -> None:
    if fold and folds and fold > folds:
        raise click.UsageError(
            f"--fold {fold} is out of range: there are {folds} folds.", run.context
        )
    if fold and not (folds or group_by):
        raise click.UsageError("--fold requires --folds or --group-by.", run.context)
    if oof_predictions and (fold or not (folds or group_by)):
        raise click.UsageError(
            "--oof-predictions requires --folds or --group-by, and cannot be combined with --fold.",
            run.context,
        )
