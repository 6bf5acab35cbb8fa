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

    def columns_of(self, genes: np.ndarray) -> np.ndarray:
        """The number of each gene, by id, among the profiles' genes; −1 for none; int64."""
        index = {gene: number for number, gene in enumerate(self.genes)}
        return np.array([index.get(gene, -1) for gene in genes], np.int64)

    def present(self, columns: np.ndarray, in_input: np.ndarray) -> np.ndarray:
        """Which of the profiles' genes a sample has, bool (genes,).

        ``in_input``, bool (genes of the sample,), says which of the genes with these ``columns``
        are in the sample's file.
        """
        found = np.zeros(len(self.genes), bool)
        found[columns[(columns >= 0) & in_input]] = True
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

    def ranked_markers(self, present: np.ndarray) -> RankedMarkers:
        """The markers among the genes that are ``present``, bool (genes,)."""
        profiles = self.values[:, present]
        markers = _markers(profiles, self.labels)
        ranks = _ranks(profiles[:, markers]).astype(np.float32)
        return RankedMarkers(np.flatnonzero(present)[markers], ranks, self.labels)


@dataclass(frozen=True)
class RankedMarkers:
    """The profiles' ranks of those genes that tell labels apart.

    ``genes`` int64 (markers,), rising, are columns of the profiles' genes, ``ranks`` float32
    (profiles, markers), and ``labels`` int64 (profiles,) those of the profiles.
    """

    genes: np.ndarray
    ranks: np.ndarray
    labels: np.ndarray

    def scores(self, weights: sparse.csr_matrix) -> np.ndarray:
        """Agreement of cells with each label, float32 (cells, labels), between −1 and 1.

        Rank correlations over the markers of ``weights`` (cells, genes of the profiles); 0 where
        there are fewer than two markers.
        """
        result = np.zeros((weights.shape[0], int(self.labels.max()) + 1), np.float32)
        if len(self.genes) < 2:
            return result
        columns = {label: np.flatnonzero(self.labels == label) for label in np.unique(self.labels)}
        by_gene = np.ascontiguousarray(self.ranks.T)
        for start in range(0, weights.shape[0], BLOCK):
            cells = weights[start : start + BLOCK][:, self.genes]
            ranks, _ = sparse_ranks(cells)
            # What all ranks share is nothing to centred ones. Products of dense blocks are faster.
            correlation = ranks.toarray() @ by_gene
            for label, own in columns.items():
                result[start : start + BLOCK, label] = _quantiles(correlation[:, own], QUANTILE)
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


def sparse_ranks(values: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray]:
    """What :func:`_ranks` gives for the rows of a matrix whose stored values are all positive.

    Zeros share the lowest ranks, float32 (rows,), the second value; the first, CSR float32 (rows,
    columns), is by how much the other ranks are higher. Only these are sorted.
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
    ranks = (width - 1) / 2 - np.repeat(above, counts)
    lowest = -lengths / 2
    squares = np.bincount(row, ranks**2, rows) + (width - lengths) * lowest**2
    norms = np.maximum(np.sqrt(squares), 1e-12)
    higher = ((ranks - lowest[row]) / norms[row]).astype(np.float32)
    matrix = sparse.csr_matrix((higher, values.indices[order], values.indptr), values.shape)
    return matrix, (lowest / norms).astype(np.float32)


def _quantiles(values: np.ndarray, share: float) -> np.ndarray:
    """The quantile of each row, interpolated, as by ``np.quantile`` but several times as fast."""
    rising = np.sort(values, axis=1)
    place = share * (values.shape[1] - 1)
    low = int(place)
    high = min(low + 1, values.shape[1] - 1)
    return rising[:, low] + np.float32(place - low) * (rising[:, high] - rising[:, low])
