"""Confidence that means something, and whether a cell is like those of the training.

One temperature is fitted on validation cells: Guo et al. 2017, "On Calibration of Modern Neural
Networks", section 4.2.

Two signs mark a cell of an unknown type: low confidence, and a low energy score (the logarithm of
the sum of the exponentials of the logits; Liu et al. 2020, "Energy-based Out-of-distribution
Detection", whose sign is turned here). Each is ranked among cells held out from training, and the
two ranks are combined as Fisher combines tests (1925, section 21.1), energy counting twice: this
detected unknown types best among the demonstration's training cells. The result is ranked again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.label_metrics import expected_calibration_error

TEMPERATURES = np.geomspace(0.05, 20.0, 400)
MIN_CELLS = 20  # to fit the temperature
MIN_CALIBRATION_CELLS = 20  # to measure familiarity
EPSILON = 1e-6
MAX_TAIL = 10.0
ENERGY_WEIGHT = 2.0  # against 1 for confidence
ROUNDING = 1e-9  # of a precision as the user types it


def softmax(logits: np.ndarray, temperature: float | np.ndarray = 1.0) -> np.ndarray:
    """Probabilities float32 (cells, labels) of logits (cells, labels).

    One ``temperature``, or one for each cell, (cells,).
    """
    values = logits.astype(np.float64) / np.reshape(temperature, (-1, 1))
    values = np.exp(values - values.max(1, keepdims=True))
    return (values / values.sum(1, keepdims=True)).astype(np.float32)


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the sum of the exponentials of logits (cells, labels), float32 (cells,)."""
    highest = logits.max(1)
    total = np.exp((logits - highest[:, None]).astype(np.float64)).sum(1)
    return (highest + np.log(total)).astype(np.float32)


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> dict[str, float | int]:
    """The temperature of lowest cross-entropy on validation cells, with errors before and after.

    ``truth`` label numbers (cells,). It stays 1 with fewer than ``MIN_CELLS`` cells, and
    where all predictions are correct: any confidence would then look too low.
    """
    result: dict[str, float | int] = {"temperature": 1.0, "cells": len(truth)}
    if len(truth) < MIN_CELLS or (logits.argmax(1) == truth).all():
        return result
    losses = [cross_entropy(logits, truth, temperature) for temperature in TEMPERATURES]
    result["temperature"] = float(TEMPERATURES[int(np.argmin(losses))])
    for name, temperature in (("error_before", 1.0), ("error_after", result["temperature"])):
        probability = softmax(logits, temperature)
        correct = probability.argmax(1) == truth
        result[name] = expected_calibration_error(probability.max(1), correct)
    return result


def calibrated_loss(logits: np.ndarray, truth: np.ndarray) -> float:
    """Mean cross-entropy at the temperature that minimises it."""
    return min(cross_entropy(logits, truth, temperature) for temperature in TEMPERATURES[::10])


def cross_entropy(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Mean cross-entropy of logits (cells, labels) with label numbers (cells,)."""
    values = logits.astype(np.float64) / temperature
    values -= values.max(1, keepdims=True)
    true = values[np.arange(len(truth)), truth]
    return float(np.mean(np.log(np.exp(values).sum(1)) - true))


@dataclass(frozen=True)
class CalibrationSet:
    """A reader's predictions of cells held out from its training, and whether they are correct.

    ``confidence`` and ``energy`` float32, ``correct`` bool, all (cells,).
    """

    confidence: np.ndarray
    correct: np.ndarray
    energy: np.ndarray

    @classmethod
    def empty(cls) -> CalibrationSet:
        """Without cells."""
        return cls(np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.confidence)

    def familiarity(self, confidence: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Share of the calibration cells that are no more familiar, float32 (cells,) in (0, 1].

        It is interpolated between calibration cells; below the least familiar one an exponential
        tail tells cells apart. 1 everywhere with fewer than ``MIN_CALIBRATION_CELLS`` of them.
        """
        if len(self) < MIN_CALIBRATION_CELLS:
            return np.ones(len(confidence), np.float32)
        reference = self._log_likeness(self.confidence, self.energy)
        return np.exp(_log_rank(reference, self._log_likeness(confidence, energy))).astype(
            np.float32
        )

    def _log_likeness(self, confidence: np.ndarray, energy: np.ndarray) -> np.ndarray:
        confidence_rank = _log_rank(_log_odds(self.confidence), _log_odds(confidence))
        return confidence_rank + ENERGY_WEIGHT * _log_rank(self.energy, energy)

    def threshold(self, precision: float) -> float:
        """The lowest confidence above which at least ``precision`` of predictions are correct.

        So that it holds for new cells on average, one more error is assumed than was seen
        (conformal risk control: Angelopoulos et al. 2022). ScReaderError where no threshold
        reaches it.
        """
        order = np.argsort(-self.confidence, kind="stable")
        errors = np.cumsum(~self.correct[order])
        bound = (errors + 1) / (np.arange(len(order)) + 2)
        ends = np.append(np.diff(self.confidence[order]) < 0, True)  # ties are taken together
        good = np.flatnonzero((bound <= 1 - precision + ROUNDING) & ends[: len(bound)])
        if not len(good):
            raise ScReaderError(
                f"the reader's {len(self):,} calibration cells cannot guarantee a precision of "
                f"{precision:g}.",
                remedy="Train with --folds, so that all cells serve for calibration, or lower "
                "--target-precision.",
            )
        return float(self.confidence[order][good[-1]])


def _log_odds(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability.astype(np.float64), EPSILON, 1 - EPSILON)
    return np.log(clipped / (1 - clipped))


def _log_rank(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Logarithm of the share of ``reference`` and itself that is not above each of ``values``.

    It is interpolated between the reference values, so that no two values tie only for want of
    references. Below the lowest it goes on as an exponential tail, whose scale is that of the
    lowest quarter; by ``MAX_TAIL`` at most.
    """
    steps, counts = np.unique(reference.astype(np.float64), return_counts=True)
    ordered, count = np.sort(reference.astype(np.float64)), len(reference)
    below = np.interp(values.astype(np.float64), steps, np.cumsum(counts))
    scale = (ordered[count // 4] - ordered[0]) / np.log(max(count / 4, 2.0))
    beyond = np.maximum(ordered[0] - values.astype(np.float64), 0) / max(scale, EPSILON)
    return np.log(below / (count + 1)) - np.minimum(beyond, MAX_TAIL)
