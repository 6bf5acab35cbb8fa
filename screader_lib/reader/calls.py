"""The calls of all cells of a prediction: what a ``predictions`` file says in columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screader_lib import measures
from screader_lib.exchange.long_table import LongColumn
from screader_lib.exchange.table import Categorical, Column
from screader_lib.reader.called import Called
from screader_lib.reader.task import Labels

STATUSES = ("assigned", "unassigned")


@dataclass
class Calls:
    """Per cell: label numbers of best and second call, confidence, how much
    speaks for any label, whether a gene is known, and whether assigned."""

    best: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    evidence: np.ndarray
    readable: np.ndarray
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
            np.zeros(cells, bool),
        )

    def fill(self, places: slice, block: Called) -> None:
        """Take in a block; ties go to the first label."""
        order = np.argsort(-block.probability, axis=1, kind="stable")
        self.best[places] = order[:, 0]
        self.confidence[places] = np.take_along_axis(block.probability, order[:, :1], 1)[:, 0]
        if block.probability.shape[1] > 1:
            self.second[places] = order[:, 1]
        self.evidence[places], self.readable[places] = block.evidence, block.readable

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


def known_truth_metrics(
    truth: LongColumn | None, names: tuple[str, ...], calls: Calls
) -> dict[str, float | int]:
    """Measures over the cells whose label, ``truth``, is known; empty where there are none.

    ``names`` are the labels that the calls number.
    """
    column = None if truth is None else truth.whole()
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
    metrics |= measures.scores_of_counts(counts.reshape(len(every), -1), every)
    metrics["calibration_error"] = measures.expected_calibration_error(
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
