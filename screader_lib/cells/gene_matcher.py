"""Genes of cells matched to a reader's genes: by name, or by the nearest texts.

A gene that the reader has learnt is read as itself, whatever its text is now. Another, such as one
of another species, is read as the learnt genes whose texts are nearest, and one with none near is
left out. So no table of orthologs is needed, and nothing depends on the cells that are read.

Texts are compared only where they have the same fields and model, and where genes of one name have
the same text: of one species, by the median gene; of another one, gene by gene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from screader_lib.cells.gene_texts import UNKNOWN, GeneTexts, is_other_species

NEIGHBOURS = 8
SOFTNESS = 0.05  # a text at cosine 1 − SOFTNESS counts e times less than the same text
SAME_TEXT = 0.9  # cosine from which two texts of one name are the same text
MIN_SIMILARITY = 0.05  # of the kernel; below, a gene is left out
GENES_AT_ONCE = 2048
COSINES_AT_ONCE = 2**23  # 32 MB


@dataclass(frozen=True)
class GeneMapping:
    """Which learnt genes stand for each gene of some cells.

    ``neighbours`` int64 and ``shares`` float32 (genes, at most NEIGHBOURS), shares adding up to 1
    or, for an unknown gene, to 0. ``known`` float32 (genes,): how well it is known, 1 by name.
    ``named`` bool (genes,): known by name. ``learnt`` is the number of learnt genes.
    ``texts_differ`` says why the other genes are not matched by text, "" where they are;
    ``other_species`` that they are those of another species than the learnt ones.
    """

    neighbours: np.ndarray
    shares: np.ndarray
    known: np.ndarray
    named: np.ndarray
    learnt: int
    texts_differ: str = ""
    other_species: bool = False

    @property
    def by_name(self) -> int:
        """How many genes are known by name."""
        return int(self.named.sum())

    @property
    def by_text(self) -> int:
        """How many genes are known by their texts alone."""
        return int((self.known > 0).sum()) - self.by_name

    def presence(self, genes: np.ndarray | None = None) -> np.ndarray:
        """Which learnt genes some of ``genes``, bool (genes,), stand for; None: of all genes.

        bool (learnt,).
        """
        used = self.shares * self.known[:, None] > MIN_SIMILARITY
        used = used if genes is None else used & genes[:, None]
        present = np.zeros(self.learnt, bool)
        present[self.neighbours[used]] = True
        return present

    def reached(self, genes: np.ndarray | None = None) -> int:
        """How many learnt genes some of ``genes``, bool (genes,), stand for; None: of all genes."""
        return int(self.presence(genes).sum())

    def coverage(self, genes: np.ndarray | None = None) -> float:
        """Share of the learnt genes that some of ``genes`` stand for, as in :meth:`reached`."""
        return self.reached(genes) / max(1, self.learnt)

    @property
    def is_identity(self) -> bool:
        """Whether all genes are known by name, in the learnt order."""
        genes = len(self.known)
        return self.by_name == genes and bool((self.neighbours[:, 0] == np.arange(genes)).all())

    def weighted_mean(self, table: np.ndarray) -> np.ndarray:
        """For each gene the mean row of ``table`` (learnt genes, width), float32 (genes, width)."""
        result = np.zeros((len(self.known), table.shape[1]), np.float32)
        for neighbours, shares in zip(self.neighbours.T, self.shares.T, strict=True):
            result += shares[:, None] * table[neighbours]
        return result


@dataclass(frozen=True)
class GeneMatcher:
    """Learnt genes: ``ids`` object (genes,), ``embedding`` float32 (genes, dim) of ``texts``."""

    ids: np.ndarray
    embedding: np.ndarray
    texts: GeneTexts = UNKNOWN

    def match(
        self,
        ids: np.ndarray,
        embedding: np.ndarray,
        texts: GeneTexts = UNKNOWN,
        by_text: bool = True,
    ) -> GeneMapping:
        """Match other genes, with their embeddings; with ``by_text`` False by name alone.

        A neighbour's share is exp((cosine − 1) / SOFTNESS), of embeddings whose mean over the
        learnt genes is taken off; a gene's shares add up to 1 at most.
        """
        index_of = {name: index for index, name in enumerate(self.ids)}
        indices = np.array([index_of.get(name, -1) for name in ids], np.int64)
        named, differ = indices >= 0, texts.difference(self.texts, "the reader")
        other = is_other_species(texts.species, ids, self.texts.species, self.ids)
        if not differ and by_text:
            learnt_units, units = self._units(self.embedding), self._units(embedding)
            cosine = (units * learnt_units[indices]).sum(1)
            if other:
                named = named & (cosine > SAME_TEXT)
            elif named.any() and np.median(cosine[named]) <= SAME_TEXT:
                differ = "embedded from other texts than the genes of the reader with the same ids"
        if differ or not by_text or named.all():
            neighbours = np.zeros((len(ids), min(NEIGHBOURS, len(self.ids))), np.int64)
            shares = np.zeros(neighbours.shape)
        else:
            neighbours, shares = _nearest(units, learnt_units)
        neighbours[named, 0] = indices[named]
        shares[named] = 0
        shares[named, 0] = 1
        total = shares.sum(1)
        unknown = total < MIN_SIMILARITY
        shares[unknown] = total[unknown] = 0
        shares /= np.maximum(total, 1e-9)[:, None]
        known = np.minimum(total, 1).astype(np.float32)
        shares = shares.astype(np.float32)
        return GeneMapping(neighbours, shares, known, named, len(self.ids), differ, other)

    def _units(self, embedding: np.ndarray) -> np.ndarray:
        centred = embedding - self.embedding.mean(0)
        return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)


def _nearest(units: np.ndarray, learnt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of ``learnt`` for each of ``units``, and their kernel weights; unit length."""
    count = min(NEIGHBOURS, len(learnt))
    neighbours = np.zeros((len(units), count), np.int64)
    shares = np.zeros((len(units), count))
    step = max(1, min(GENES_AT_ONCE, COSINES_AT_ONCE // max(1, len(learnt))))
    for start in range(0, len(units), step):
        cosine = units[start : start + step] @ learnt.T
        rows = np.arange(len(cosine))
        for rank in range(count):
            best = cosine.argmax(1)
            nearest = cosine[rows, best].astype(np.float64)
            neighbours[start : start + step, rank] = best
            shares[start : start + step, rank] = np.exp((nearest - 1) / SOFTNESS)
            cosine[rows, best] = -np.inf
    return neighbours, shares


def filter_genes(
    genes: np.ndarray, weights: np.ndarray, keep: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences with only the genes for which ``keep(genes)`` holds, the rest moved up.

    ``genes`` int (cells, width), −1 where there is none; ``weights`` float32 alike.
    """
    mask = keep(genes) & (genes >= 0)
    if (mask == (genes >= 0)).all():
        return genes, weights
    order = np.argsort(~mask, axis=1, kind="stable")
    filled = np.take_along_axis(mask, order, 1)
    genes = np.where(filled, np.take_along_axis(genes, order, 1), -1)
    weights = np.where(filled, np.take_along_axis(weights, order, 1), 0)
    return genes, weights.astype(np.float32)
