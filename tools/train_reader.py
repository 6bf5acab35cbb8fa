"""``train-reader``: labelled cells to a trained reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib import launch
from screader_lib.command_line.options import OutputPath, input_argument, output_option, seed_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.option_values import CLASSIFIER_METHODS, ITERATIVE_METHODS, METHODS, RECIPES
from screader_tools.machine_options import machine_options
from screader_tools.train_reader_settings import settings_options

if TYPE_CHECKING:
    from screader_lib.reader.evaluation import Evaluation
    from screader_lib.reader.prediction.cross_validation import CrossValidation


@tool(
    "train-reader",
    examples=[
        "train-reader cells.h5ad -o reader.h5",
        "train-reader cells.h5ad --llm meta-llama/Llama-2-13b-hf --device cuda -o reader.h5",
        "train-reader cells.h5ad --method logistic -o control.h5",
        "train-reader cells.h5ad --folds 10 --oof-predictions calls.h5ad -o reader.h5",
        "train-reader cells.h5ad --group-by donor --fold 2 -o without-donor-2.h5",
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
@settings_options
@machine_options
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Cross-validate: as many folds, stratified by label, or whole groups of --group-by.",
)
@click.option(
    "--fold",
    type=click.IntRange(min=1),
    help="Train on all folds but this one, from 1; predict --held-out then calls its cells.",
)
@click.option(
    "--group-by",
    metavar="COLUMN",
    help="Folds of whole groups, such as donors; one each unless --folds says fewer.",
)
@click.option(
    "--oof-predictions",
    type=OutputPath(),
    metavar="FILE",
    help="Write the calls of all cells, each by the reader of the fold that held it out.",
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
    run: ToolRun,
    cells: str,
    output: str | None,
    method: str,
    recipe: str,
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
    oof_predictions: str | None,
    **given: Any,
) -> None:
    """Train a reader on labelled CELLS (from build-cells).

    The LLM stays frozen; a projector, a cls vector and a classifying head are learnt, and only
    these are stored. Options without a default come from the recipe; docs/tools/train-reader.md
    lists its values. Run again after a kill, the same command goes on where the last state was
    kept, and ends with the same reader.

    With --folds or --group-by, each fold is called by a reader that never saw it, then the
    reader is trained on all cells; its confidence is measured on all of them. --fold trains the
    reader of one fold only, so that a cluster can share the work; 'screader gather' joins it.
    """
    from screader_lib.reader.settings import settings_for

    _check_classifier(run, method, given, embedder)
    _check_folds(run, folds, fold, group_by, oof_predictions)
    settings = settings_for(method, recipe, given)
    if checkpoint is None and output not in (None, "-"):
        checkpoint = f"{output}.checkpoint"
    state = Path(checkpoint) if checkpoint and method in ITERATIVE_METHODS else None
    with (
        run.open(cells, "cells") as opened,
        run.create("reader", output, {"cells": opened}) as file,
    ):
        from screader_lib.cells.cells_file import CellSequences
        from screader_lib.reader.evaluation import measure
        from screader_lib.reader.llm.machine import prepare
        from screader_lib.reader.methods import methods
        from screader_lib.reader.prediction import cross_validation
        from screader_lib.reader.reader_file import write_reader
        from screader_lib.reader.task import make_task

        sequences, place = (
            CellSequences(opened),
            prepare(device, max_memory, checkpoint_activations, compile),
        )
        with cross_validation.folder(output) as folder:

            def train(task: Any) -> Any:
                crossing = task.fold and not fold
                file = folder / f"fold-{task.fold.number}.checkpoint" if crossing else state
                return methods.train(task, state and file, checkpoint_minutes, embedder)

            plan = cross_validation.CrossValidation(
                sequences, settings, folds or 0, group_by or "", folder, train, place, run.reporter
            )
            held_out = plan.fold(fold) if fold else None
            crossed = plan.run() if (folds or group_by) and not fold else []
            task = make_task(sequences, settings, place, run.reporter, held_out)
            trained = train(task)
            finding = measure(trained, task)
            if crossed:
                finding = _gathered(run, plan, crossed, finding, oof_predictions)
            write_reader(file, task, trained, finding)
            place.wait()
    if state is not None and not launch.is_worker():
        state.unlink(missing_ok=True)


def _check_classifier(
    run: ToolRun, method: str, given: dict[str, Any], embedder: str | None
) -> None:
    """Wrong usage where an option is for other methods."""
    for option in ("classifier", "neighbours"):
        if given[option] is not None and method not in CLASSIFIER_METHODS:
            wanted = " and ".join(CLASSIFIER_METHODS)
            raise click.UsageError(f"--{option} is for --method {wanted}.", run.context)
    if given["neighbours"] is not None and given["classifier"] != "knn":
        raise click.UsageError("--neighbours is for --classifier knn.", run.context)
    if embedder is not None and method != "genept-s":
        raise click.UsageError("--embedder is for --method genept-s.", run.context)


def _gathered(
    run: ToolRun,
    plan: CrossValidation,
    files: list[Path],
    finding: Evaluation,
    oof_predictions: str | None,
) -> Evaluation:
    """The finding with what the folds' readers said of all cells."""
    from screader_lib.reader.prediction import cross_validation
    from screader_lib.reader.prediction.merge_folds import gather

    target = oof_predictions or str(plan.folder / "out-of-fold.h5ad")
    inputs = {"cells": plan.cells.opened}
    with (
        cross_validation.opened(files) as parts,
        run.create("predictions", target, inputs) as file,
    ):
        metrics = gather(file, parts)
        kept = cross_validation.calibration_set_of(file)
    run.reporter.info(cross_validation.spoken(metrics))
    return finding.with_cross_validation(kept, metrics)


def _check_folds(
    run: ToolRun,
    folds: int | None,
    fold: int | None,
    group_by: str | None,
    oof_predictions: str | None,
) -> None:
    if fold and folds and fold > folds:
        raise click.UsageError(f"there is no --fold {fold} of --folds {folds}.", run.context)
    if fold and not (folds or group_by):
        raise click.UsageError("--fold needs --folds or --group-by.", run.context)
    if oof_predictions and (fold or not (folds or group_by)):
        raise click.UsageError(
            "--oof-predictions needs --folds or --group-by, and no --fold.", run.context
        )
