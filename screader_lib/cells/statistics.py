"""Medians and variances of genes over the cells, in one pass and bounded memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_MEDIAN_CELLS = 20_000
FEWEST_CELLS = 3
UNIT = 2.0**-20  # sums are of whole units, hence exact: the same in any order of the cells
LEAST_VARIANCE = 1e-6  # of the mean square; below it a gene counts as constant


def median_cells(names: np.ndarray, most: int = MOST_MEDIAN_CELLS) -> np.ndarray:
    """Which cells medians are taken from, boolean (cells,): all, or ``most`` of them.

    The choice hangs on the names' hashes, so it is the same in any order of the cells.
    """
    if len(names) <= most:
        return np.ones(len(names), bool)
    hashes = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    numbers = np.frombuffer(b"".join(hashes), ">u8")
    chosen = np.zeros(len(names), bool)
    chosen[np.argsort(numbers, kind="stable")[:most]] = True
    return chosen


class GeneStatistics:
    """Gathers, block by block, what gene choice and ranking need of each gene."""

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self.detected = np.zeros(genes, np.int64)
        self._sum = np.zeros(genes)
        self._sum_of_squares = np.zeros(genes)
        self._values: list[np.ndarray] = []
        self._genes: list[np.ndarray] = []

    def add(self, block: csr_matrix, for_median: np.ndarray) -> None:
        """Take in normalised values (cells, genes); ``for_median`` boolean (cells,)."""
        genes = len(self.detected)
        logs = np.log1p(block.data.astype(np.float64))
        units, squares = np.round(logs / UNIT), np.round(logs**2 / UNIT)
        self.cells += block.shape[0]
        self.detected += np.bincount(block.indices, minlength=genes)
        self._sum += np.bincount(block.indices, weights=units, minlength=genes)
        self._sum_of_squares += np.bincount(block.indices, weights=squares, minlength=genes)
        chosen = np.repeat(for_median, np.diff(block.indptr))
        self._values.append(block.data[chosen].astype(np.float32))
        self._genes.append(block.indices[chosen].astype(np.int32))

    def medians(self) -> np.ndarray:
        """Median of each gene's non-zero normalised values, float32 (genes,); 0 where unseen."""
        values, genes = np.concatenate(self._values), np.concatenate(self._genes)
        order = np.lexsort((values, genes))
        values, counts = values[order], np.bincount(genes, minlength=len(self.detected))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        result = np.zeros(len(self.detected), np.float32)
        seen = counts > 0
        low = starts[seen] + (counts[seen] - 1) // 2
        high = starts[seen] + counts[seen] // 2
        result[seen] = (values[low] + values[high]) / 2
        return result

    def excess_variances(self) -> np.ndarray:
        """How much more each gene varies than genes of its mean do, float64 (genes,).

        The log variance of log1p of the normalised values, less its quadratic trend over the
        log mean; −inf for genes seen in fewer than ``FEWEST_CELLS`` cells.
        """
        mean = self._sum * UNIT / max(1, self.cells)
        mean_square = self._sum_of_squares * UNIT / max(1, self.cells)
        variance = mean_square - mean**2
        seen = self.detected >= min(FEWEST_CELLS, self.cells)
        usable = seen & (variance > LEAST_VARIANCE * mean_square)
        excess = np.full(len(mean), -np.inf)
        if usable.any():
            log_mean, log_variance = np.log(mean[usable]), np.log(variance[usable])
            degree = min(2, len(np.unique(log_mean)) - 1)
            trend = np.polynomial.Polynomial.fit(log_mean, log_variance, degree)
            excess[usable] = log_variance - trend(log_mean)
        return excess

    def most_variable(self, number: int) -> np.ndarray:
        """The ``number`` genes of largest excess variance, in the table's order."""
        excess = self.excess_variances()
        order = np.argsort(-excess, kind="stable")[:number]
        return np.sort(order[np.isfinite(excess[order])])
