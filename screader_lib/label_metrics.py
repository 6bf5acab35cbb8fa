"""Metrics of predicted against true labels, on numpy alone.

Definitions follow scikit-learn's ``precision_recall_fscore_support`` (zero where undefined);
macro averages run over the labels that occur among true or predicted ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CALIBRATION_BINS = 15

Labels = Sequence[str] | np.ndarray


def confusion_matrix(true: Labels, predicted: Labels, labels: Labels) -> np.ndarray:
    """Counts int64 (labels, labels): rows true, columns predicted; KeyError for other labels."""
    index = {label: number for number, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, ([index[label] for label in true], [index[label] for label in predicted]), 1)
    return matrix


def per_label(true: Labels, predicted: Labels) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of true cells by label."""
    labels = sorted(set(true) | set(predicted))
    rates = _rates(confusion_matrix(true, predicted, labels))
    return {
        label: {name: values[number].item() for name, values in rates.items()}
        for number, label in enumerate(labels)
    }


def scores(true: Labels, predicted: Labels) -> dict[str, float]:
    """Accuracy, balanced accuracy, and precision, recall, F1 as macro and weighted averages.

    Empty where there are no cells.
    """
    matrix = confusion_matrix(true, predicted, sorted(set(true) | set(predicted)))
    if not len(matrix):
        return {}
    rates = _rates(matrix)
    cells = rates.pop("cells")
    result = {
        "accuracy": float(matrix.trace() / matrix.sum()),
        "balanced_accuracy": float(rates["recall"][cells > 0].mean()),
    }
    for name, values in rates.items():
        result[f"macro_{name}"] = float(values.mean())
        result[f"weighted_{name}"] = float(np.average(values, weights=cells))
    return result


def _rates(matrix: np.ndarray) -> dict[str, np.ndarray]:
    hits, called, cells = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    precision, recall = _ratio(hits, called), _ratio(hits, cells)
    f1 = _ratio(2 * precision * recall, precision + recall)
    return {"precision": precision, "recall": recall, "f1": f1, "cells": cells}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def calibration_curve(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> list[dict[str, float]]:
    """Number of cells, mean confidence and accuracy of each bin of confidence that has cells."""
    index = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    return [
        {
            "cells": int(inside.sum()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(correct[inside].mean()),
        }
        for inside in (index == number for number in np.unique(index))
    ]


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Mean difference of confidence and accuracy over bins, weighted by cells (Guo et al. 2017)."""
    curve = calibration_curve(confidence, correct, bins)
    total = sum(entry["cells"] for entry in curve)
    return sum(e["cells"] * abs(e["confidence"] - e["accuracy"]) for e in curve) / max(1, total)
