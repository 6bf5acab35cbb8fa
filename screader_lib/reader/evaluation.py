"""How well a method predicts the validation cells, during training and after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from screader_lib import label_metrics
from screader_lib.reader.confidence.calibration import (
    CalibrationSet,
    calibrated_loss,
    fit_temperature,
    softmax,
)
from screader_lib.reader.task import Task, TrainedMethod


@dataclass(frozen=True)
class ValidationScores:
    """How well logits fit the validation cells; ``loss`` is the calibrated mean cross-entropy."""

    loss: float
    accuracy: float
    macro_f1: float


def validation_scores(logits: np.ndarray, task: Task) -> ValidationScores:
    """Measure ``logits`` float32 (cells, labels) of the validation cells."""
    names = np.array(task.labels.names, dtype=object)
    scores = label_metrics.scores(names[task.validation_truth], names[logits.argmax(1)])
    loss = calibrated_loss(logits, task.validation_truth)
    return ValidationScores(loss, scores["accuracy"], scores["macro_f1"])


@dataclass(frozen=True)
class Evaluation:
    """The temperature, the predictions of the validation cells, and the cross-validation if any."""

    calibration: dict[str, float | int]
    calibration_set: CalibrationSet
    cross_validation: dict[str, Any] = field(default_factory=dict)


def evaluate(trained: TrainedMethod, task: Task) -> Evaluation:
    """Fit the temperature on the validation cells, and predict them with it."""
    rows, truth = task.validation_rows, task.validation_truth
    if not len(rows):
        return Evaluation(fit_temperature(np.zeros((0, 1)), truth), CalibrationSet.empty())
    logits, _ = trained.outputs(task.cells, rows)
    calibration = fit_temperature(logits, truth)
    probability = softmax(logits, float(calibration["temperature"]))
    correct = probability.argmax(1) == truth
    energy = trained.energy(task.cells, rows, logits)
    return Evaluation(calibration, CalibrationSet(probability.max(1), correct, energy))
