"""A reader trained on a ``cells`` file, with a cross-validation where one is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.folds import groups_of
from screader_lib.exchange import writing
from screader_lib.exchange.provenance import Provenance
from screader_lib.option_values import SLOW_METHODS
from screader_lib.reader.evaluation import Evaluation, evaluate
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods import methods
from screader_lib.reader.prediction.cross_validation import CrossValidation, open_predictions
from screader_lib.reader.prediction.merge_predictions import (
    fold_summary,
    merge_folds,
    out_of_fold_calibration,
)
from screader_lib.reader.reader_file import write_reader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import LabelTexts, Task, TrainedMethod, labels_of, make_task
from screader_lib.reporting import SILENT, Reporter


@dataclass(frozen=True)
class TrainingOptions:
    """What is trained beside the reader, and where: the options of ``train-reader``.

    ``folds`` and ``fold`` are 0 and ``group_by`` is empty where not given; ``calibrate_on`` is one
    of ``CALIBRATIONS``. ``folder`` keeps the folds' predictions, ``checkpoint`` the training.
    ``unlabelled`` are other files' cells, and ``label_texts`` what is written of the labels, see
    :class:`Task`.
    """

    folder: Path
    folds: int = 0
    fold: int = 0
    group_by: str = ""
    calibrate_on: str = "donors"
    out_of_fold: str | None = None
    checkpoint: Path | None = None
    checkpoint_minutes: float = 5.0
    embedder: str | None = None
    unlabelled: tuple[CellSequences, ...] = ()
    label_texts: LabelTexts | None = None


def train_reader(
    file: h5py.File,
    cells: CellSequences,
    settings: TrainingSettings,
    options: TrainingOptions,
    made: Provenance,
    card: dict[str, Any] | None = None,
    machine: Machine = ON_CPU,
    reporter: Reporter = SILENT,
) -> Evaluation:
    """Fill a new ``reader`` file; ``made`` is the provenance of the out-of-fold predictions.

    What was measured of the reader is returned.
    """

    def train(task: Task) -> TrainedMethod:
        state = options.checkpoint
        if state and task.fold and not options.fold:  # of a cross-validation
            state = options.folder / f"fold-{task.fold.number}.checkpoint"
        task = replace(task, label_texts=options.label_texts)
        return methods.train(task, state, options.checkpoint_minutes, options.embedder)

    folds, by, number = options.folds, options.group_by, options.fold
    validation = CrossValidation(
        cells, settings, folds, by, options.folder, train, machine, reporter,
        unlabelled=options.unlabelled, label_texts=options.label_texts,
    )  # fmt: skip
    whole_donors = options.calibrate_on == "donors" and not (folds or number or by)
    if whole_donors and settings.method not in SLOW_METHODS:
        validation = validation.by_donors()
    held_out = validation.fold(number) if number else None
    files = [] if number else validation.run()
    whole_donors = whole_donors and not files
    task = make_task(cells, settings, machine, reporter, held_out, whole_donors, options.unlabelled)
    trained = train(task)
    evaluation = evaluate(trained, task)
    if files:
        evaluation = _with_folds(validation, files, evaluation, options.out_of_fold, made)
    write_reader(file, task, trained, evaluation, card)
    machine.processes.wait()
    return evaluation


def _with_folds(
    validation: CrossValidation,
    files: list[Path],
    evaluation: Evaluation,
    out_of_fold: str | None,
    made: Provenance,
) -> Evaluation:
    """The evaluation with the out-of-fold predictions of all cells."""
    target = out_of_fold or str(validation.folder / "out-of-fold.h5ad")
    reporter, cells, by = validation.reporter, validation.cells, validation.group_by
    with (
        open_predictions(files) as parts,
        writing.create("predictions", target, made) as file,
    ):
        metrics = merge_folds(file, parts)
        group = groups_of(cells.obs, labels_of(cells)[1], by, cells.opened.name) if by else None
        calibration, known = out_of_fold_calibration(file, parts, group, by, reporter)
    reporter.info(fold_summary(metrics))
    kept = {key: value for key, value in evaluation.calibration.items() if key == "few_genes"}
    return replace(
        evaluation,
        calibration=kept | calibration,
        calibration_set=known,
        cross_validation=metrics,
    )
