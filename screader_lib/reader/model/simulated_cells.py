"""A classifier for just the genes that a sample has, fitted when they are known.

A reader knows thousands of genes, and a sample may have a hundred of them. Fitted on these alone, a
classifier is better than one of all genes of which most are missing. No training cell is needed for
that: cells are drawn from the typical expression of the labels (label_profiles), with counts of a
Poisson distribution at sequencing depths from few to many, and a logistic regression learns them.
Every label counts alike. The fit depends on the reader and on which genes there are, and on no cell
of the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.model.label_profiles import LabelProfiles
from screader_lib.reader.model.logistic_regression import Weights, fit_few_cells

CELLS_OF_A_PROFILE = 10  # at most
MOST_CELLS = 4_000
LEAST_COUNTS, MOST_COUNTS = 200.0, 5_000.0  # of a simulated cell; their logarithm is uniform
TOTAL = 1e4  # that counts are normalised to
MOST_LOG = 15.0  # of a weight, as weights are logarithms of what is normalised to 10,000
STRENGTH = 0.01  # C of the regression on standardised genes
TOLERANCE = 3e-4
MOST_DEVIATIONS = 10.0  # from a gene's mean that count
BLOCK = 1024


@dataclass(frozen=True)
class SimulatedCells:
    """The regression for some genes.

    ``genes`` int64, rising: columns of the profiles' genes; ``mean`` and ``spread`` float32 of each
    in the simulated cells; ``labels`` int64: those that have a profile.
    """

    genes: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    labels: np.ndarray
    weights: Weights

    @classmethod
    def fit(cls, profiles: LabelProfiles, present: np.ndarray, seed: int = 0) -> SimulatedCells:
        """On the genes that are ``present``, bool (genes,), and expressed in some profile.

        Without any such gene, or with one label, all labels that have a profile are as probable.
        """
        genes = np.flatnonzero(present & (profiles.values > 0).any(0))
        typical = np.expm1(np.clip(profiles.values[:, genes], 0, MOST_LOG))
        usable = np.flatnonzero(typical.sum(1) > 0)
        labels, truth = np.unique(profiles.labels[usable], return_inverse=True)
        if len(labels) < 2:
            every, none = np.unique(profiles.labels), np.zeros(0, np.float32)
            weights = np.zeros((0, len(every)), np.float32), np.zeros(len(every), np.float32)
            return cls(genes[:0], none, none, every, weights)
        random = np.random.default_rng(seed)
        repeats = int(np.clip(MOST_CELLS // len(usable), 1, CELLS_OF_A_PROFILE))
        rates = np.repeat(typical[usable] / typical[usable].sum(1, keepdims=True), repeats, axis=0)
        depths = np.exp(random.uniform(np.log(LEAST_COUNTS), np.log(MOST_COUNTS), (len(rates), 1)))
        values = random.poisson(rates * depths).astype(np.float32)
        values = _logs(values, values.sum(1, keepdims=True))
        mean, spread = values.mean(0), values.std(0) + 1e-6
        features, truth = _standardised(values, mean, spread), np.repeat(truth, repeats)
        weights = fit_few_cells(features, truth, len(labels), STRENGTH, TOLERANCE)
        return cls(genes, mean, spread, labels, weights)

    def probability(self, weights: sparse.csr_matrix, labels: int) -> np.ndarray:
        """Of each of ``labels`` labels, float32 (cells, labels); 0 for those without a profile.

        ``weights`` (cells, genes) are of the profiles' genes.
        """
        result = np.zeros((weights.shape[0], labels), np.float32)
        # Where a gene is 0, as most are, all cells have the same feature. Other features differ
        # from it by what is stored here, so that no cell's genes are all written out.
        of_zero = _standardised(np.zeros_like(self.mean), self.mean, self.spread)
        biases = of_zero @ self.weights[0] + self.weights[1]
        for start in range(0, weights.shape[0], BLOCK):
            cells = weights[start : start + BLOCK][:, self.genes]
            linear, genes = _linear(cells.data), cells.indices
            row = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
            total = np.bincount(row, linear, cells.shape[0]).astype(np.float32)
            values = _logs(linear, total[row])
            cells.data = _standardised(values, self.mean[genes], self.spread[genes])
            cells.data -= of_zero[genes]
            result[start : start + BLOCK, self.labels] = softmax(cells @ self.weights[0] + biases)
        return result


def _linear(logs: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(logs, 0, MOST_LOG)) - np.float32(1)  # much faster than expm1


def _logs(values: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Logs of one plus values of cells whose ``total`` is scaled to ``TOTAL``, all float32."""
    scale = np.float32(TOTAL) / np.maximum(total, np.float32(1e-9))
    return np.log(values * scale + np.float32(1))  # much faster than log1p


def _standardised(values: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.clip((values - mean) / spread, -MOST_DEVIATIONS, MOST_DEVIATIONS)
