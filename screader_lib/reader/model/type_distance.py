"""How far a cell is from the types of the training, by the genes that it expresses.

A cell of an unknown type may get a known label with high confidence, where it expresses the genes
that tell this label from the others. Its other genes may still show that it is something else. So
the training cells' main directions of variation are found (principal components), scaled so that
cells of one type vary as much in all of them (Lee et al. 2018, "A Simple Unified Framework for
Detecting Out-of-Distribution Samples": Mahalanobis distance with one covariance for all types),
and the distance is that to the nearest type's mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.model.principal_components import (
    COMPONENTS,
    principal_directions,
    sampled_cells,
)
from screader_lib.reader.task import Task, row_blocks

SHRINKAGE = 0.1  # of the covariance within types, towards a sphere
MIN_CELLS = 20
MIN_COVERAGE = 0.9  # of the genes' weight, for distances to count


@dataclass(frozen=True)
class TypeDistance:
    """Distances to the means of types.

    ``genes`` object (genes,), their ``projection`` float32 (genes, components), and each label's
    mean in that space, ``means`` float32 (labels, components).
    """

    genes: np.ndarray
    projection: np.ndarray
    means: np.ndarray
    _projected: dict[str, tuple[CellSequences, np.ndarray | None]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def fit(cls, task: Task) -> TypeDistance | None:
        """Measure the training cells, or a random sample of them; None where there are too few."""
        chosen = sampled_cells(task)
        rows, truth, genes = task.rows[chosen], task.truth[chosen], task.cells.genes.index
        labels, present = np.unique(truth, return_inverse=True)
        count = min(COMPONENTS, len(rows) - len(labels), len(genes) - 1)
        if len(rows) < MIN_CELLS or count < 1:
            return None
        blocks = [task.cells.weights(part) for part in row_blocks(rows)]
        values = sparse.vstack(blocks, "csr").astype(np.float64)
        directions = principal_directions(values, task.settings.seed, count).astype(np.float64)
        scores = values @ directions
        sizes = np.bincount(present)
        means = np.stack([np.bincount(present, column) / sizes for column in scores.T], 1)
        within = scores - means[present]
        covariance = within.T @ within / len(rows)
        sphere = np.trace(covariance) / count * np.eye(count)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * sphere
        if not np.trace(covariance) > 0:
            return None
        whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
        projection = (directions @ whitening).astype(np.float32)
        return cls(genes, projection, (means @ whitening).astype(np.float32))

    def distances(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Squared distance of each of ``rows`` to the nearest type's mean, float32 (rows,).

        NaN for all where the cells' vocabulary lacks too many of the genes.
        """
        projection = self._projection_of(cells)
        if projection is None:
            return np.full(len(rows), np.nan, np.float32)
        means = self.means.astype(np.float64)
        squares, nearest = (means**2).sum(1), np.empty(len(rows), np.float32)
        start = 0
        for part in row_blocks(rows):
            scores = (cells.weights(part) @ projection).astype(np.float64)
            to_means = (scores**2).sum(1)[:, None] + squares - 2 * scores @ means.T
            nearest[start : start + len(part)] = np.maximum(to_means.min(1), 0)
            start += len(part)
        return nearest

    def _projection_of(self, cells: CellSequences) -> np.ndarray | None:
        """Of the genes of these cells, float32 (genes, components); None where too few are there.

        Kept for the cells that are asked for next, which are mostly the same.
        """
        known = self._projected.get("last")
        if known is None or known[0] is not cells:
            index = {gene: number for number, gene in enumerate(self.genes)}
            column = np.array([index.get(gene, -1) for gene in cells.genes.index], np.int64)
            size = (self.projection.astype(np.float64) ** 2).sum(1)
            found = column >= 0
            projection = None
            if size[column[found]].sum() >= MIN_COVERAGE * size.sum():
                projection = np.zeros((len(column), self.projection.shape[1]), np.float32)
                projection[found] = self.projection[column[found]]
            known = self._projected["last"] = cells, projection
        return known[1]
