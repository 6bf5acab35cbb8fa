"""What a method is given to learn from, and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from screader_lib import label_metrics
from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence.calibration import calibrated_loss, fit_temperature, log_sum_exp
from screader_lib.reader.folds import Fold, assign
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reporting import SILENT, Reporter

ROWS_AT_ONCE = 4096
FEWEST_TO_SHARE = 10  # a label with fewer cells keeps them all for training


@dataclass(frozen=True)
class Labels:
    """Label names, their Cell Ontology ids ("" unknown) and their numbers of training cells."""

    names: tuple[str, ...]
    ontology_ids: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """Cells to learn from: ``rows`` with label numbers ``truth``, some kept for validation.

    ``held_out`` int64, rising: labelled cells of ``fold``, which are not learnt from.
    """

    cells: CellSequences
    labels: Labels
    rows: np.ndarray
    truth: np.ndarray
    validation_rows: np.ndarray
    validation_truth: np.ndarray
    settings: TrainingSettings
    fold: Fold | None = None
    held_out: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    machine: Machine = field(default_factory=Machine)
    reporter: Reporter = field(default=SILENT)

    @property
    def device(self) -> str:
        """Where torch puts tensors."""
        return self.machine.place


@dataclass
class Epoch:
    """One epoch of training; scores are NaN where there are no validation cells."""

    stage: str
    loss: float
    accuracy: float = float("nan")
    macro_f1: float = float("nan")


class TrainedMethod(ABC):
    """A method after training; ``tensors`` is all that predict needs, float32 by name."""

    tensors: dict[str, np.ndarray]
    history: list[Epoch]
    llm: dict

    @abstractmethod
    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits float32 (rows, labels) and cell vectors float32 (rows, hidden)."""

    def has_known_genes(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Whether the reader knows any gene of each cell, bool (rows,)."""
        return cells.lengths[rows] > 0

    def evidence(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """How much speaks for any label, float32 (rows,); ``logits`` are the outputs' own."""
        return log_sum_exp(logits)

    def check_genes(self, cells: CellSequences, reporter: Reporter) -> None:  # noqa: B027
        """Tell how the reader knows the genes of these cells, where that is not plain.

        ScReaderError where it knows none.
        """

    def plan_memory(  # noqa: B027
        self, cells: CellSequences, machine: Machine, backward: bool, reporter: Reporter
    ) -> None:
        """Tell what reading ``cells`` needs, and choose how much is read at once.

        ``backward``: gradients are needed. ScReaderError where the memory does not suffice.
        """

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Genes int (rows, width), −1 for none, and their parts float32 in the ``calls`` (rows,).

        See explaining. ScReaderError where the method cannot tell.
        """
        raise ScReaderError(
            "this reader's method does not say which genes made its calls.",
            remedy="Leave --explain out.",
        )


def labels_of(
    cells: CellSequences, without: np.ndarray | None = None
) -> tuple[Labels, np.ndarray, np.ndarray]:
    """The labels, the rows to learn from and their label numbers.

    Cells without a label or without a known gene are left out, and the rows ``without``.
    ScReaderError where fewer than two labels remain.
    """
    column = cells.labels
    name = cells.opened.name
    if column is None:
        raise ScReaderError(
            "its cells have no label.", file=name, remedy="Build them with build-cells --label."
        )
    usable = (column.codes >= 0) & (cells.lengths > 0)
    if without is not None:
        usable[without] = False
    rows = np.flatnonzero(usable)
    used, truth = np.unique(column.codes[rows], return_inverse=True)
    if len(used) < 2:
        raise ScReaderError(f"has {len(used)} labels, wanted at least 2 to tell apart.", file=name)
    names = tuple(column.categories[code] for code in used)
    ontology = _ontology_ids(cells, rows, truth, len(names))
    counts = tuple(int(count) for count in np.bincount(truth))
    return Labels(names, ontology, counts), rows, truth.astype(np.int64)


def _ontology_ids(
    cells: CellSequences, rows: np.ndarray, truth: np.ndarray, labels: int
) -> tuple[str, ...]:
    if "label_ontology_id" not in cells.obs.columns:
        return ("",) * labels
    ids = cells.obs.strings("label_ontology_id")[rows]
    found = []
    for label in range(labels):
        values, counts = np.unique(ids[truth == label].astype(str), return_counts=True)
        found.append(str(values[counts.argmax()]))
    return tuple(found)


def split_validation(
    rows: np.ndarray, truth: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boolean masks (rows,) of training and validation cells, stratified by label."""
    random = np.random.default_rng([seed, 1])
    kept = np.zeros(len(rows), bool)
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        if len(members) >= FEWEST_TO_SHARE:
            chosen = random.permutation(members)[: round(share * len(members))]
            kept[chosen] = True
    return ~kept, kept


def make_task(
    cells: CellSequences,
    settings: TrainingSettings,
    machine: Machine = ON_CPU,
    reporter: Reporter = SILENT,
    fold: Fold | None = None,
) -> Task:
    """The task of learning all labels of ``cells``; see :func:`labels_of` for errors.

    With a ``fold``, its cells are held out, and labels that only they have are not learnt.
    """
    held_out = np.zeros(0, np.int64)
    labels, rows, truth = labels_of(cells)
    labelled = len(rows)
    if fold is not None:
        held = assign(cells, rows, truth, fold.count, fold.group_by, fold.seed) == fold.number
        held_out = rows[held]
        labels, rows, truth = labels_of(cells, without=held_out)
    training, validation = split_validation(rows, truth, settings.validation, settings.seed)
    left_out = len(cells) - labelled
    text = (
        f"{int(training.sum()):,} cells of {len(labels.names)} labels to learn from, "
        f"{int(validation.sum()):,} to check on"
    )
    if fold is not None:
        text = f"fold {fold.number} of {fold.count}: {text}, {len(held_out):,} held out"
    reporter.info(text + (f"; {left_out:,} without label or genes left out." if left_out else "."))
    return Task(
        cells, labels, rows[training], truth[training], rows[validation], truth[validation],
        settings, fold, held_out, machine, reporter,
    )  # fmt: skip


@dataclass(frozen=True)
class ValidationScores:
    """How well a state calls the kept cells: ``loss`` is the calibrated mean cross-entropy."""

    loss: float
    accuracy: float
    macro_f1: float


def check(logits: np.ndarray, task: Task) -> ValidationScores:
    """Measure ``logits`` float32 (cells, labels) of the validation cells."""
    names = np.array(task.labels.names, dtype=object)
    scores = label_metrics.scores(names[task.validation_truth], names[logits.argmax(1)])
    loss = calibrated_loss(logits, task.validation_truth)
    return ValidationScores(loss, scores["accuracy"], scores["macro_f1"])


def calibrate(trained: TrainedMethod, task: Task) -> dict[str, float | int]:
    """The temperature fitted on the validation cells; see calibration.fit_temperature."""
    if not len(task.validation_rows):
        return fit_temperature(np.zeros((0, 1)), task.validation_truth)
    logits, _ = trained.outputs(task.cells, task.validation_rows)
    return fit_temperature(logits, task.validation_truth)


def row_blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """``rows``, ``ROWS_AT_ONCE`` at a time."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


def class_weights(task: Task) -> np.ndarray:
    """What each label counts in the loss, float32 (labels,): all alike, or by the inverse (root)
    of its cells."""
    counts = np.maximum(np.bincount(task.truth, minlength=len(task.labels.names)), 1)
    power = {"none": 0.0, "root": 0.5, "balanced": 1.0}[task.settings.class_weights]
    weights = (counts.mean() / counts) ** power
    return np.minimum(weights, 10.0).astype(np.float32)
