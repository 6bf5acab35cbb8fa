"""How well a method predicts the validation cells, during training and after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from screader_lib import label_metrics
from screader_lib.cells.cells_file import CellsWithoutGenes
from screader_lib.cells.folds import groups_of
from screader_lib.reader.confidence.calibration import (
    MIN_CELLS,
    CalibrationSet,
    calibrated_loss,
    fit_temperature,
    softmax,
)
from screader_lib.reader.confidence.missing_genes import SHARES, TemperatureFactor, fit_factor
from screader_lib.reader.model.label_profiles import LabelProfiles
from screader_lib.reader.model.type_distance import TypeDistance
from screader_lib.reader.task import Task, TrainedMethod

MAX_CELLS_WITHOUT_GENES = 200
SAMPLES = 4


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

    calibration: dict[str, Any]
    calibration_set: CalibrationSet
    type_distance: TypeDistance | None = None
    profiles: LabelProfiles | None = None
    cross_validation: dict[str, Any] = field(default_factory=dict)


def evaluate(trained: TrainedMethod, task: Task) -> Evaluation:
    """Fit the temperature on the validation cells, and predict them with it.

    Training cells that the method has predicted out of fold join in. Types' distances and profiles
    are measured on the training cells; no distances where those are judged out of fold.
    """
    own, profiles = trained.out_of_fold, LabelProfiles.fit(task)
    types = None if own else TypeDistance.fit(task)
    rows, truth = task.validation_rows, task.validation_truth
    if not (own or len(rows)):
        untested = fit_temperature(np.zeros((0, 1)), truth), CalibrationSet.empty()
        return Evaluation(*untested, types, profiles)
    logits = trained.logits(task.cells, rows)
    evidence = trained.evidence(task.cells, rows, logits)
    if own:
        rows, truth = np.append(rows, own.rows), np.append(truth, own.truth)
        logits = np.concatenate([logits, own.logits])
        evidence = np.append(evidence, own.evidence)
    calibration: dict[str, Any] = fit_temperature(logits, truth)
    temperature = float(calibration["temperature"])
    factor = factor_without_genes(trained, task, temperature)
    calibration["few_genes"] = factor.to_json()
    probability = softmax(logits, temperature * factor.of(trained.known_genes(task.cells, rows)))
    correct = probability.argmax(1) == truth
    by = task.validation_by
    group = groups_of(task.cells.obs, rows, by, task.cells.opened.name) if by else None
    distance = types.distances(task.cells, rows) if types else None
    known = CalibrationSet(probability.max(1), correct, evidence, group, by, distance)
    return Evaluation(calibration, known, types, profiles)


def factor_without_genes(
    trained: TrainedMethod, task: Task, temperature: float
) -> TemperatureFactor:
    """How the temperature rises where genes are missing, by validation cells that lose some.

    They are in ``SAMPLES`` samples, each of which lacks genes of its own, as a whole; every other
    one is normalised anew. None where there are too few validation cells.
    """
    random = np.random.default_rng([task.settings.seed, 2])
    order = random.permutation(len(task.validation_rows))[:MAX_CELLS_WITHOUT_GENES]
    if len(order) < MIN_CELLS:
        return TemperatureFactor()
    rows, truth = task.validation_rows[order], task.validation_truth[order]
    typical = max(1.0, float(np.median(trained.known_genes(task.cells, rows))))
    logits, genes, labels = [], [], []
    with task.reporter.progress("Calibrating", len(SHARES), "shares of genes") as advance:
        for share in SHARES:
            for number in range(SAMPLES):
                kept = random.random(len(task.cells.genes)) >= share
                part = np.arange(number, len(rows), SAMPLES)
                cells = CellsWithoutGenes(task.cells, rows[part], kept, number % 2 == 1)
                every = np.arange(len(part))
                logits.append(trained.logits(cells, every))
                genes.append(trained.known_genes(cells, every))
                labels.append(truth[part])
            advance(1)
    return fit_factor(
        np.concatenate(logits),
        np.concatenate(labels),
        np.concatenate(genes),
        typical,
        temperature,
    )
