"""How well types lie apart: silhouette, and purity of the nearest neighbours.

Both are taken in the vectors themselves, not in the picture, which distorts distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screader_lib.figures.data.cell_vectors import Vectors
from screader_lib.figures.drawing.plotting_packages import need

NEIGHBOURS = 10
MOST_CELLS = 5_000


@dataclass(frozen=True)
class Separation:
    """``silhouette`` (−1 to 1) and ``purity`` (0 to 1); None where they have no meaning."""

    silhouette: float | None
    purity: float | None
    cells: int

    def __str__(self) -> str:
        parts = [
            f"silhouette {_shown(self.silhouette)}",
            f"{NEIGHBOURS}-NN purity {_shown(self.purity)}",
        ]
        return ", ".join(parts)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def separation(vectors: Vectors, labels: np.ndarray, seed: int = 0) -> Separation:
    """Separation of ``labels`` (objects (rows,), empty = unknown) in ``vectors``.

    Taken from a sample of at most ``MOST_CELLS`` cells; cells without a label are left out.
    """
    rows, values = vectors.sample(MOST_CELLS, seed)
    kept = labels[rows] != ""
    names, codes = np.unique(labels[rows][kept].astype(str), return_inverse=True)
    values = np.asarray(values[kept], np.float32)
    count = len(codes)
    silhouette = None
    if 2 <= len(names) < count:
        measure = need("sklearn.metrics").silhouette_score
        silhouette = float(measure(values.astype(np.float64), codes))
    purity = neighbour_purity(values, codes) if len(names) >= 2 else None
    return Separation(silhouette, purity, count)


def neighbour_purity(values: np.ndarray, codes: np.ndarray, k: int = NEIGHBOURS) -> float:
    """Mean share of a cell's ``k`` nearest others (Euclidean) that have its code.

    ``values`` float (n, width), ``codes`` int (n,); n of at least 2.
    """
    k = min(k, len(values) - 1)
    centred = values - values.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    total = 0.0
    step = 1024
    for start in range(0, len(values), step):
        block = centred[start : start + step]
        distance = squares - 2 * block @ centred.T
        distance[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
        total += float((codes[nearest] == codes[start : start + step, None]).sum())
    return total / (k * len(values))
