"""The scaling of gene embeddings, learnt before training.

Text embeddings are far from centred: one mean vector and few directions dominate, and all genes
look alike. Whitening over the training vocabulary gives every direction the same variance. But
where there are few more genes than dimensions it makes all genes equally distant, and what their
texts say is lost. Partial whitening divides by the 0.4th power of what whitening divides by, and keeps
it: the cosines of genes before and after correlate to 0.9 or more at any number of genes.
"""

from __future__ import annotations

import numpy as np

MIN_VARIANCE = 1e-6  # of the largest variance; a direction below is noise or dead
PARTIAL = 0.4  # power of the standard deviation that partial whitening divides by


def fit_scaling(vectors: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """Learn the scaling of ``vectors`` float32 (genes, dim): ``none``, ``standardise``,
    ``partial-whiten`` or ``whiten``.

    Returns ``center`` (dim,) and ``map`` (dim, features), both float32, for :func:`scaled`.
    """
    values = vectors.astype(np.float64)
    dim = values.shape[1]
    if kind == "none":
        return {"center": np.zeros(dim, np.float32), "map": np.eye(dim, dtype=np.float32)}
    center = values.mean(0)
    centred = values - center
    if kind == "standardise":
        spread = centred.std(0)
        factors = np.where(spread > 1e-3 * spread.max(), 1 / np.maximum(spread, 1e-12), 0.0)
        return {"center": center.astype(np.float32), "map": np.diag(factors).astype(np.float32)}
    variance, directions = np.linalg.eigh(centred.T @ centred / len(values))
    variance, directions = variance[::-1], directions[:, ::-1]
    directions *= np.sign(directions[np.abs(directions).argmax(0), np.arange(dim)])
    alive = variance > MIN_VARIANCE * variance[0]
    power = PARTIAL / 2 if kind == "partial-whiten" else 0.5
    lengths = variance[alive] ** (0.5 - power)  # of the features' spreads
    factors = variance[alive] ** -power / np.sqrt(np.mean(lengths**2))
    whitening = directions[:, alive] * factors
    return {"center": center.astype(np.float32), "map": whitening.astype(np.float32)}


def scaled(vectors: np.ndarray, scaling: dict[str, np.ndarray]) -> np.ndarray:
    """Features float32 (genes, features) of ``vectors`` float32 (genes, dim)."""
    return (vectors - scaling["center"]) @ scaling["map"]
