"""Measures of predicted against true labels, on numpy alone.

Definitions follow scikit-learn's ``precision_recall_fscore_support`` (zero where undefined);
macro averages run over the labels that occur among true or predicted ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CALIBRATION_BINS = 15

Labels = Sequence[str] | np.ndarray


def confusion_matrix(true: Labels, predicted: Labels, labels: Labels) -> np.ndarray:
    """Counts int64 (labels, labels): rows true, columns predicted; other labels raise KeyError."""
    place = {label: number for number, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    rows = [place[label] for label in true]
    columns = [place[label] for label in predicted]
    np.add.at(matrix, (rows, columns), 1)
    return matrix


def occurring(true: Labels, predicted: Labels) -> list[str]:
    """Labels among true or predicted ones, sorted."""
    return sorted(set(true) | set(predicted))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def per_label(true: Labels, predicted: Labels) -> dict[str, dict[str, float]]:
    """Label → precision, recall, f1 and number of true cells."""
    labels = occurring(true, predicted)
    return _per_label(confusion_matrix(true, predicted, labels), labels)


def _per_label(matrix: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    hits, called, cells = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    precision, recall = _ratio(hits, called), _ratio(hits, cells)
    f1 = _ratio(2 * precision * recall, precision + recall)
    return {
        label: {
            "precision": float(precision[number]),
            "recall": float(recall[number]),
            "f1": float(f1[number]),
            "cells": int(cells[number]),
        }
        for number, label in enumerate(labels)
    }


def scores(true: Labels, predicted: Labels) -> dict[str, float]:
    """Accuracy, balanced accuracy, and precision, recall, F1 as macro and weighted averages."""
    labels = occurring(true, predicted)
    return scores_of_counts(confusion_matrix(true, predicted, labels), labels)


def scores_of_counts(matrix: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Like :func:`scores`, of a confusion matrix; empty where it counts no cell.

    ``labels`` name its rows and columns; those that do not occur are left out.
    """
    occurs = (matrix.sum(0) + matrix.sum(1)) > 0
    matrix, total = matrix[occurs][:, occurs], int(matrix.sum())
    if not total:
        return {}
    rows = _per_label(matrix, [label for label, found in zip(labels, occurs, strict=True) if found])
    cells = np.array([row["cells"] for row in rows.values()], float)
    result = {"accuracy": float(matrix.trace() / total)}
    recall = np.array([row["recall"] for row in rows.values()])
    result["balanced_accuracy"] = float(recall[cells > 0].mean())
    for measure in ("precision", "recall", "f1"):
        values = np.array([row[measure] for row in rows.values()])
        result[f"macro_{measure}"] = float(values.mean())
        result[f"weighted_{measure}"] = float(np.average(values, weights=cells))
    return result


def calibration_curve(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> list[dict[str, float]]:
    """Per occupied bin of confidence: its cells, mean confidence and accuracy."""
    place = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    return [
        {
            "cells": int((place == number).sum()),
            "confidence": float(confidence[place == number].mean()),
            "accuracy": float(correct[place == number].mean()),
        }
        for number in range(bins)
        if (place == number).any()
    ]


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Mean distance of confidence and accuracy over bins, weighted by cells (Guo et al. 2017)."""
    curve = calibration_curve(confidence, correct, bins)
    total = sum(entry["cells"] for entry in curve)
    return sum(e["cells"] * abs(e["confidence"] - e["accuracy"]) for e in curve) / max(1, total)
