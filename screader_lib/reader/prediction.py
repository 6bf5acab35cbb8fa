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
    "assigned_label",
    "assigned_ontology_id",
    "evidence",
    "familiarity",
    "true_label",
    "row",
    "fold",
)
STATUSES = ("assigned", "unassigned")


@dataclass
class Calls:
    """Per cell: label numbers of best and second call, confidence, how much
    speaks for any label, and whether assigned."""

    best: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    evidence: np.ndarray
    assigned: np.ndarray

    @classmethod
    def empty(cls, cells: int) -> Calls:
        """For ``cells`` cells, to be filled."""
        return cls(
            np.zeros(cells, np.int32),
            np.full(cells, -1, np.int32),
            np.zeros(cells, np.float32),
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


@dataclass(frozen=True)
class Chosen:
    """What is called and what is assigned.

    ``rows`` int64, rising: only these cells, by the fold that holds them out; None: all. Cells
    below ``min_confidence`` or ``min_familiarity`` are unassigned.
    """

    rows: np.ndarray | None = None
    min_confidence: float = 0.0
    min_familiarity: float = 0.0


def write_predictions(
    file: h5py.File,
    cells: CellSequences,
    restored: Restored,
    trained: Trained,
    chosen: Chosen = Chosen(),
    reporter: Reporter = SILENT,
) -> np.ndarray:
    """Fill a new ``predictions`` file; cells come in the order of ``cells``.

    Cells without a known gene are unassigned. Returns which have one, bool (called cells,).
    """
    rows = np.arange(len(cells)) if chosen.rows is None else chosen.rows
    calls = _call(file, cells, rows, restored, trained, reporter)
    readable = calls.assigned.copy()
    familiarity = restored.kept.familiarity(calls.confidence, calls.evidence)
    calls.assigned &= calls.confidence >= chosen.min_confidence
    calls.assigned &= familiarity >= chosen.min_familiarity
    known = cells.obs if chosen.rows is None else cells.obs.take(rows)
    labels = known.columns.get("label")
    obs = Table(known.index, _call_columns(calls, restored))
    obs.columns |= {"evidence": calls.evidence, "familiarity": familiarity}
    if isinstance(labels, Categorical):
        obs.columns["true_label"] = labels
    if chosen.rows is not None:
        obs.columns["row"] = rows.astype(np.int64)
    obs.columns |= _carried(known)
    encoding.begin_anndata(file, obs, Table(strings([])))
    if chosen.rows is not None:
        encoding.write_json(file["uns"], "fold", restored.fold)
    _write_uns(file, labels, restored, calls, reporter)
    return readable


def _call(
    file: h5py.File,
    cells: CellSequences,
    rows: np.ndarray,
    restored: Restored,
    trained: Trained,
    reporter: Reporter,
) -> Calls:
    """Write probabilities and vectors, block by block; returns the calls."""
    obsm = encoding.write_group(file, "obsm")
    calls = Calls.empty(len(rows))
    probabilities: h5py.Dataset | None = None
    with reporter.progress("Predicting", len(rows), "cells") as advance:
        for places in row_blocks(np.arange(len(rows))):
            logits, vectors = trained.outputs(cells, rows[places])
            probability = softmax(logits, restored.temperature)
            if probabilities is None:
                shape = (len(rows), probability.shape[1])
                probabilities = encoding.create_rows(obsm, "probability", shape, np.float32, 1024)
                shape = (len(rows), vectors.shape[1])
                stored = encoding.create_rows(obsm, "X_screader", shape, np.float32, 64)
            probabilities[places[0] : places[-1] + 1] = probability
            stored[places[0] : places[-1] + 1] = vectors
            calls.fill(places, probability)
            calls.assigned[places] = trained.readable(cells, rows[places])
            calls.evidence[places] = trained.evidence(cells, rows[places], logits)
            advance(len(places))
    return calls


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
    file: h5py.File,
    labels: Column | None,
    restored: Restored,
    calls: Calls,
    reporter: Reporter,
) -> None:
    uns = file["uns"]
    encoding.write_strings(uns, "labels", strings(restored.labels.names))
    encoding.write_strings(uns, "label_ontology_ids", strings(restored.labels.ontology_ids))
    knn = "-knn" if restored.settings.classifier == "knn" else ""
    encoding.write_text(uns, "method", restored.method + knn)
    unassigned = int((~calls.assigned).sum())
    reporter.say(f"{len(calls.best):,} cells called, {unassigned:,} of them unassigned.")
    metrics = known_truth_metrics(labels, restored, calls)
    if metrics:
        encoding.write_json(uns, "metrics", metrics)
        reporter.say(
            f"against the known labels: accuracy {metrics['accuracy']:.3f}, "
            f"macro F1 {metrics['macro_f1']:.3f}."
        )


def known_truth_metrics(
    labels: Column | None, restored: Restored, calls: Calls
) -> dict[str, float | int]:
    """Measures over the cells whose label is known; empty where there are none."""
    if not isinstance(labels, Categorical):
        return {}
    known = labels.codes >= 0
    if not known.any():
        return {}
    true = labels.strings()[known]
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
