"""A sample's cells in groups, and how much more of each type's genes each group has.

A group's value of a gene is its cells' mean of z-scores over all cells. A type's score in a group
is the weighted mean of its genes' values, taken from its own least to its own largest over the
groups, so that a type with weak markers counts as much as one with strong ones; but where not
even the largest stands out from what chance gives, it stays small. Scores of three numbers of
groups are averaged. The numbers were chosen on Baron's mouse cells and on blood of three
chemistries (benchmarks/no_labels.md), not on the cells that the figures are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from screader_lib.reader.methods.places import MOST_DEVIATIONS, Read
from screader_lib.reader.task import row_blocks

NUMBERS_OF_GROUPS = (25, 50, 100)
CELLS_IN_GROUP = 8  # on average, at least
LOW = 0.1  # quantile of a type's scores over the groups that stands for cells of other types
CLEAR = 8.0  # standard errors by which a type's largest score counts in full
MIN_CELLS = 3  # with a gene


@dataclass(frozen=True)
class Grouping:
    """``codes`` int64 (cells,), the group of each cell, and ``values`` float64 (groups, genes)."""

    codes: np.ndarray
    values: np.ndarray

    def scores(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of types with ``weights`` (types, genes): scores from 0 to about 1, float64 (groups,
        types).

        And by how many standard errors each is above what genes of this number give by chance.
        """
        errors = self.values.std() * np.sqrt((weights**2).sum(1))
        errors = np.where(errors > 0, errors, 1)
        means = self.values @ weights.T
        low = np.quantile(means, LOW, axis=0)
        height = np.maximum(means.max(0) - low, CLEAR * errors)
        return (means - low) / height, means / errors


def group_cells(places: np.ndarray, sketch: np.ndarray, read: Read) -> list[Grouping]:
    """The cells in groups by k-means on their ``places``, several times, from few to many groups.

    ``places`` float32 (cells, components), found in those of the ``sketch``, int64 rising, and
    ``read(rows)`` their gene weights. Groups are numbered from the largest.
    """
    from sklearn.cluster import KMeans

    most = max(2, len(sketch) // CELLS_IN_GROUP)
    codes = []
    for number in sorted({min(number, most) for number in NUMBERS_OF_GROUPS}):
        found = KMeans(number, n_init=4, random_state=0).fit(places[sketch]).predict(places)
        rank = np.argsort(np.argsort(-np.bincount(found, minlength=number), kind="stable"))
        codes.append(rank[found])
    return [Grouping(*one) for one in zip(codes, mean_values(codes, sketch, read), strict=True)]


def mean_values(codes: Sequence[np.ndarray], sketch: np.ndarray, read: Read) -> list[np.ndarray]:
    """The groups' mean z-scores float64 (groups, genes), for several ways to group the cells.

    ``codes`` int64 (cells,) each, −1 for a cell in no group. Means and deviations of genes are
    those of the ``sketch``; genes that next to no cell has, or that do not vary, have 0.
    """
    weights = read(sketch)
    mean = weights.mean(0).A1
    spread = np.sqrt(np.maximum(weights.multiply(weights).mean(0).A1 - mean**2, 0))
    most = (mean + MOST_DEVIATIONS * spread).astype(np.float32)
    spread[(spread == 0) | (weights.getnnz(0) < MIN_CELLS)] = np.inf
    members = [_members(one) for one in codes]
    sums = [np.zeros((one.shape[0], len(mean))) for one in members]
    for rows in row_blocks(np.arange(len(codes[0]))):
        block = read(rows)
        block.data = np.minimum(block.data, most[block.indices])
        for number, one in enumerate(members):
            sums[number] += (one[:, rows] @ block).toarray()
    sizes = [np.maximum(one.sum(1).A1, 1)[:, None] for one in members]
    return [(total / size - mean) / spread for total, size in zip(sums, sizes, strict=True)]


def _members(codes: np.ndarray) -> sparse.csc_matrix:
    """Which cells are in each group, ones (groups, cells)."""
    known = np.flatnonzero(codes >= 0)
    shape = (int(codes.max(initial=-1)) + 1, len(codes))
    return sparse.csc_matrix((np.ones(len(known)), (codes[known], known)), shape)
