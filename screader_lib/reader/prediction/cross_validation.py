"""Cross-validation in one go: a reader a fold, and the calls on the cells that each held out.

Each fold's predictions stay in a folder until all are gathered, so a run that was killed goes on
with the fold it was at. The same files come from training and predicting fold by fold.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib import launch
from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, provenance, writing
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.exchange.provenance import Provenance, fingerprint
from screader_lib.reader.confidence.familiarity import CalibrationSet
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.folds import Fold, groups_of
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods.methods import llm_identity
from screader_lib.reader.prediction.write_predictions import PredictionOptions, write_predictions
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Task, TrainedMethod, labels_of, make_task
from screader_lib.reporting import SILENT, Reporter

TOOL = "train-reader"


@dataclass(frozen=True)
class CrossValidation:
    """How to cross-validate: ``train`` makes a method of a task, files go to ``folder``."""

    cells: CellSequences
    settings: TrainingSettings
    count: int
    group_by: str
    folder: Path
    train: Callable[[Task], TrainedMethod]
    machine: Machine = ON_CPU
    reporter: Reporter = SILENT

    def folds(self) -> list[Fold]:
        """All folds; as many as there are groups where no ``count`` is given."""
        count = self.count
        if not count:
            _, rows, _ = labels_of(self.cells)
            count = len(np.unique(groups_of(self.cells, rows, self.group_by)))
        seed = self.settings.seed
        return [Fold(number + 1, count, self.group_by, seed) for number in range(count)]

    def fold(self, number: int) -> Fold:
        """Fold ``number``, from 1; ScReaderError where there are fewer."""
        folds = self.folds()
        if number > len(folds):
            raise ScReaderError(
                f"has {len(folds)} groups, so there is no fold {number}.",
                file=self.cells.opened.name,
            )
        return folds[number - 1]

    def _fingerprint(self, fold: Fold) -> str:
        return fingerprint(
            cells=self.cells.opened.sha256,
            settings=self.settings.to_json(),
            llm=llm_identity(self.settings, self.machine),
            fold=fold.to_json(),
            device=self.machine.device,
        )

    def _file(self, fold: Fold) -> Path:
        return self.folder / f"fold-{fold.number}-{self._fingerprint(fold)[:16]}.h5ad"

    def run(self) -> list[Path]:
        """Train and call every fold that is not done; returns their predictions files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = []
        for fold in self.folds():
            file = self._file(fold)
            if not file.exists():
                self._run_fold(fold, file)
                self.machine.wait()
            files.append(file)
        return files

    def _run_fold(self, fold: Fold, target: Path) -> None:
        task = make_task(self.cells, self.settings, self.machine, self.reporter, fold)
        trained = self.train(task)
        stored = StoredReader.of(task, trained, evaluate(trained, task))
        with writing.create("predictions", str(target), self._provenance()) as file:
            write_predictions(
                file, self.cells, stored, trained, PredictionOptions(task.held_out), self.reporter
            )

    def _provenance(self) -> Provenance:
        cells = self.cells.opened
        return provenance.make(TOOL, {}, {"cells": cells.input_record}, [cells.steps])


@contextmanager
def folder(output: str | None) -> Iterator[Path]:
    """Where folds are kept: beside the output, so that a run after a kill finds them.

    Removed when all is done; a temporary folder where the output is no file.
    """
    if output in (None, "-"):
        with tempfile.TemporaryDirectory(prefix="screader-folds-") as temporary:
            yield Path(temporary)
        return
    path = Path(f"{output}.folds")
    yield path
    if not launch.is_worker():
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def opened(files: Sequence[Path]) -> Iterator[list[ExchangeFile]]:
    """All predictions files at once."""
    with ExitStack() as stack:
        yield [stack.enter_context(open_exchange(file, "predictions")) for file in files]


def calibration_set_of(file: h5py.File) -> CalibrationSet:
    """What the folds' readers said of all cells, from gathered predictions."""
    obs = encoding.read_table(file["obs"])
    correct = obs.strings("predicted_label") == obs.strings("true_label")
    return CalibrationSet(
        np.asarray(obs.columns["confidence"]),
        correct.astype(bool),
        np.asarray(obs.columns["evidence"]),
    )


def spoken(metrics: dict[str, Any]) -> str:
    """The measures over folds in words."""
    folds = metrics["folds"]
    parts = [
        f"{name.replace('_', ' ')} {folds[name]['mean']:.3f} ± {folds[name]['spread']:.3f}"
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    ]
    count = len(folds["accuracy"]["values"])
    return (
        f"over {count} folds: {', '.join(parts)}; "
        f"calibration error {metrics['calibration_error']:.3f} over all cells."
    )
