"""Medians and variances of genes over the cells, in one pass and bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from screader_lib.cells.values_by_gene import ValuesByGene

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_CELLS = 20_000
FEWEST_CELLS = 3
UNIT = 2.0**-20  # sums are of whole units, hence exact: the same in any order of the cells
LEAST_VARIANCE = 1e-6  # of the mean square; below it a gene counts as constant


def sampled_cells(hashes: np.ndarray, most: int = MOST_CELLS) -> np.ndarray:
    """Which cells genes are judged by, boolean (cells,): all, or ``most`` of them.

    The choice hangs on the names' ``hashes``, uint64 (cells,), so it is the same in any order of
    the cells; of cells with one name the first are chosen.
    """
    if len(hashes) <= most:
        return np.ones(len(hashes), bool)
    last = np.partition(hashes, most - 1)[most - 1]
    chosen = hashes < last
    equal = np.flatnonzero(hashes == last)
    chosen[equal[: most - int(chosen.sum())]] = True
    return chosen


class GeneSums(NamedTuple):
    """What a block says of each gene: sums of logs and of their squares, in ``UNIT``.

    ``block`` is what it says it of; medians need its values.
    """

    block: csr_matrix
    logs: np.ndarray
    squares: np.ndarray


def sums_of(block: csr_matrix) -> GeneSums:
    """The sums of positive normalised values, float32 (cells, genes)."""
    genes = block.shape[1]
    logs = np.log1p(block.data.astype(np.float64))
    units, squares = np.round(logs / UNIT), np.round(logs**2 / UNIT)
    return GeneSums(
        block.astype(np.float32, copy=False),
        np.bincount(block.indices, weights=units, minlength=genes),
        np.bincount(block.indices, weights=squares, minlength=genes),
    )


class GeneStatistics:
    """Gathers, block by block, what gene choice and ranking need of each gene."""

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self._sum = np.zeros(genes)
        self._sum_of_squares = np.zeros(genes)
        self._values = ValuesByGene(genes)

    def add(self, sums: GeneSums) -> None:
        """Take in a block."""
        self.cells += sums.block.shape[0]
        self._sum += sums.logs
        self._sum_of_squares += sums.squares
        self._values.add(sums.block)

    @property
    def detected(self) -> np.ndarray:
        """How many cells each gene was seen in, int64 (genes,)."""
        return self._values.counts

    def medians(self, picked: np.ndarray) -> np.ndarray:
        """Median of the non-zero normalised values of each ``picked`` gene, float32 (picked,).

        ``picked`` ascends; 0 for a gene that was never seen.
        """
        result = np.zeros(len(picked), np.float32)
        for place, (_, values) in enumerate(self._values.of(picked)):
            result[place] = np.median(values) if len(values) else 0
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
