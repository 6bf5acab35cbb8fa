"""How learnt genes stand for those of other cells: by name, or by the nearest texts.

A gene that the reader has learnt is read as itself. Another, such as one of another species, is
read as the learnt genes whose texts are nearest, and one with none near is left out. So no table
of orthologs is needed, and nothing depends on the cells that are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 8
SOFTNESS = 0.05  # a text at cosine 1 − SOFTNESS counts e times less than the same text
SAME_TEXT = 0.9  # cosine from which a gene of the same name is the same gene
SMALLEST_SHARE = 0.05  # below, a gene is left out
GENES_AT_ONCE = 2048
COSINES_AT_ONCE = 2**23  # 32 MB


@dataclass(frozen=True)
class GeneMapping:
    """Which learnt genes stand for each gene of some cells.

    ``neighbours`` int64 and ``shares`` float32 (genes, at most NEIGHBOURS), shares adding up to 1
    or, where a gene is not known, to 0. ``known`` float32 (genes,): how well it is, 1 by name.
    ``learnt``: the number of learnt genes.
    """

    neighbours: np.ndarray
    shares: np.ndarray
    known: np.ndarray
    by_name: int
    by_text: int
    learnt: int

    @property
    def reached(self) -> float:
        """Share of the learnt genes that some gene stands for."""
        met = np.unique(self.neighbours[self.shares * self.known[:, None] > SMALLEST_SHARE])
        return len(met) / max(1, self.learnt)

    @property
    def itself(self) -> bool:
        """Whether all genes are known by name, in the learnt order."""
        places = np.arange(len(self.known))
        return self.by_name == len(places) and bool((self.neighbours[:, 0] == places).all())

    def mixed(self, table: np.ndarray) -> np.ndarray:
        """Rows of ``table`` (learnt genes, width) mixed for each gene, float32 (genes, width)."""
        result = np.zeros((len(self.known), table.shape[1]), np.float32)
        for place in range(self.neighbours.shape[1]):
            shares = self.shares[:, place, None]
            result += shares * table[self.neighbours[:, place]]
        return result


@dataclass(frozen=True)
class GeneMatcher:
    """Learnt genes: ``ids`` object (genes,), ``embedding`` float32 (genes, dim)."""

    ids: np.ndarray
    embedding: np.ndarray

    def match(self, ids: np.ndarray, embedding: np.ndarray) -> GeneMapping:
        """Match other genes, with their embeddings by the same model.

        A neighbour's share is exp((cosine − 1) / SOFTNESS), of embeddings whose mean over the
        learnt genes is taken off; a gene's shares add up to 1 at most.
        """
        known_units, found_units = self._units(self.embedding), self._units(embedding)
        neighbours, shares = _nearest(found_units, known_units)
        place_of = {name: place for place, name in enumerate(self.ids)}
        place = np.array([place_of.get(name, -1) for name in ids], np.int64)
        cosine = (found_units * known_units[place]).sum(1)
        named = (place >= 0) & (cosine > SAME_TEXT)
        neighbours[named, 0] = place[named]
        shares[named] = 0
        shares[named, 0] = 1
        total = shares.sum(1)
        shares[total < SMALLEST_SHARE] = 0
        total[total < SMALLEST_SHARE] = 0
        known = np.minimum(total, 1).astype(np.float32)
        shares /= np.maximum(total, 1e-9)[:, None]
        by_text = int((total > 0).sum() - named.sum())
        count = int(named.sum())
        return GeneMapping(
            neighbours, shares.astype(np.float32), known, count, by_text, len(self.ids)
        )

    def _units(self, embedding: np.ndarray) -> np.ndarray:
        centred = embedding - self.embedding.mean(0)
        return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)


def _nearest(found: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of ``known`` for each of ``found``, and what each counts; both unit length."""
    count = min(NEIGHBOURS, len(known))
    neighbours = np.zeros((len(found), count), np.int64)
    shares = np.zeros((len(found), count))
    step = max(1, min(GENES_AT_ONCE, COSINES_AT_ONCE // max(1, len(known))))
    for start in range(0, len(found), step):
        cosine = found[start : start + step] @ known.T
        rows = np.arange(len(cosine))
        for place in range(count):
            best = cosine.argmax(1)
            nearest = cosine[rows, best].astype(np.float64)
            neighbours[start : start + step, place] = best
            shares[start : start + step, place] = np.exp((nearest - 1) / SOFTNESS)
            cosine[rows, best] = -np.inf
    return neighbours, shares


def keep(
    genes: np.ndarray, weights: np.ndarray, kept: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences with only the genes for which ``kept(genes)`` holds, the rest moved up.

    ``genes`` int (cells, width), −1 where there is none; ``weights`` float32 alike.
    """
    mask = kept(genes) & (genes >= 0)
    if (mask == (genes >= 0)).all():
        return genes, weights
    order = np.argsort(~mask, axis=1, kind="stable")
    there = np.take_along_axis(mask, order, 1)
    genes = np.where(there, np.take_along_axis(genes, order, 1), -1)
    weights = np.where(there, np.take_along_axis(weights, order, 1), 0)
    return genes, weights.astype(np.float32)
