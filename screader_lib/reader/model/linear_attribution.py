"""Each gene's part in a call where logits are linear in the genes' weights: exact, without torch.

Integrated gradients (see ``attribution``) need no steps there. A gene's gradient is that of its
logits, weighted by how probable each label is among all but the called one. Only these
probabilities change along the path, so that their means are integrals over the logits alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NODES = (8, 24, 256)  # of an integral over logits alone: more where fewer do not do
CELLS_AT_ONCE = 256  # gradients of all genes are held for
ROUNDING = 1e-5  # of the change in log-odds, to which the integrals have to add up


@lru_cache
def nodes(count: int, power: int) -> tuple[list[float], list[float]]:
    """Nodes in (0, 1) and weights of a quadrature: Gauss-Legendre's in the ``power``-th root."""
    points, shares = np.polynomial.legendre.leggauss(count)
    points, shares = (points + 1) / 2, shares / 2
    return (points**power).tolist(), (shares * power * points ** (power - 1)).tolist()


def mean_factors(
    first: np.ndarray, last: np.ndarray, calls: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each logit counts in the log-odds of the calls, float64 (cells, labels), on average
    along the path from the logits ``first`` to ``last``; and how the log-odds change, (cells,).

    ``first`` and ``last`` (cells, labels), ``calls`` label numbers (cells,).
    """
    cells, first, last = np.arange(len(calls)), first.astype(np.float64), last.astype(np.float64)
    change = (last - first)[cells, calls]
    change -= _log_shares(last, calls)[1] - _log_shares(first, calls)[1]
    factors, wanted = np.zeros_like(last), cells
    for count in NODES:
        factors[wanted] = _integrals(first[wanted], last[wanted], calls[wanted], count)
        missed = np.abs((factors * (last - first)).sum(1) - change)
        wanted = np.flatnonzero(missed > ROUNDING * np.maximum(np.abs(change), 1))
        if not len(wanted):
            break
    return factors, change


def _integrals(first: np.ndarray, last: np.ndarray, calls: np.ndarray, count: int) -> np.ndarray:
    factors = np.zeros_like(last)
    for share, weight in zip(*nodes(count, 1), strict=True):
        factors -= weight * np.exp(_log_shares(first + share * (last - first), calls)[0])
    factors[np.arange(len(calls)), calls] = 1.0
    return factors


def _log_shares(logits: np.ndarray, calls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the labels that are not called: logarithms of their shares, and of their sum (cells,)."""
    others = logits.copy()
    others[np.arange(len(calls)), calls] = -np.inf
    highest = others.max(1)
    log_sum = highest + np.log(np.exp(others - highest[:, None]).sum(1))
    return others - log_sum[:, None], log_sum


def linear_parts(
    weights: csr_matrix,
    calls: np.ndarray,
    biases: np.ndarray,
    *terms: tuple[np.ndarray, np.ndarray | None],
) -> tuple[np.ndarray, np.ndarray]:
    """Parts and gaps float32 (cells,) of logits that are linear in the genes' weights.

    Parts are float32, one for each of the stored ``weights``, CSR float32 (cells, genes). ``calls``
    are label numbers (cells,). Logits are the ``biases`` (labels,) and, for each of the ``terms``,
    what the genes of its matrix float32 (genes, labels) add up to, divided by a length (cells,),
    None for 1, that is the whole cell's all along the path.
    """
    cells = weights.shape[0]
    first = np.broadcast_to(biases.astype(np.float64), (cells, len(biases)))
    last, lengths = first.copy(), [np.ones(cells) if one is None else one for _, one in terms]
    for (matrix, _), length in zip(terms, lengths, strict=True):
        last += (weights @ matrix) / length[:, None]
    factors, change = mean_factors(first, last, calls)
    by_label = np.hstack([factors / length[:, None] for length in lengths]).astype(np.float32)
    by_gene = np.hstack([matrix for matrix, _ in terms])
    row = np.repeat(np.arange(cells), np.diff(weights.indptr))
    parts = np.empty(weights.nnz, np.float32)
    for start in range(0, cells, CELLS_AT_ONCE):
        gradient = by_label[start : start + CELLS_AT_ONCE] @ by_gene.T
        own = slice(weights.indptr[start], weights.indptr[start + len(gradient)])
        place = (row[own] - start) * len(by_gene) + weights.indices[own]
        parts[own] = gradient.ravel()[place] * weights.data[own]
    gaps = np.abs(np.bincount(row, parts, cells) - change) / np.maximum(np.abs(change), 1)
    return parts, gaps.astype(np.float32)
