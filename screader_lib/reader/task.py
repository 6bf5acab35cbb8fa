"""The cells that a method learns from, and the interface of a trained method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence.calibration import log_sum_exp
from screader_lib.reader.folds import Fold, assign_folds
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reporting import SILENT, Reporter

ROWS_AT_ONCE = 4096
MIN_CELLS_TO_SPLIT = 10  # a label with fewer cells has no validation cells


@dataclass(frozen=True)
class Labels:
    """Label names, their Cell Ontology ids ("" unknown) and their numbers of training cells."""

    names: tuple[str, ...]
    ontology_ids: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """Training cells: ``rows`` with label numbers ``truth``; and validation cells.

    ``held_out`` int64, rising: labelled cells of ``fold``, which are in neither.
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
        return self.machine.torch_device


@dataclass
class Epoch:
    """One epoch of training; scores are NaN where there are no validation cells."""

    stage: str
    loss: float
    accuracy: float = float("nan")
    macro_f1: float = float("nan")


class TrainedMethod(ABC):
    """A method after training; ``tensors`` is all that predict needs, float32 by name.

    ``latent_parts`` names the parts of its cell vectors, all equally wide; none: they are empty.
    """

    tensors: dict[str, np.ndarray]
    history: list[Epoch]
    llm: dict
    latent_parts: tuple[str, ...] = ()

    @abstractmethod
    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits float32 (rows, labels) and cell vectors float32 (rows, hidden)."""

    def has_known_genes(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Whether the reader knows any gene of each cell, bool (rows,)."""
        return cells.lengths[rows] > 0

    def energy(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Energy score, float32 (rows,), high for cells like those of the training.

        The logarithm of the sum of the exponentials of the ``logits``, which are the outputs' own.
        """
        return log_sum_exp(logits)

    def check_genes(self, cells: CellSequences, reporter: Reporter) -> None:  # noqa: B027
        """Report which genes of these cells the reader does not know by name, if any.

        ScReaderError where it knows none of them.
        """

    def plan_memory(  # noqa: B027
        self, cells: CellSequences, machine: Machine, backward: bool, reporter: Reporter
    ) -> None:
        """Report what reading ``cells`` needs, and choose how much is read at once.

        ``backward``: gradients are needed. ScReaderError where there is not enough memory.
        """

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Genes int (rows, width), −1 for none, and their attributions float32 (rows, width).

        ``calls`` are the predicted label numbers (rows,). See confidence.explanation.
        ScReaderError where the method cannot be explained.
        """
        raise ScReaderError(
            "this reader's method cannot say which genes led to its predictions.",
            remedy="Leave --explain out.",
        )


def labels_of(
    cells: CellSequences, without: np.ndarray | None = None
) -> tuple[Labels, np.ndarray, np.ndarray]:
    """The labels, the rows of the labelled cells and their label numbers.

    Cells without a label or without a known gene are left out, and the rows ``without``.
    ScReaderError where fewer than two labels remain.
    """
    column = cells.labels
    name = cells.opened.name
    if column is None:
        raise ScReaderError(
            "its cells have no labels.", file=name, remedy="Build them with build-cells --label."
        )
    usable = (column.codes >= 0) & (cells.lengths > 0)
    if without is not None:
        usable[without] = False
    rows = np.flatnonzero(usable)
    used, truth = np.unique(column.codes[rows], return_inverse=True)
    if len(used) < 2:
        raise ScReaderError(f"has {len(used)} labels, but at least 2 are needed.", file=name)
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
    most_frequent = []
    for label in range(labels):
        values, counts = np.unique(ids[truth == label].astype(str), return_counts=True)
        most_frequent.append(str(values[counts.argmax()]))
    return tuple(most_frequent)


def split_validation(
    rows: np.ndarray, truth: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boolean masks (rows,) of training and validation cells, stratified by label."""
    random = np.random.default_rng([seed, 1])
    validation = np.zeros(len(rows), bool)
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        if len(members) >= MIN_CELLS_TO_SPLIT:
            validation[random.permutation(members)[: round(share * len(members))]] = True
    return ~validation, validation


def make_task(
    cells: CellSequences,
    settings: TrainingSettings,
    machine: Machine = ON_CPU,
    reporter: Reporter = SILENT,
    fold: Fold | None = None,
) -> Task:
    """The task of learning all labels of ``cells``; see :func:`labels_of` for errors.

    With a ``fold``, its cells are held out, and labels that only they have are unknown.
    """
    held_out = np.zeros(0, np.int64)
    labels, rows, truth = labels_of(cells)
    labelled = len(rows)
    if fold is not None:
        held = assign_folds(cells, rows, truth, fold.count, fold.group_by, fold.seed) == fold.number
        held_out = rows[held]
        labels, rows, truth = labels_of(cells, without=held_out)
    training, validation = split_validation(rows, truth, settings.validation, settings.seed)
    left_out = len(cells) - labelled
    text = (
        f"{int(training.sum()):,} training and {int(validation.sum()):,} validation cells of "
        f"{len(labels.names)} labels"
    )
    if fold is not None:
        text = f"fold {fold.number} of {fold.count}: {text}, {len(held_out):,} held out"
    reporter.info(text + (f"; {left_out:,} without label or genes skipped." if left_out else "."))
    return Task(
        cells, labels, rows[training], truth[training], rows[validation], truth[validation],
        settings, fold, held_out, machine, reporter,
    )  # fmt: skip


def row_blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """``rows``, ``ROWS_AT_ONCE`` at a time."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


def class_weights(task: Task) -> np.ndarray:
    """Weight of each label in the loss, float32 (labels,): 1, or its inverse (root) frequency."""
    counts = np.maximum(np.bincount(task.truth, minlength=len(task.labels.names)), 1)
    power = {"none": 0.0, "root": 0.5, "balanced": 1.0}[task.settings.class_weights]
    weights = (counts.mean() / counts) ** power
    return np.minimum(weights, 10.0).astype(np.float32)
