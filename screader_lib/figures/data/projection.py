"""Vectors in two dimensions (PCA, then UMAP), and how well types are separated in the vectors.

Separation is measured in the vectors themselves, not in the figure, which distorts distances.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.compiled import cached_between_runs
from screader_lib.figures.data.cell_vectors import Vectors
from screader_lib.figures.drawing.canvas import require

COMPONENTS = 50
PCA_CELLS = 50_000  # the principal axes are computed from at most so many cells
NEIGHBOURS = 15  # of UMAP
MIN_DISTANCE = 0.3
MIN_UMAP_CELLS = 10  # UMAP needs more than its handful of neighbours
EXACT_UMAP_CELLS = 4096  # umap-learn compares so many with each other itself
FITTED_CELLS = 20_000  # more are placed among so many
PLACED_BY = 5  # nearest neighbours of a cell that is placed
PLACED_BLOCK = 20_000
PURITY_NEIGHBOURS = 10
SEPARATION_CELLS = 5_000


def project(vectors: Vectors, seed: int = 0, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """UMAP coordinates, float32 (rows, 2); the same for the same vectors and seed.

    Of more than ``FITTED_CELLS`` cells, a random sample has its UMAP, and the others are placed
    among their nearest neighbours in the sample. With fewer than ``MIN_UMAP_CELLS`` cells, the
    first two principal components.
    """
    components = principal_components(vectors, seed=seed)
    if len(components) <= FITTED_CELLS:
        return _fitted(components, seed, neighbours)
    rows = np.random.default_rng(seed).choice(len(components), FITTED_CELLS, replace=False)
    rows.sort()
    return placed(components, rows, _fitted(components[rows], seed, neighbours))


def sketch_of(cells: int) -> int | None:
    """How many of so many cells ``project`` computes a UMAP of; None where it is all of them."""
    return FITTED_CELLS if cells > FITTED_CELLS else None


def placed(vectors: np.ndarray, rows: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Coordinates, float32 (n, 2), of all ``vectors``, float32 (n, width), given those of some.

    ``rows``, int64 (m,), have ``coordinates``, float32 (m, 2). Each other one lies at the median
    of its ``PLACED_BY`` nearest of these (Euclidean): amid most of them, not between two islands.
    """
    search = require("sklearn.neighbors").NearestNeighbors(
        n_neighbors=min(PLACED_BY, len(rows)), algorithm="brute"
    )
    search.fit(vectors[rows])
    result = np.empty((len(vectors), 2), np.float32)
    for start in range(0, len(vectors), PLACED_BLOCK):
        block = vectors[start : start + PLACED_BLOCK]
        nearest = search.kneighbors(block, return_distance=False)
        result[start : start + len(block)] = np.median(coordinates[nearest], axis=1)
    result[rows] = coordinates
    return result


def _fitted(components: np.ndarray, seed: int, neighbours: int) -> np.ndarray:
    start = components[:, :2]
    extent = float(np.abs(start).max()) if start.size else 0.0
    if len(components) < MIN_UMAP_CELLS or extent == 0:
        return start
    neighbours = min(neighbours, len(components) - 1)
    known: tuple[np.ndarray | None, np.ndarray | None] = None, None
    if len(components) >= EXACT_UMAP_CELLS:
        known = _nearest(components, neighbours)
    umap = import_umap()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on one thread because of the seed, and the like
        reducer = umap.UMAP(
            n_neighbors=neighbours,
            min_dist=MIN_DISTANCE,
            init=start * np.float32(10 / extent),
            random_state=seed,
            n_jobs=1,
            precomputed_knn=known,
        )
        return np.asarray(reducer.fit_transform(components), np.float32)


def _nearest(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` nearest rows of each one, first itself: int32, and their distances float32.

    umap-learn would estimate them by functions that take a minute to compile.
    """
    search = require("sklearn.neighbors").NearestNeighbors(n_neighbors=count - 1, algorithm="brute")
    distances, others = search.fit(values).kneighbors()
    itself = np.arange(len(values))[:, None]
    rows = np.hstack([itself, others]).astype(np.int32)
    return rows, np.hstack([np.zeros(itself.shape), distances]).astype(np.float32)


def principal_components(vectors: Vectors, count: int = COMPONENTS, seed: int = 0) -> np.ndarray:
    """Coordinates on the first principal axes, float32 (rows, at most ``count``), at least two.

    Each axis points so that its largest loading is positive, which makes signs reproducible.
    """
    _, sample = vectors.sample(PCA_CELLS, seed)
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = sample - mean
    eigenvalues, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    axes = axes[:, np.argsort(eigenvalues)[::-1][: min(count, max(2, len(sample) - 1))]]
    largest = np.abs(axes).argmax(axis=0)
    axes = (axes * np.sign(axes[largest, np.arange(axes.shape[1])])).astype(np.float32)
    empty = np.zeros((0, axes.shape[1]), np.float32)
    result = np.concatenate([empty, *((block - mean) @ axes for block in vectors.blocks())])
    return np.pad(result, ((0, 0), (0, max(0, 2 - result.shape[1]))))


def import_umap() -> Any:
    """umap-learn, its compiled functions cached between runs; ScReaderError where it is missing."""
    require("numba")
    with cached_between_runs():
        return require("umap")


@dataclass(frozen=True)
class Separation:
    """``silhouette`` (−1 to 1) and ``purity`` (0 to 1); None where they are undefined."""

    silhouette: float | None
    purity: float | None
    cells: int

    def __str__(self) -> str:
        silhouette, purity = (
            "–" if value is None else f"{value:.2f}".replace("-", "−")
            for value in (self.silhouette, self.purity)
        )
        return f"silhouette {silhouette}, {PURITY_NEIGHBOURS}-NN purity {purity}"


def separation(vectors: Vectors, labels: np.ndarray, seed: int = 0) -> Separation:
    """Separation of ``labels`` (objects (rows,), empty = unknown) in ``vectors``.

    Measured on a sample of at most ``SEPARATION_CELLS`` cells; cells without a label are left out.
    """
    rows, values = vectors.sample(SEPARATION_CELLS, seed)
    labelled = labels[rows] != ""
    names, codes = np.unique(labels[rows][labelled].astype(str), return_inverse=True)
    values = np.asarray(values[labelled], np.float64)
    silhouette = purity = None
    if 2 <= len(names) < len(codes):
        silhouette = float(require("sklearn.metrics").silhouette_score(values, codes))
    if len(names) >= 2:
        purity = neighbour_purity(values, codes)
    return Separation(silhouette, purity, len(codes))


def neighbour_purity(values: np.ndarray, codes: np.ndarray) -> float:
    """Mean fraction of a cell's nearest neighbours (Euclidean) that have its code.

    ``values`` float (n, width), ``codes`` int (n,); n of at least 2.
    """
    search = require("sklearn.neighbors").NearestNeighbors(
        n_neighbors=min(PURITY_NEIGHBOURS, len(values) - 1)
    )
    nearest = search.fit(values).kneighbors(return_distance=False)
    return float((codes[nearest] == codes[:, None]).mean())
