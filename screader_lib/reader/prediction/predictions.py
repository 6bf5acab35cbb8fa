"""What a reader predicts: a block of cells in full, and of all cells the columns of their table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib import label_metrics
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.folds import ALL_CELLS
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, LazyColumn
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.confidence.explanation import Explained, explain
from screader_lib.reader.model.type_distance import TypeDistance
from screader_lib.reader.task import Labels, TrainedMethod
from screader_lib.reporting import counted

STATUSES = ("assigned", "unassigned")
MAX_LISTED = 5


@dataclass(frozen=True)
class PredictionBlock:
    """Outputs for a block of cells.

    ``probability`` float32 (cells, labels), ``vectors`` float32 (cells, hidden), ``evidence`` and
    ``distance`` float32 (cells,), the latter NaN where it is not known, and ``has_known_genes``
    bool (cells,).
    """

    probability: np.ndarray
    vectors: np.ndarray
    evidence: np.ndarray
    distance: np.ndarray
    has_known_genes: np.ndarray
    explained: Explained | None = None

    def check(self) -> None:
        """ScReaderError where a probability is not finite."""
        if not np.isfinite(self.probability).all():
            raise ScReaderError(
                "the reader's probabilities are not finite: its tensors are damaged.",
                remedy="Copy the reader again, or train it anew.",
            )


def predict_block(
    cells: CellSequences,
    rows: np.ndarray,
    trained: TrainedMethod,
    temperatures: Callable[[np.ndarray], np.ndarray],
    genes_explained: int = 0,
    types: TypeDistance | None = None,
    with_vectors: bool = True,
) -> PredictionBlock:
    """Predict the cells at ``rows``.

    ``temperatures`` gives float64 (cells,) for the numbers of their genes that are read. Without
    vectors, those of the block have no columns.
    """
    if with_vectors:
        logits, vectors = trained.outputs(cells, rows)
    else:
        logits, vectors = trained.logits(cells, rows), np.zeros((len(rows), 0), np.float32)
    genes = trained.known_genes(cells, rows)
    probability = softmax(logits, temperatures(genes))
    evidence = trained.evidence(cells, rows, logits)
    explained = None
    if genes_explained:
        best, labels = probability.argmax(1), probability.shape[1]
        explained = explain(cells, rows, trained, best, labels, genes_explained)
    unknown = np.full(len(rows), np.nan, np.float32)
    distance = unknown if types is None else types.distances(cells, rows)
    return PredictionBlock(probability, vectors, evidence, distance, genes > 0, explained)


@dataclass
class Predictions:
    """Of each cell: numbers of the best and the second label (−1 for none), confidence, evidence,
    distance to the nearest type, whether it has a gene that the reader knows, and whether its label
    is assigned."""

    best: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    evidence: np.ndarray
    distance: np.ndarray
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
            np.zeros(cells, np.float32),
            np.zeros(cells, bool),
            np.zeros(cells, bool),
        )

    def fill(self, rows: slice, block: PredictionBlock) -> None:
        """Take in a block; ties go to the first label."""
        order = np.argsort(-block.probability, axis=1, kind="stable")
        self.best[rows] = order[:, 0]
        self.confidence[rows] = np.take_along_axis(block.probability, order[:, :1], 1)[:, 0]
        if block.probability.shape[1] > 1:
            self.second[rows] = order[:, 1]
        self.distance[rows] = block.distance
        self.evidence[rows], self.has_known_genes[rows] = block.evidence, block.has_known_genes

    def summary(self) -> str:
        """In words."""
        unassigned = int((~self.assigned).sum())
        return f"{counted(len(self.best), 'cell')} predicted, {unassigned:,} left unassigned."

    def columns(self, labels: Labels) -> dict[str, Column]:
        """For the cells' table."""
        names, ids = labels.names, labels.ontology_ids
        ontology = Categorical.of([ids[number] for number in self.best], sorted(set(ids)))
        return {
            "predicted_label": Categorical(self.best, names),
            "predicted_ontology_id": ontology,
            "confidence": self.confidence,
            "second_label": Categorical(self.second, names),
            "status": Categorical((~self.assigned).astype(np.int32), STATUSES),
        }


def gene_origin(fold: dict[str, Any]) -> dict[str, str]:
    """With the metrics of a ``fold``'s held-out cells: from which cells its genes were selected."""
    return {"genes_selected_from": str(fold.get("genes", ALL_CELLS))}


def known_label_metrics(
    truth: LazyColumn | None, names: tuple[str, ...], predictions: Predictions
) -> dict[str, Any]:
    """Metrics over the cells whose label, ``truth``, the reader has; ``cells`` is their number.

    Labels that it does not have cannot be predicted: their cells are left out, and counted by label
    in ``other_labels``, with ``other_labels_assigned``, the share of them that is assigned a label.
    Empty where no label is known. ``names`` are the reader's labels, in the order of the
    predictions' numbers.
    """
    column = None if truth is None else truth.load()
    if not isinstance(column, Categorical) or not (column.codes >= 0).any():
        return {}
    labels = column.strings()
    shared = np.isin(labels, names) & (column.codes >= 0)
    others = ~shared & (column.codes >= 0)
    metrics: dict[str, Any] = {"cells": int(shared.sum())}
    if others.any():
        metrics["other_labels"] = dict(sorted(Counter(labels[others].tolist()).items()))
        metrics["other_labels_assigned"] = float(predictions.assigned[others].mean())
    if not shared.any():
        return metrics
    true = labels[shared]
    predicted = np.array(names, dtype=object)[predictions.best[shared]]
    correct = true == predicted
    metrics |= label_metrics.scores(true, predicted)
    metrics["calibration_error"] = label_metrics.expected_calibration_error(
        predictions.confidence[shared], correct
    )
    assigned = predictions.assigned[shared]
    metrics["assigned"] = float(assigned.mean())
    if assigned.any():
        metrics["accuracy_of_assigned"] = float(correct[assigned].mean())
    return metrics


def metrics_summary(metrics: dict[str, Any]) -> str:
    """The metrics in words."""
    others = metrics.get("other_labels", {})
    listed = ", ".join(f"{name} ({cells:,})" for name, cells in [*others.items()][:MAX_LISTED])
    if len(others) > MAX_LISTED:
        listed += f" and {len(others) - MAX_LISTED} more"
    if not metrics["cells"]:
        return (
            f"no label in common with the reader; not measured. The cells have {listed}; "
            "--label-map translates labels."
        )
    text = (
        f"against the known labels: accuracy {metrics['accuracy']:.3f}, "
        f"macro F1 {metrics['macro_f1']:.3f}."
    )
    if others:
        text += (
            f" Left out: {counted(sum(others.values()), 'cell')} whose labels the reader does not "
            f"have, {1 - metrics['other_labels_assigned']:.1%} of them unassigned: {listed}."
        )
    return text
