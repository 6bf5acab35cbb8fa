"""Whether a cell is like those that the reader has learnt from.

Two things tell a cell of an unknown type: the reader hesitates between labels, and no label has
much evidence at all: the logarithm of the sum of the exponentials of the logits is low (Liu et al.
2020, "Energy-based Out-of-distribution Detection"). Each is compared with the cells kept from
training, and both are joined as Fisher joins tests (1925, section 21.1), evidence counting twice:
so unknown types were found best among the demonstration's training cells. The result is compared
again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.task import Task, TrainedMethod

MIN_CALIBRATION_CELLS = 20
SMALLEST = 1e-6
LONGEST_TAIL = 10.0
EVIDENCE_COUNTS = 2.0  # against 1 for confidence
ROUNDING = 1e-9  # of a precision as the user types it


@dataclass(frozen=True)
class CalibrationSet:
    """What a reader said of cells kept from its training, and whether it was right.

    ``confidence`` and ``evidence`` float32, ``correct`` bool, all (cells,).
    """

    confidence: np.ndarray
    correct: np.ndarray
    evidence: np.ndarray

    def __len__(self) -> int:
        return len(self.confidence)

    def familiarity(self, confidence: np.ndarray, evidence: np.ndarray) -> np.ndarray:
        """Share of kept cells that look no more familiar than each cell, float32 in (0, 1].

        Between kept cells the share rises evenly; below the least familiar one an exponential
        tail tells cells apart. 1 everywhere where fewer than ``FEWEST_KEPT`` cells were kept.
        """
        if len(self) < MIN_CALIBRATION_CELLS:
            return np.ones(len(confidence), np.float32)
        known = self._strange(self.confidence, self.evidence)
        found = _log_share_below(-known, -self._strange(confidence, evidence))
        return np.exp(found).astype(np.float32)

    def _strange(self, confidence: np.ndarray, evidence: np.ndarray) -> np.ndarray:
        hesitant = _log_share_below(_log_odds(self.confidence), _log_odds(confidence))
        return -hesitant - EVIDENCE_COUNTS * _log_share_below(self.evidence, evidence)

    def threshold(self, precision: float) -> float:
        """The least confidence above which at least ``precision`` of calls are right.

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
                f"the {len(self):,} cells kept from the reader's training cannot assure a "
                f"precision of {precision:g}.",
                remedy="Train with --folds, so that all cells serve; or ask for less.",
            )
        return float(self.confidence[order][good[-1]])


def _log_odds(probability: np.ndarray) -> np.ndarray:
    kept = np.clip(probability.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(kept / (1 - kept))


def _log_share_below(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Logarithm of the share of ``known`` and itself that is below each of ``found``.

    It rises evenly from one of ``known`` to the next, so that no two of ``found`` are equal only
    for want of known cells. Below the least it falls on as an exponential tail does, whose scale
    is that of the lowest quarter; by ``LONGEST_TAIL`` at most.
    """
    values, counts = np.unique(known.astype(np.float64), return_counts=True)
    ordered, count = np.sort(known.astype(np.float64)), len(known)
    below = np.interp(found.astype(np.float64), values, np.cumsum(counts))
    scale = (ordered[count // 4] - ordered[0]) / np.log(max(count / 4, 2.0))
    beyond = np.maximum(ordered[0] - found.astype(np.float64), 0) / max(scale, SMALLEST)
    return np.log(below / (count + 1)) - np.minimum(beyond, LONGEST_TAIL)


def measure_validation(trained: TrainedMethod, task: Task, temperature: float) -> CalibrationSet:
    """What the trained method says of the validation cells."""
    if not len(task.validation_rows):
        nothing = np.zeros(0, np.float32)
        return CalibrationSet(nothing, nothing.astype(bool), nothing)
    logits, _ = trained.outputs(task.cells, task.validation_rows)
    probability = softmax(logits, temperature)
    correct = probability.argmax(1) == task.validation_truth
    evidence = trained.evidence(task.cells, task.validation_rows, logits)
    return CalibrationSet(probability.max(1), correct, evidence)
