"""Nearest neighbours of a sample's cells, in the principal components of their own genes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from screader_lib.threads import matrix_threads

NEIGHBOURS = 10
COMPONENTS = 20
SKETCH = 20_000  # cells that components are found in, and neighbours looked for
MOST_DEVIATIONS = 10.0  # from a gene's mean that count
BLOCK = 1024
BLOCK_OF_NEIGHBOURS = 256  # cells whose similarities to all of the sketch are held

Read = Callable[[np.ndarray], sparse.csr_matrix]


@dataclass(frozen=True)
class Neighbours:
    """The ``nearest`` cells of each cell, int64 (cells, count), all of them in the ``sketch``.

    ``sketch`` int64, rising: all cells, or a random sample of them.
    """

    nearest: np.ndarray
    sketch: np.ndarray

    @classmethod
    def of(cls, read: Read, cells: int) -> Neighbours:
        """By the components of :func:`own_components`."""
        places, sketch = own_components(read, cells)
        return cls(nearest(places, sketch), sketch)


def own_components(read: Read, cells: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Places of ``cells`` cells, float32 (cells, components), of length 1, and the sketch's rows.

    ``read(rows)`` gives their gene weights (rows, genes). Genes are standardised by the cells of
    the sketch, int64 rising, which are all cells or a random sample of them; their components are
    found in it. Nothing is made dense but ``BLOCK`` cells.
    """
    random = np.random.default_rng(seed)
    sketch = np.sort(random.permutation(cells)[:SKETCH])
    weights = read(sketch)
    mean = weights.mean(0).A1
    spread = np.sqrt(np.maximum(weights.multiply(weights).mean(0).A1 - mean**2, 0))
    varying = np.flatnonzero(spread > 0)
    count = min(COMPONENTS, len(varying), len(sketch) - 1)
    if count < 1:
        return np.zeros((cells, 1), np.float32), sketch

    centre, scale = mean[varying].astype(np.float32), spread[varying].astype(np.float32)

    def standardised(rows: np.ndarray) -> np.ndarray:
        values = read(rows)[:, varying].toarray()
        values -= centre
        values /= scale
        return np.clip(values, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=values)

    def products(rows: np.ndarray) -> np.ndarray:
        values = standardised(rows)
        return values.T @ values

    def placed(rows: np.ndarray) -> np.ndarray:
        return standardised(rows) @ directions

    def blocks(rows: np.ndarray) -> Iterator[tuple[np.ndarray]]:
        return ((rows[start : start + BLOCK],) for start in range(0, len(rows), BLOCK))

    covariance = np.zeros((len(varying), len(varying)), np.float32)
    with matrix_threads() as mapped:
        for product in mapped(products, blocks(sketch)):
            covariance += product
        directions = _main_directions(covariance, count)
        places = np.concatenate([*mapped(placed, blocks(np.arange(cells)))])
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
    return places, sketch


def _main_directions(covariance: np.ndarray, count: int) -> np.ndarray:
    """Eigenvectors of the largest eigenvalues, float32 (genes, count)."""
    from scipy.sparse.linalg import eigsh

    if count > len(covariance) // 2:
        return np.linalg.eigh(covariance)[1][:, -count:]
    start = np.ones(len(covariance), covariance.dtype)  # the same result in every run
    return eigsh(covariance, count, v0=start)[1]


def nearest(places: np.ndarray, among: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """The nearest of the cells ``among``, int64 rising, for each cell but itself, by cosine.

    int64 (cells, at most ``count``), rows of ``places`` float32 (cells, components) of length 1.
    """
    count = min(count, len(among) - 1)
    others = places[among].T

    def of_block(start: int) -> np.ndarray:
        rows = np.arange(start, min(len(places), start + BLOCK_OF_NEIGHBOURS))
        cosine = places[rows] @ others
        at = np.searchsorted(among, rows)
        own = (at < len(among)) & (among[np.minimum(at, len(among) - 1)] == rows)
        cosine[np.flatnonzero(own), at[own]] = -np.inf
        best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        return among[np.sort(best, axis=1)]

    starts = ((start,) for start in range(0, len(places), BLOCK_OF_NEIGHBOURS))
    with matrix_threads() as mapped:
        return np.concatenate([np.zeros((0, count), np.int64), *mapped(of_block, starts)])
