"""The scaling of gene embeddings, learnt before training.

Text embeddings are far from centred: one mean vector and few directions dominate, and all genes
look alike. Whitening over the training vocabulary gives every direction the same variance. But
where there are few more genes than dimensions it makes all genes equally distant, and what their
texts say is lost. Partial whitening divides by a power of what whitening divides by: the highest
with which the cosines of genes before and after correlate to ``MIN_CORRELATION``.
"""

from __future__ import annotations

import numpy as np

MIN_VARIANCE = 1e-6  # of the largest variance; a direction below is noise or dead
MIN_CORRELATION = 0.9
POWERS = tuple(step / 20 for step in range(20, -1, -1))  # that partial whitening tries
COMPARED_GENES = 1000


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
    projected, spread = centred @ directions[:, alive], np.sqrt(variance[alive])
    power = _highest_power(projected, spread) if kind == "partial-whiten" else 1.0
    factors = spread**-power
    factors /= np.sqrt(np.mean((spread * factors) ** 2))
    whitening = directions[:, alive] * factors
    return {"center": center.astype(np.float32), "map": whitening.astype(np.float32)}


def _highest_power(values: np.ndarray, spread: np.ndarray) -> float:
    """Of ``spread`` (directions,) to divide ``values`` (genes, directions) by."""
    genes = np.random.default_rng(0).permutation(len(values))[:COMPARED_GENES]
    pairs = np.triu_indices(len(genes), 1)

    def cosines(power: float) -> np.ndarray:
        units = values[genes] * spread**-power
        units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
        return (units @ units.T)[pairs]

    before = cosines(0.0)
    if len(before) < 2 or not before.std():
        return 1.0
    for power in POWERS:
        after = cosines(power)
        if after.std() and np.corrcoef(before, after)[0, 1] >= MIN_CORRELATION:
            return power
    return 0.0


def scaled(vectors: np.ndarray, scaling: dict[str, np.ndarray]) -> np.ndarray:
    """Features float32 (genes, features) of ``vectors`` float32 (genes, dim)."""
    return (vectors - scaling["center"]) @ scaling["map"]
