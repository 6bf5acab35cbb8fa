"""Typical expression of each label, and how well a cell's ranks agree with it.

A label's training cells are put into groups of similar cells, and each group's mean weights are
kept (Aran et al. 2019, "Reference-based analysis of lung single-cell sequencing", SingleR, and the
aggregated references of its manual). Correlations of ranks need no common scale: they hold where
another technology has other depths, or where a sample has few of the genes, whatever the method
that was trained on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.sequences import as_columns, falling_order
from screader_lib.reader.model.principal_components import principal_directions, sampled_cells
from screader_lib.reader.task import Task

MOST_GROUPS = 20  # of a label's cells; their number is the root of that of its cells
DIMENSIONS = 20  # in which cells are similar
MARKERS = 500  # genes that tell each label from each other one, with two labels
FEWER = 2 / 3  # as many, for each doubling of the number of labels; as in SingleR
QUANTILE = 0.8  # of the correlations with a label's profiles
BLOCK = 1024


@dataclass(frozen=True)
class LabelProfiles:
    """Mean gene weights of groups of training cells.

    ``genes`` object (genes,), ``values`` float32 (profiles, genes), ``labels`` the label number of
    each profile, int64 (profiles,), rising; all ``count`` labels have one.
    """

    genes: np.ndarray
    values: np.ndarray
    labels: np.ndarray

    @classmethod
    def fit(cls, task: Task) -> LabelProfiles:
        """Of the training cells, or a random sample of them."""
        from sklearn.cluster import KMeans

        chosen, genes = sampled_cells(task), task.cells.genes.index
        truth = task.truth[chosen]
        weights = task.cells.weights(task.rows[chosen])
        places = weights @ principal_directions(weights, task.settings.seed, DIMENSIONS)
        profiles, labels = [], []
        for label in range(len(task.labels.names)):
            rows = np.flatnonzero(truth == label)
            groups = min(MOST_GROUPS, int(np.ceil(np.sqrt(len(rows)))))
            if not groups:
                continue
            means = KMeans(groups, n_init=1, random_state=task.settings.seed)
            group = means.fit_predict(places[rows])
            for number in np.unique(group):
                profiles.append(weights[rows[group == number]].mean(0).A1)
                labels.append(label)
        return cls(genes, np.array(profiles, np.float32), np.array(labels, np.int64))

    def columns_of(self, cells: CellSequences) -> np.ndarray:
        """For each gene of these cells its number among the profiles' genes, −1 for none; int64."""
        index = {gene: number for number, gene in enumerate(self.genes)}
        return np.array([index.get(gene, -1) for gene in cells.genes.index], np.int64)

    def present(self, cells: CellSequences, columns: np.ndarray) -> np.ndarray:
        """Which of the profiles' genes these cells' file has, bool (genes,)."""
        found = np.zeros(len(self.genes), bool)
        found[columns[(columns >= 0) & cells.genes_in_input]] = True
        return found

    def weights(
        self, cells: CellSequences, rows: np.ndarray, columns: np.ndarray
    ) -> sparse.csr_matrix:
        """Weights of the profiles' genes in these cells, float32 (rows, genes)."""
        return as_columns(cells.weights(rows), columns, len(self.genes))

    def agreement(self, mean: np.ndarray, present: np.ndarray) -> float:
        """How alike a sample is to the training cells: a rank correlation over ``present`` genes.

        ``mean`` float (genes,) are the sample's mean weights; they are compared with those of each
        label, and of all labels together, and the highest correlation is returned.
        """
        typical = [self.values[self.labels == one].mean(0) for one in np.unique(self.labels)]
        profiles = np.stack([*typical, np.mean(typical, 0)])[:, present]
        if profiles.shape[1] < 2:
            return 0.0
        return float((_ranks(mean[None, present]) @ _ranks(profiles).T).max())

    def scores(self, weights: sparse.csr_matrix, present: np.ndarray) -> np.ndarray:
        """Agreement of cells with each label, float32 (cells, labels), between −1 and 1.

        Rank correlations over the markers among the genes that are ``present``, bool (genes,), of
        ``weights`` (cells, genes). 0 where no marker is.
        """
        labels = int(self.labels.max()) + 1
        profiles = self.values[:, present]
        markers = _markers(profiles, self.labels)
        result = np.zeros((weights.shape[0], labels), np.float32)
        if len(markers) < 2:
            return result
        own, columns = _ranks(profiles[:, markers]), np.flatnonzero(present)[markers]
        for start in range(0, weights.shape[0], BLOCK):
            cells = weights[start : start + BLOCK][:, columns]
            correlation = sparse_ranks(cells) @ own.T
            for label in np.unique(self.labels):
                of_label = correlation[:, self.labels == label]
                result[start : start + BLOCK, label] = np.quantile(of_label, QUANTILE, axis=1)
        return result


def _markers(profiles: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Numbers of the genes that are higher in one label than in another, most of all; rising."""
    names = np.unique(labels)
    typical = np.stack([np.median(profiles[labels == label], 0) for label in names])
    count = max(5, round(MARKERS * FEWER ** np.log2(max(2, len(names)))))
    chosen = np.zeros(profiles.shape[1], bool)
    for one in typical:
        for other in typical:
            higher = one - other
            best = np.argsort(-higher, kind="stable")[:count]
            chosen[best[higher[best] > 0]] = True
    return np.flatnonzero(chosen)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks within each row, ties shared, centred and of length 1; 0 where all are equal.

    As by scipy.stats.rankdata, whose import takes longer than the ranks of many cells.
    """
    order = np.argsort(values, axis=1, kind="stable")
    rising, position = np.take_along_axis(values, order, 1), np.arange(values.shape[1])
    is_first = np.ones(values.shape, bool)
    is_first[:, 1:] = rising[:, 1:] != rising[:, :-1]
    is_last = np.roll(is_first, -1, axis=1)
    first = np.maximum.accumulate(np.where(is_first, position, 0), axis=1)
    last = np.where(is_last, position, len(position))[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, 1)
    ranks -= ranks.mean(1, keepdims=True)
    return ranks / np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-12)


def sparse_ranks(values: sparse.csr_matrix) -> np.ndarray:
    """What :func:`_ranks` gives for the rows of a matrix whose stored values are all positive.

    Only these are sorted, as all zeros share the lowest ranks. float64 (rows, columns).
    """
    rows, width = values.shape
    lengths = np.diff(values.indptr)
    order = falling_order(values.data, values.indices, lengths)
    falling, row = values.data[order], np.repeat(np.arange(rows), lengths)
    is_first = np.ones(len(order), bool)
    is_first[1:] = (falling[1:] != falling[:-1]) | (row[1:] != row[:-1])
    first = np.flatnonzero(is_first)
    counts = np.diff(np.append(first, len(order)))
    above = (np.arange(len(order)) - values.indptr[row])[first] + (counts - 1) / 2
    ranks = np.repeat((width - lengths[:, None] - 1) / 2, width, axis=1)
    ranks[row, values.indices[order]] = width - 1 - np.repeat(above, counts)
    ranks -= (width - 1) / 2
    return ranks / np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-12)
