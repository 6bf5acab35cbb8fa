"""Whether a cell is like those that the reader has learnt from.

Two things tell a cell of an unknown type: the reader hesitates, and the cell's vector is unlike
the mean vector of the type it is called. Each is compared with the cells kept from training, and
both are joined as Fisher joins tests (1925, section 21.1); the result is compared again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.reader.calibration import softmax
from screader_lib.reader.task import Task, Trained

MEAN_OF = 100  # cells of each label
FEWEST_KEPT = 20
STREAM = 6  # of random numbers; see training


@dataclass(frozen=True)
class Means:
    """Mean vectors float32: ``center`` (hidden,) over labels, ``labels`` (labels, hidden)."""

    center: np.ndarray
    labels: np.ndarray

    def resemblance(self, vectors: np.ndarray, calls: np.ndarray) -> np.ndarray:
        """Cosine of cells' vectors and the means of their ``calls``, float32 (cells,)."""
        values = vectors - self.center
        means = (self.labels - self.center)[calls]
        length = np.linalg.norm(values, axis=1) * np.linalg.norm(means, axis=1)
        return ((values * means).sum(1) / np.maximum(length, 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class Kept:
    """What a reader said of cells kept from its training, and whether it was right.

    ``confidence`` and ``resemblance`` float32, ``correct`` bool, all (cells,).
    """

    confidence: np.ndarray
    correct: np.ndarray
    resemblance: np.ndarray

    def __len__(self) -> int:
        return len(self.confidence)

    def familiarity(self, confidence: np.ndarray, resemblance: np.ndarray) -> np.ndarray:
        """Share of kept cells that look no more familiar than each cell, float32 in (0, 1].

        1 everywhere where fewer than ``FEWEST_KEPT`` cells were kept.
        """
        if len(self) < FEWEST_KEPT:
            return np.ones(len(confidence), np.float32)
        known = self._strange(self.confidence, self.resemblance)
        return _share_below(-known, -self._strange(confidence, resemblance)).astype(np.float32)

    def _strange(self, confidence: np.ndarray, resemblance: np.ndarray) -> np.ndarray:
        hesitant = _share_below(self.confidence, confidence)
        unlike = _share_below(self.resemblance, resemblance)
        return -np.log(hesitant) - np.log(unlike)

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
        good = np.flatnonzero((bound <= 1 - precision) & ends[: len(bound)])
        if not len(good):
            raise ScReaderError(
                f"the {len(self):,} cells kept from the reader's training cannot assure a "
                f"precision of {precision:g}.",
                remedy="Train with --folds, so that all cells serve; or ask for less.",
            )
        return float(self.confidence[order][good[-1]])


def _share_below(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Share of ``known`` at most as large as each of ``found``, itself counted: never 0."""
    place = np.searchsorted(np.sort(known), found, side="right")
    return (place + 1) / (len(known) + 1)


def measure_means(trained: Trained, task: Task) -> Means:
    """Mean vectors of some training cells of each label, chosen by the seed."""
    random = np.random.default_rng([task.settings.seed, STREAM])
    means = []
    for label in range(len(task.labels.names)):
        rows = random.permutation(task.rows[task.truth == label])[:MEAN_OF]
        _, vectors = trained.outputs(task.cells, np.sort(rows))
        means.append(vectors.mean(0) if len(rows) else np.zeros(vectors.shape[1]))
    labels = np.array(means, np.float32)
    return Means(labels.mean(0), labels)


def measure_kept(trained: Trained, task: Task, means: Means, temperature: float) -> Kept:
    """What the trained method says of the validation cells."""
    if not len(task.validation_rows):
        nothing = np.zeros(0, np.float32)
        return Kept(nothing, nothing.astype(bool), nothing)
    logits, vectors = trained.outputs(task.cells, task.validation_rows)
    probability = softmax(logits, temperature)
    calls = probability.argmax(1)
    return Kept(
        probability.max(1), calls == task.validation_truth, means.resemblance(vectors, calls)
    )
