"""k nearest neighbours by cosine, in bounded memory.

A cell's answer depends on that cell alone: which training cells are near is first estimated by
one product of matrices, whose rounding changes with the cells beside it, and then decided in
float64, cell by cell.
"""

from __future__ import annotations

import numpy as np

SIMILARITIES_AT_ONCE = 1 << 24
ROUNDING = 1e-4  # of a similarity in float32, with a wide margin
TIE_BREAK = 0.01  # votes; less than one vote, so that it decides between equal numbers alone


def unit(vectors: np.ndarray) -> np.ndarray:
    """``vectors`` (cells, dim) at unit length, float32; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def nearest(values: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
    """The rows of ``reference`` most similar to each of ``values``, the most similar first.

    Both float32 (cells, dim) of unit length. int64 (cells, min(k, references)); equal similarity
    goes to the earlier row.
    """
    count = min(k, len(reference))
    neighbours = np.zeros((len(values), count), np.int64)
    at_once = max(1, SIMILARITIES_AT_ONCE // max(1, len(reference)))
    for start in range(0, len(values), at_once):
        block = values[start : start + at_once]
        estimated = block @ reference.T
        kth = np.partition(estimated, len(reference) - count, axis=1)[:, len(reference) - count]
        for row, value in enumerate(block):
            near = np.flatnonzero(estimated[row] >= kth[row] - ROUNDING)
            exact = _similarities(value, reference, near)
            neighbours[start + row] = near[np.argsort(-exact, kind="stable")[:count]]
    return neighbours


def _similarities(value: np.ndarray, reference: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Cosines float64 (near,) of one cell with the rows ``near``, in pieces."""
    piece = max(1, SIMILARITIES_AT_ONCE // max(1, reference.shape[1]))
    wide = value.astype(np.float64)
    starts = range(0, len(near), piece)
    return np.concatenate([(reference[near[i : i + piece]] * wide).sum(1) for i in starts])


def vote_logits(neighbour_labels: np.ndarray, labels: int) -> np.ndarray:
    """Logarithms of smoothed vote shares, float32 (cells, labels).

    ``neighbour_labels`` int64 (cells, k), the nearest first. Every neighbour has one vote, every
    label the share of one more vote, so that none is impossible. Of labels with equal votes the
    one of the nearer neighbour comes first.
    """
    cells, k = neighbour_labels.shape
    votes = np.zeros((cells, labels))
    nearness = np.zeros((cells, labels))
    row = np.arange(cells)
    for rank in range(k):
        label = neighbour_labels[:, rank]
        votes[row, label] += 1
        nearness[row, label] = np.maximum(nearness[row, label], (k - rank) / k)
    shares = votes + TIE_BREAK * nearness + 1 / labels
    return np.log(shares / shares.sum(1, keepdims=True)).astype(np.float32)
