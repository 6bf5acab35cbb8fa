"""The labels of a few cells carried to all cells beside them.

A cell's place is that in the sample's own principal components, of length 1. It is averaged with
its neighbours', again and again, so that one labelled cell stands for the group that it is in. A
logistic regression on both places, with each label counting as much as any other, gives each cell
probabilities, which are averaged with the neighbours' once more. The numbers were chosen on Baron's
mouse cells and on blood of three chemistries (benchmarks/few_labels.md), not on the cells that the
figures are of.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods.places import nearest
from screader_lib.reader.model.logistic_regression import Weights, fit_logistic

NEIGHBOURS = 15
ROUNDS = 10
OF_PLACES, OF_CALLS = 0.8, 0.5  # share of the neighbours in each round
STRENGTH = 10.0  # scikit-learn's C
TEMPERATURE = 0.6  # of the regression, which few labels make too unsure
LEAST = 1e-9


def fit_on_places(both: np.ndarray, truth: np.ndarray, labels: int) -> Weights:
    """Weights float32 (features, labels) and biases (labels,), by which logits are made.

    ``both`` float32 (cells, features), as :meth:`LabelPropagation.places_of` has them; ``truth``
    int64 (cells,) has each of the ``labels`` numbers.
    """
    counts = np.bincount(truth, minlength=labels)
    weights, biases = fit_logistic(
        lambda: [(both, truth)], labels, len(truth) / labels / counts, STRENGTH
    )
    return weights / np.float32(TEMPERATURE), biases / np.float32(TEMPERATURE)


def of_length_1(places: np.ndarray) -> np.ndarray:
    """``places`` (cells, components), each divided by its length."""
    return places / np.maximum(np.linalg.norm(places, axis=1, keepdims=True), LEAST)


class LabelPropagation:
    """The neighbours among a sample's cells, over which values are averaged."""

    def __init__(self, places: np.ndarray, sketch: np.ndarray) -> None:
        """``places`` float32 (cells, components) of length 1; ``sketch`` int64, rising.

        The sketch is all cells or a sample of them, among which the neighbours are. It needs two.
        """
        self.sketch = sketch
        self.nearest = nearest(places, sketch, NEIGHBOURS)
        count = self.nearest.shape[1]
        ends = np.searchsorted(sketch, self.nearest[sketch]).ravel()
        starts = np.repeat(np.arange(len(sketch)), count)
        shape = (len(sketch), len(sketch))
        links = sparse.csr_matrix((np.ones(len(ends), np.float32), (starts, ends)), shape)
        links = (links + links.T).tocsr()  # two neighbours of each other weigh double
        self.links = sparse.diags(1 / links.sum(1).A1).astype(np.float32) @ links
        self.own_places = places
        self.means = self.averaged(places, OF_PLACES)
        self.places = of_length_1(self.means)

    def places_of(self, rows: np.ndarray) -> np.ndarray:
        """Both places of the cells ``rows``, float32 (rows, 2 × components)."""
        return np.hstack([self.own_places[rows], self.places[rows]])

    def averaged(self, values: np.ndarray, share: float) -> np.ndarray:
        """``values`` float32 (cells, width) with the neighbours' mean, ``ROUNDS`` times."""
        own = values[self.sketch]
        mixed = own
        for _ in range(ROUNDS):
            mixed = share * (self.links @ mixed) + (1 - share) * own
        whole = np.empty_like(values)
        position = np.full(len(values), -1)
        position[self.sketch] = np.arange(len(self.sketch))
        for start in range(0, len(values), 4096):
            near = position[self.nearest[start : start + 4096]]
            part = values[start : start + 4096]
            whole[start : start + 4096] = share * mixed[near].mean(1) + (1 - share) * part
        whole[self.sketch] = mixed
        return whole

    def probability(self, rows: np.ndarray, truth: np.ndarray, labels: int) -> np.ndarray:
        """Of each label, float32 (cells, labels), from the cells ``rows`` with labels ``truth``.

        ``truth`` int64 (rows,) has each of the ``labels`` numbers.
        """
        weights, biases = fit_on_places(self.places_of(rows), truth, labels)
        both = np.hstack([self.own_places, self.places])
        return self.averaged(softmax(both @ weights + biases), OF_CALLS)

    def nearness(self, rows: np.ndarray) -> np.ndarray:
        """Cosine of each cell's place and the nearest of those of ``rows``, float32 (cells,)."""
        result = np.empty(len(self.places), np.float32)
        for start in range(0, len(self.places), 4096):
            cosine = self.places[start : start + 4096] @ self.places[rows].T
            result[start : start + 4096] = cosine.max(1)
        return result
