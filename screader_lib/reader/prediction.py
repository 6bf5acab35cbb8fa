"""A reader's calls on cells, into a ``predictions`` file, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib import measures
from screader_lib.cells.reading import CellSequences
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Categorical, Column, Table, strings
from screader_lib.reader.calibration import softmax
from screader_lib.reader.methods import Restored
from screader_lib.reader.task import Trained, row_blocks
from screader_lib.reporting import SILENT, Reporter

OWN_COLUMNS = (
    "predicted_label",
    "predicted_ontology_id",
    "confidence",
    "second_label",
    "status",
    "true_label",
)
STATUSES = ("assigned", "unassigned")


@dataclass
class Calls:
    """Per cell: label numbers of best and second call, confidence, and whether assigned."""

    best: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    assigned: np.ndarray

    @classmethod
    def empty(cls, cells: int) -> Calls:
        """For ``cells`` cells, to be filled."""
        return cls(
            np.zeros(cells, np.int32),
            np.full(cells, -1, np.int32),
            np.zeros(cells, np.float32),
            np.zeros(cells, bool),
        )

    def fill(self, rows: np.ndarray, probability: np.ndarray) -> None:
        """Take in probabilities (rows, labels); ties go to the first label."""
        order = np.argsort(-probability, axis=1, kind="stable")
        self.best[rows] = order[:, 0]
        self.confidence[rows] = np.take_along_axis(probability, order[:, :1], 1)[:, 0]
        if probability.shape[1] > 1:
            self.second[rows] = order[:, 1]


def write_predictions(
    file: h5py.File,
    cells: CellSequences,
    restored: Restored,
    trained: Trained,
    *,
    min_confidence: float = 0.0,
    reporter: Reporter = SILENT,
) -> None:
    """Fill a new ``predictions`` file; cells come in the order of ``cells``.

    Cells below ``min_confidence`` and cells without a known gene are unassigned.
    """
    obsm = encoding.write_group(file, "obsm")
    probabilities: h5py.Dataset | None = None
    vectors: h5py.Dataset | None = None
    calls = Calls.empty(len(cells))
    everything = np.arange(len(cells))
    with reporter.progress("Predicting", len(cells), "cells") as advance:
        for rows in row_blocks(everything):
            logits, block_vectors = trained.outputs(cells, rows)
            probability = softmax(logits, restored.temperature)
            if probabilities is None or vectors is None:
                shape = (len(cells), probability.shape[1])
                probabilities = encoding.create_rows(obsm, "probability", shape, np.float32, 1024)
                shape = (len(cells), block_vectors.shape[1])
                vectors = encoding.create_rows(obsm, "X_screader", shape, np.float32, 64)
            probabilities[rows[0] : rows[-1] + 1] = probability
            vectors[rows[0] : rows[-1] + 1] = block_vectors
            calls.fill(rows, probability)
            advance(len(rows))
    calls.assigned = (calls.confidence >= min_confidence) & (cells.lengths > 0)
    obs = Table(cells.obs.index, _call_columns(calls, restored))
    if cells.labels is not None:
        obs.columns["true_label"] = cells.labels
    obs.columns |= _carried(cells.obs)
    encoding.begin_anndata(file, obs, Table(strings([])))
    _write_uns(file, cells, restored, calls, reporter)


def _call_columns(calls: Calls, restored: Restored) -> dict[str, Column]:
    names, ids = restored.labels.names, restored.labels.ontology_ids
    ontology = Categorical.of([ids[number] for number in calls.best], sorted(set(ids)))
    second = Categorical(np.where(calls.second < 0, len(names), calls.second), (*names, ""))
    if len(names) > 1:
        second = Categorical(calls.second, names)
    return {
        "predicted_label": Categorical(calls.best, names),
        "predicted_ontology_id": ontology,
        "confidence": calls.confidence,
        "second_label": second,
        "status": Categorical((~calls.assigned).astype(np.int32), STATUSES),
    }


def _carried(obs: Table) -> dict[str, Column]:
    """All columns of the cells but the label, which is ``true_label`` now."""
    return {
        (f"{name}_input" if name in OWN_COLUMNS else name): column
        for name, column in obs.columns.items()
        if name != "label"
    }


def _write_uns(
    file: h5py.File, cells: CellSequences, restored: Restored, calls: Calls, reporter: Reporter
) -> None:
    uns = file["uns"]
    encoding.write_strings(uns, "labels", strings(restored.labels.names))
    encoding.write_strings(uns, "label_ontology_ids", strings(restored.labels.ontology_ids))
    knn = "-knn" if restored.settings.classifier == "knn" else ""
    encoding.write_text(uns, "method", restored.method + knn)
    unassigned = int((~calls.assigned).sum())
    reporter.say(f"{len(cells):,} cells called, {unassigned:,} of them unassigned.")
    metrics = known_truth_metrics(cells, restored, calls)
    if metrics:
        encoding.write_json(uns, "metrics", metrics)
        reporter.say(
            f"against the known labels: accuracy {metrics['accuracy']:.3f}, "
            f"macro F1 {metrics['macro_f1']:.3f}."
        )


def known_truth_metrics(
    cells: CellSequences, restored: Restored, calls: Calls
) -> dict[str, float | int]:
    """Measures over the cells whose label is known; empty where there are none."""
    if cells.labels is None:
        return {}
    known = cells.labels.codes >= 0
    if not known.any():
        return {}
    true = cells.labels.strings()[known]
    predicted = np.array(restored.labels.names, dtype=object)[calls.best[known]]
    correct = true == predicted
    metrics: dict[str, float | int] = {"cells": int(known.sum())}
    metrics |= measures.scores(true, predicted)
    metrics["calibration_error"] = measures.expected_calibration_error(
        calls.confidence[known], correct
    )
    assigned = calls.assigned[known]
    metrics["assigned"] = float(assigned.mean())
    if assigned.any():
        metrics["accuracy_of_assigned"] = float(correct[assigned].mean())
    return metrics
