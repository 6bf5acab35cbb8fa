"""Confidence that means something, and whether a cell is like those of the training.

One temperature is fitted on validation cells: Guo et al. 2017, "On Calibration of Modern Neural
Networks", section 4.2.

Two signs mark a cell of an unknown type: little evidence for any label (the logarithm of the sum
of the exponentials of the logits; Liu et al. 2020, "Energy-based Out-of-distribution Detection"),
and a long distance to the mean of the nearest type (model.type_distance). Each is ranked among
cells held out from training, and the two ranks are combined as Fisher combines tests (1925, section
21.1), evidence counting twice: this detected unknown types best among Baron human's training cells.
The result is ranked again. Without distances, confidence takes their place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.label_metrics import expected_calibration_error

TEMPERATURES = np.geomspace(0.05, 20.0, 400)
MIN_CELLS = 20  # to fit the temperature
MIN_CALIBRATION_CELLS = 20  # to measure familiarity
EPSILON = 1e-6
MAX_TAIL = 10.0
EVIDENCE_WEIGHT = 2.0  # against 1 for the distance or confidence
ROUNDING = 1e-9  # of probabilities
ERROR_RATE = 0.05  # of a statement on precision
STEP = 0.02  # of the calibration cells, from one candidate threshold to the next
MIN_GROUPS, MAX_GROUPS = 3, 8  # to judge new ones by


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

    ``confidence`` and ``evidence`` float32, ``correct`` bool, all (cells,). Where whole groups were
    held out, such as donors: ``group`` str (cells,), and what they are, ``group_by``. ``distance``
    float32 (cells,) to the nearest type, None where it was not measured.
    """

    confidence: np.ndarray
    correct: np.ndarray
    evidence: np.ndarray
    group: np.ndarray | None = None
    group_by: str = ""
    distance: np.ndarray | None = None

    @classmethod
    def empty(cls) -> CalibrationSet:
        """Without cells."""
        return cls(np.zeros(0, np.float32), np.zeros(0, bool), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.confidence)

    def of(self, cells: np.ndarray) -> CalibrationSet:
        """The chosen ``cells``, bool (cells,)."""
        group = None if self.group is None else self.group[cells]
        distance = None if self.distance is None else self.distance[cells]
        columns = self.confidence[cells], self.correct[cells], self.evidence[cells]
        return CalibrationSet(*columns, group, self.group_by, distance)

    def familiarity(
        self, confidence: np.ndarray, evidence: np.ndarray, distance: np.ndarray | None = None
    ) -> np.ndarray:
        """Share of the calibration cells that are no more familiar, float32 (cells,) in (0, 1].

        It is interpolated between calibration cells; below the least familiar one an exponential
        tail tells cells apart. 1 everywhere with fewer than ``MIN_CALIBRATION_CELLS`` of them.
        ``distance`` is None or NaN where it is not known.
        """
        if len(self) < MIN_CALIBRATION_CELLS:
            return np.ones(len(confidence), np.float32)
        own = self.distance
        if distance is None or np.isnan(distance).any():
            own = None
        reference = self._log_likeness(self.confidence, self.evidence, own)
        values = self._log_likeness(confidence, evidence, None if own is None else distance)
        return np.exp(_log_rank(reference, values)).astype(np.float32)

    def _log_likeness(
        self, confidence: np.ndarray, evidence: np.ndarray, distance: np.ndarray | None
    ) -> np.ndarray:
        ranks = EVIDENCE_WEIGHT * _log_rank(self.evidence, evidence)
        if distance is None or self.distance is None:
            return ranks + _log_rank(_log_odds(self.confidence), _log_odds(confidence))
        return ranks + _log_rank(-self.distance, -distance)

    def threshold(self, precision: float) -> float:
        """The lowest confidence that assures a ``precision`` of the labels at or above it.

        At most ``ERROR_RATE`` of readers get a wrong one (those that get none are counted in).
        Candidate thresholds, each ``STEP`` of the cells further down, are tested from the highest
        with enough cells, until one fails;
        so no correction for several tests is needed (fixed sequence testing: Maurer et al. 1995).
        A test is the exact binomial one (Clopper and Pearson 1934), and every group has to pass
        it: a new donor then has lower precision than the target only where it is worse than all
        that were held out. ScReaderError where no threshold is assured.
        """
        fewest = math.ceil(math.log(ERROR_RATE) / math.log(precision) - ROUNDING)
        group = self._large_groups(precision, fewest)
        groups = int(group.max(initial=0)) + 1
        ordered, found = np.sort(self.confidence)[::-1], None
        last = np.ceil(np.arange(STEP, 1 + STEP / 2, STEP) * len(self) - ROUNDING).astype(int) - 1
        for candidate in np.unique(ordered[last[last >= 0]])[::-1]:
            taken = self.confidence >= candidate
            cells = np.bincount(group[taken], minlength=groups)
            if cells.min() < fewest:
                continue
            errors = np.bincount(group[taken & ~self.correct], minlength=groups)
            if not _is_assured(errors, cells, precision).all():
                break
            found = float(candidate)
        if found is None:
            each = f" in each of {groups} groups of whole {self.group_by}s" if self.group_by else ""
            raise self._no_threshold(
                precision,
                f"with no error, at least {fewest:,} of the most confident cells{each} would be "
                "needed",
            )
        return found

    def _large_groups(self, precision: float, fewest: int) -> np.ndarray:
        """The group of each cell, int (cells,): one where groups are unknown.

        Groups with few cells are joined, smallest first, so that there are at most ``MAX_GROUPS``
        and each can pass a test. ScReaderError where there are not at least ``MIN_GROUPS``.
        """
        if self.group is None:
            return np.zeros(len(self), np.int64)
        names, index, sizes = np.unique(self.group, return_inverse=True, return_counts=True)
        joined, groups, cells = np.zeros(len(names), np.int64), 0, 0
        enough = max(1.5 * fewest, len(self) / MAX_GROUPS)
        for name in np.argsort(sizes, kind="stable"):
            joined[name] = groups
            cells += sizes[name]
            if cells >= enough:
                groups, cells = groups + 1, 0
        if groups < MIN_GROUPS:
            raise self._no_threshold(
                precision,
                f"they come from {len(names)} {self.group_by}s; for new ones, at least "
                f"{MIN_GROUPS} with {math.ceil(enough):,} cells each are needed",
            )
        return np.minimum(joined, groups - 1)[index]

    def _no_threshold(self, precision: float, reason: str) -> ScReaderError:
        remedy = "Train with --folds, so that all cells serve for calibration, or lower it."
        if self.group_by:
            remedy = (
                f"Train on more cells or {self.group_by}s, or lower it. A reader trained with "
                f"--folds alone judges new cells of the same {self.group_by}s."
            )
        return ScReaderError(
            f"the reader's {len(self):,} calibration cells cannot assure --target-precision "
            f"{precision:g}: {reason}.",
            remedy=remedy,
        )


def _is_assured(errors: np.ndarray, cells: np.ndarray, precision: float) -> np.ndarray:
    """Whether so few errors are unlikely at a lower precision, bool; all of one shape."""
    from scipy.special import bdtr

    return bdtr(errors, cells, 1 - precision) <= ERROR_RATE + ROUNDING


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
