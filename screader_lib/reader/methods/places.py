"""Cells' places in the principal components of their own genes, and their nearest neighbours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from screader_lib.largest import largest
from screader_lib.threads import matrix_threads

NEIGHBOURS = 10
COMPONENTS = 20
SKETCH = 20_000  # cells that components are found in, and neighbours looked for
MOST_DEVIATIONS = 10.0  # from a gene's mean that count
BLOCK = 1024
BLOCK_OF_NEIGHBOURS = 128  # cells whose similarities to all of the sketch are held

Read = Callable[[np.ndarray], sparse.csr_matrix]


@dataclass(frozen=True)
class Neighbours:
    """The ``nearest`` cells of each cell, int64 (cells, count), all of them in the ``sketch``.

    ``sketch`` int64, rising: all cells, or a random sample of them.
    """

    nearest: np.ndarray
    sketch: np.ndarray

    @classmethod
    def of(cls, places: np.ndarray, sketch: np.ndarray) -> Neighbours:
        """Of cells at ``places``, float32 (cells, components) of length 1."""
        return cls(nearest(places, sketch), sketch)


@dataclass(frozen=True)
class OwnComponents:
    """Principal components of a sample's own genes.

    They were found in the cells of the ``sketch``, int64 rising, which are all cells or a random
    sample of them. ``varying`` int64 are the genes that vary in it, ``mean`` and ``spread`` float32
    (varying genes,), and ``directions`` float32 (varying genes, components).
    """

    sketch: np.ndarray
    varying: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    directions: np.ndarray

    @classmethod
    def fit(
        cls, read: Read, cells: int, seed: int = 0, kept: np.ndarray | None = None
    ) -> OwnComponents:
        """Of ``cells`` cells, whose gene weights (rows, genes) are ``read(rows)``.

        Only genes ``kept``, bool (genes,), count, by default all. Nothing is made dense but
        ``BLOCK`` cells.
        """
        random = np.random.default_rng(seed)
        sketch = np.sort(random.permutation(cells)[:SKETCH])
        weights = read(sketch)
        mean = weights.mean(0).A1
        spread = np.sqrt(np.maximum(weights.multiply(weights).mean(0).A1 - mean**2, 0))
        varying = np.flatnonzero(spread > 0 if kept is None else (spread > 0) & kept)
        count = max(0, min(COMPONENTS, len(varying), len(sketch) - 1))
        mean, spread = mean[varying].astype(np.float32), spread[varying].astype(np.float32)
        none = np.zeros((len(varying), 0), np.float32)
        found = cls(sketch, varying, mean, spread, none)
        if not count:
            return found

        def products(block: sparse.csr_matrix) -> np.ndarray:
            values = found._standardised(block)
            return values.T @ values

        blocks = ((weights[start : start + BLOCK],) for start in range(0, len(sketch), BLOCK))
        covariance = np.zeros((len(varying), len(varying)), np.float32)
        with matrix_threads() as mapped:
            for product in mapped(products, blocks):
                covariance += product
        return replace(found, directions=_main_directions(covariance, count))

    def places(self, weights: sparse.csr_matrix) -> np.ndarray:
        """Where cells are, float32 (cells, components), of length 1, or 0 where nothing varies.

        ``weights`` (cells, genes) are of all genes; of as many cells as may be made dense.
        """
        if not self.directions.size:
            return np.zeros((weights.shape[0], 1), np.float32)
        places = self._standardised(weights) @ self.directions
        places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
        return places

    def _standardised(self, weights: sparse.csr_matrix) -> np.ndarray:
        values = weights[:, self.varying].toarray()
        values -= self.mean
        values /= self.spread
        return np.clip(values, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=values)


class PlacedCells:
    """The ``places`` of a sample's cells, float32 (cells, components), filled in by blocks."""

    def __init__(self, read: Read, cells: int, seed: int = 0) -> None:
        """As :meth:`OwnComponents.fit`."""
        self.read = read
        self.components = OwnComponents.fit(read, cells, seed)
        width = max(1, self.components.directions.shape[1])
        self.places = np.zeros((cells, width), np.float32)

    def fill(self, rows: np.ndarray) -> None:
        """Place the cells ``rows``; several threads may at a time."""
        self.places[rows] = self.components.places(self.read(rows))

    def neighbours(self) -> Neighbours:
        """Of the cells, all of which have been placed."""
        return Neighbours.of(self.places, self.components.sketch)


def own_components(read: Read, cells: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The places of all cells by their :class:`OwnComponents`, and the sketch's rows."""
    placed = PlacedCells(read, cells, seed)
    blocks = ((np.arange(start, min(cells, start + BLOCK)),) for start in range(0, cells, BLOCK))
    with matrix_threads() as mapped:
        deque(mapped(placed.fill, blocks), 0)
    return placed.places, placed.components.sketch


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
        return among[largest(cosine, count)]

    starts = ((start,) for start in range(0, len(places), BLOCK_OF_NEIGHBOURS))
    with matrix_threads() as mapped:
        return np.concatenate([np.zeros((0, count), np.int64), *mapped(of_block, starts)])
