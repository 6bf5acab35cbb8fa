"""What a reader says of a block of cells: all that is worth keeping of hours on a GPU.

The calls of all cells of a prediction: what a ``predictions`` file says in columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib import label_metrics
from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.lazy_table import LazyColumn
from screader_lib.exchange.table import Categorical, Column
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.confidence.explanation import Explained, explain
from screader_lib.reader.task import Labels, TrainedMethod

ARRAYS = ("probability", "vectors", "energy", "has_known_genes")


@dataclass(frozen=True)
class PredictionBlock:
    """``probability`` float32 (cells, labels), ``vectors`` float32 (cells, hidden), ``energy``
    float32 (cells,), and whether any gene is known, ``readable`` bool (cells,)."""

    probability: np.ndarray
    vectors: np.ndarray
    energy: np.ndarray
    has_known_genes: np.ndarray
    explained: Explained | None = None


def predict_block(
    cells: CellSequences,
    rows: np.ndarray,
    trained: TrainedMethod,
    temperature: float,
    genes_explained: int = 0,
) -> PredictionBlock:
    """Let ``trained`` call the cells at ``rows``."""
    logits, vectors = trained.outputs(cells, rows)
    probability = softmax(logits, temperature)
    energy = trained.energy(cells, rows, logits)
    found = None
    if genes_explained:
        best, labels = probability.argmax(1), probability.shape[1]
        found = explain(cells, rows, trained, best, labels, genes_explained)
    return PredictionBlock(
        probability, vectors, energy, trained.has_known_genes(cells, rows), found
    )


def write(file: h5py.File, called: PredictionBlock) -> None:
    """Into an empty HDF5 file of its own."""
    for name in ARRAYS:
        file.create_dataset(name, data=getattr(called, name))
    if called.explained is not None:
        group = file.create_group("explained")
        for name in ("genes", "parts"):
            group.create_dataset(name, data=getattr(called.explained, name))
        group.create_dataset("sums", data=called.explained.sums, compression="gzip")


def read(file: h5py.File) -> PredictionBlock:
    """As it was written; KeyError where something is missing."""
    found = {name: file[name][()] for name in ARRAYS}
    if "explained" not in file:
        return PredictionBlock(**found)
    group = file["explained"]
    return PredictionBlock(
        **found, explained=Explained(*(group[n][()] for n in ("genes", "parts", "sums")))
    )


STATUSES = ("assigned", "unassigned")


@dataclass
class Predictions:
    """Per cell: label numbers of best and second call, confidence, how much
    speaks for any label, whether a gene is known, and whether assigned."""

    best: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    energy: np.ndarray
    has_known_genes: np.ndarray
    assigned: np.ndarray

    @classmethod
    def empty(cls, cells: int) -> Predictions:
        """For ``cells`` cells, to be filled."""
        return cls(
            np.zeros(cells, np.int32),
            np.full(cells, -1, np.int32),
            np.zeros(cells, np.float32),
            np.zeros(cells, np.float32),
            np.zeros(cells, bool),
            np.zeros(cells, bool),
        )

    def fill(self, places: slice, block: PredictionBlock) -> None:
        """Take in a block; ties go to the first label."""
        order = np.argsort(-block.probability, axis=1, kind="stable")
        self.best[places] = order[:, 0]
        self.confidence[places] = np.take_along_axis(block.probability, order[:, :1], 1)[:, 0]
        if block.probability.shape[1] > 1:
            self.second[places] = order[:, 1]
        self.energy[places], self.has_known_genes[places] = block.energy, block.has_known_genes

    def spoken(self) -> str:
        """In words."""
        unassigned = int((~self.assigned).sum())
        return f"{len(self.best):,} cells called, {unassigned:,} of them unassigned."

    def columns(self, labels: Labels) -> dict[str, Column]:
        """For the cells' table."""
        names, ids = labels.names, labels.ontology_ids
        ontology = Categorical.of([ids[number] for number in self.best], sorted(set(ids)))
        second = Categorical(np.where(self.second < 0, len(names), self.second), (*names, ""))
        if len(names) > 1:
            second = Categorical(self.second, names)
        return {
            "predicted_label": Categorical(self.best, names),
            "predicted_ontology_id": ontology,
            "confidence": self.confidence,
            "second_label": second,
            "status": Categorical((~self.assigned).astype(np.int32), STATUSES),
        }


def known_label_metrics(
    truth: LazyColumn | None, names: tuple[str, ...], calls: Predictions
) -> dict[str, float | int]:
    """Measures over the cells whose label, ``truth``, is known; empty where there are none.

    ``names`` are the labels that the calls number.
    """
    column = None if truth is None else truth.load()
    if not isinstance(column, Categorical) or not (column.codes >= 0).any():
        return {}
    known = column.codes >= 0
    every = sorted({*column.categories, *names})
    place = {name: number for number, name in enumerate(every)}
    true = np.array([place[name] for name in column.categories])[column.codes[known]]
    predicted = np.array([place[name] for name in names])[calls.best[known]]
    counts = np.bincount(true * len(every) + predicted, minlength=len(every) ** 2)
    correct = true == predicted
    metrics: dict[str, float | int] = {"cells": int(known.sum())}
    metrics |= label_metrics.scores_of_counts(counts.reshape(len(every), -1), every)
    metrics["calibration_error"] = label_metrics.expected_calibration_error(
        calls.confidence[known], correct
    )
    assigned = calls.assigned[known]
    metrics["assigned"] = float(assigned.mean())
    if assigned.any():
        metrics["accuracy_of_assigned"] = float(correct[assigned].mean())
    return metrics


def spoken(metrics: dict[str, float | int]) -> str:
    """The measures in words."""
    return (
        f"against the known labels: accuracy {metrics['accuracy']:.3f}, "
        f"macro F1 {metrics['macro_f1']:.3f}."
    )
