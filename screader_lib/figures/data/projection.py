"""Vectors to two dimensions: principal components, then UMAP."""

from __future__ import annotations

import warnings

import numpy as np

from screader_lib.figures.data.cell_vectors import Vectors
from screader_lib.figures.drawing.plotting_packages import umap

COMPONENTS = 50
BASIS_CELLS = 50_000  # principal axes are found from at most so many cells
NEIGHBOURS = 15
LEAST_DISTANCE = 0.3
FEW = 10  # cells; UMAP needs more than its handful of neighbours


def principal_components(vectors: Vectors, count: int = COMPONENTS, seed: int = 0) -> np.ndarray:
    """Coordinates on the first principal axes, float32 (rows, at most ``count``).

    Each axis points so that its largest loading is positive, so that signs repeat.
    """
    _, sample = vectors.sample(BASIS_CELLS, seed)
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = sample - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64)
    values, axes = np.linalg.eigh(covariance)
    count = min(count, max(2, len(sample) - 1))
    axes = axes[:, np.argsort(values)[::-1][:count]]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    basis = axes.astype(np.float32)
    shift = mean.astype(np.float32)
    blocks = [(block - shift) @ basis for block in vectors.blocks()]
    result = np.concatenate(blocks) if blocks else np.zeros((0, basis.shape[1]), np.float32)
    if result.shape[1] < 2:
        return np.column_stack([result, np.zeros(len(result), np.float32)])
    return result


def project(vectors: Vectors, seed: int = 0, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """UMAP coordinates, float32 (rows, 2); the same for the same vectors and seed.

    With fewer than ``FEW`` cells, the first two principal components.
    """
    components = principal_components(vectors, seed=seed)
    start = components[:, :2]
    extent = float(np.abs(start).max()) if start.size else 0.0
    if len(components) < FEW or extent == 0:
        return start
    module = umap()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on one thread because of the seed, and the like
        reducer = module.UMAP(
            n_neighbors=min(neighbours, len(components) - 1),
            min_dist=LEAST_DISTANCE,
            init=start * np.float32(10 / extent),
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(reducer.fit_transform(components), np.float32)
