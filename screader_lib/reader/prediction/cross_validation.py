"""Cross-validation in one command: a reader per fold, and predictions of the cells it held out.

Each fold's predictions stay in a folder until all are merged, so a run that was killed resumes
with the fold it was at. Training and predicting fold by fold gives the same files.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from screader_lib import launch
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.folds import ALL_CELLS, Fold, assign_folds, group_column, groups_of
from screader_lib.errors import ScReaderError
from screader_lib.exchange import provenance, writing
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods.methods import llm_identity
from screader_lib.reader.prediction.write_predictions import PredictionOptions, write_predictions
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import LabelTexts, Task, TrainedMethod, labels_of, make_task
from screader_lib.reporting import SILENT, Reporter

TOOL = "train-reader"
DONOR_FOLDS = 5  # at most, where whole donors are held out for calibration


@dataclass(frozen=True)
class CrossValidation:
    """How to cross-validate: ``train`` makes a method of a task, files go to ``folder``.

    ``count`` folds, or 0 for as many as there are groups of the column ``group_by``; none without
    either. ``unlabelled`` are other files' cells, see :class:`Task`; ``label_texts`` are those
    that ``train`` gives to tasks.
    """

    cells: CellSequences
    settings: TrainingSettings
    count: int
    group_by: str
    folder: Path
    train: Callable[[Task], TrainedMethod]
    machine: Machine = ON_CPU
    reporter: Reporter = SILENT
    is_automatic: bool = False
    unlabelled: tuple[CellSequences, ...] = ()
    label_texts: LabelTexts | None = None

    def folds(self) -> list[Fold]:
        """All folds: those that the cells were built for, if these are the same.

        Otherwise a warning where the cells' genes were selected with the held-out cells. None
        without a count and groups.
        """
        if not (self.count or self.group_by):
            return []
        plan = self.cells.fold_plan
        built = plan.folds(self.count, self.group_by) if plan else []
        if built:
            self.reporter.info(f"{plan}, as built: each with the genes of its training cells.")
            return built
        count, genes = self.count, self.cells.genes_from
        if not count:
            _, rows, _ = labels_of(self.cells)
            name = self.cells.opened.name
            count = len(np.unique(groups_of(self.cells.obs, rows, self.group_by, name)))
        if genes == ALL_CELLS:
            options = f"--folds {self.count} " if self.count else ""
            options += f"--group-by {self.group_by} " if self.group_by else ""
            report = self.reporter.info if self.is_automatic else self.reporter.warning
            report(
                "genes were selected with the held-out cells included, so the figures are slightly "
                f"optimistic: build the cells with {options}to select them in each fold."
            )
        seed = self.settings.seed
        return [Fold(number + 1, count, self.group_by, seed, genes) for number in range(count)]

    def by_donors(self) -> CrossValidation:
        """The same over whole donors, at most ``DONOR_FOLDS`` folds, where that is possible.

        Not where the settings ask for no validation cells, donors are unknown, or without some of
        them there would be only one label.
        """
        _, rows, truth = labels_of(self.cells)
        obs, name, plan = self.cells.obs, self.cells.opened.name, self.cells.fold_plan
        by = group_column(obs, rows)
        if not by or not self.settings.validation:
            return self
        donors = len(np.unique(groups_of(obs, rows, by, name)))
        count = plan.count if plan and plan.group_by == by else min(donors, DONOR_FOLDS)
        validation = replace(self, count=count, group_by=by, is_automatic=True)
        fold = assign_folds(obs, rows, truth, count, by, self.settings.seed, name)
        for number in range(1, count + 1):
            if len(np.unique(truth[fold != number])) < 2:
                return self
        self.reporter.info(
            f"the cells are of {donors} {by}s: calibrating on {count} folds of whole "
            f"{by}s, each predicted by a reader that was not trained on it."
        )
        return validation

    def fold(self, number: int) -> Fold:
        """Fold ``number``, from 1; ScReaderError where there are fewer."""
        folds = self.folds()
        if number > len(folds):
            raise ScReaderError(
                f"has {len(folds)} groups, so there is no fold {number}.",
                file=self.cells.opened.name,
            )
        return folds[number - 1]

    def run(self) -> list[Path]:
        """Train and predict every fold that is not done; returns their predictions files."""
        folds = self.folds()
        if not folds:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        llm, files = llm_identity(self.settings, self.machine), []
        for fold in folds:
            fingerprint = provenance.fingerprint(
                cells=self.cells.opened.sha256,
                settings=self.settings.to_json(),
                llm=llm,
                fold=fold.to_json(),
                device=self.machine.device,
                unlabelled=[cells.opened.sha256 for cells in self.unlabelled],
                label_texts=self.label_texts and self.label_texts.identity,
            )
            file = self.folder / f"fold-{fold.number}-{fingerprint[:16]}.h5ad"
            files.append(file)
            if not file.exists():
                self._run_fold(fold, file)
                self.machine.processes.wait()
        return files

    def _run_fold(self, fold: Fold, target: Path) -> None:
        task = make_task(
            self.cells, self.settings, self.machine, self.reporter, fold, unlabelled=self.unlabelled
        )
        trained = self.train(task)
        stored = StoredReader.of(task, trained, evaluate(trained, task))
        cells = self.cells.opened
        made = provenance.make(TOOL, {}, {"cells": cells.input_record}, [cells.steps])
        with writing.create("predictions", str(target), made) as file:
            options = PredictionOptions(task.held_out)
            write_predictions(file, task.cells, stored, trained, options, self.reporter)


@contextmanager
def fold_folder(output: str | None) -> Iterator[Path]:
    """Where folds are saved: beside the output, so that a run after a kill finds them.

    Removed when all is done, or where the run failed before any fold was; a temporary folder where
    the output is no file.
    """
    if output in (None, "-"):
        with tempfile.TemporaryDirectory(prefix="screader-folds-") as temporary:
            yield Path(temporary)
        return
    path = Path(f"{output}.folds")
    try:
        yield path
    except BaseException:
        with suppress(OSError):  # it is not there, or holds folds to resume from
            path.rmdir()
        raise
    if not launch.is_worker():
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def open_predictions(files: Sequence[Path]) -> Iterator[list[ExchangeFile]]:
    """All predictions files at once."""
    with ExitStack() as stack:
        yield [stack.enter_context(open_exchange(file, "predictions")) for file in files]
