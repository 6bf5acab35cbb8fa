"""Principal components of the training cells, of a sample of them where they are many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from screader_lib.reader.task import Task, row_blocks

COMPONENTS = 50
SAMPLED_CELLS = 20_000
SAMPLE = 6  # stream of random numbers; see training


def sampled_cells(task: Task) -> np.ndarray:
    """Indices among the training cells, rising int64: all, or a random sample.

    Each label has a training cell, one of which is always in it.
    """
    random = np.random.default_rng([task.settings.seed, SAMPLE])
    some = random.permutation(len(task.rows))[:SAMPLED_CELLS]
    return np.union1d(some, np.unique(task.truth, return_index=True)[1])


def mean_and_spread(
    task: Task, weights_of: Callable[[np.ndarray], sparse.csr_matrix]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each gene over the training cells, float64 (genes,).

    ``weights_of(rows)`` gives their weights, (rows, genes).
    """
    genes, count = len(task.cells.genes.index), max(1, len(task.rows))
    total, squares = np.zeros(genes), np.zeros(genes)
    for rows in row_blocks(task.rows):
        values = weights_of(rows).astype(np.float64)
        total += values.sum(0).A1
        squares += values.multiply(values).sum(0).A1
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0))


def principal_directions(
    values: sparse.csr_matrix, seed: int, most: int = COMPONENTS
) -> np.ndarray:
    """The directions (features, components) of largest variance of ``values``, float32.

    At most ``most`` of them, fewer where there are few cells or features. Nothing is densified.
    """
    from sklearn.decomposition import PCA

    count = min(most, min(values.shape) - 1)
    if count < 1:
        return np.zeros((values.shape[1], 1), np.float32)
    found = PCA(count, svd_solver="arpack", random_state=seed).fit(values.astype(np.float64))
    return np.ascontiguousarray(found.components_.T, np.float32)
