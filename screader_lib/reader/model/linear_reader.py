"""A reader without an LLM whose projector is one layer: its logits are matrix products.

It computes what ``neural_reader`` computes, on NumPy and SciPy alone, so that such a reader answers
without the seconds that importing torch takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.cells.sequences import sequences_of
from screader_lib.reader.model.linear_attribution import linear_parts
from screader_lib.reader.model.scaling import scaled
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import TrainedMethod, row_blocks

Tensors = Mapping[str, np.ndarray]

MIN_COVERAGE = 0.9  # of the learnt genes, for components and head to count
FEWEST_WEIGHTS = 1e-6  # that a mean is divided by


def is_linear(settings: TrainingSettings, needs_llm: bool) -> bool:
    """Whether a neural reader of these settings, those of its predictions, is a linear one."""
    return not needs_llm and settings.pooling == ("pool",) and settings.projector_layers == 1


def scores_of_genes(
    tensors: Tensors, presence: np.ndarray, with_components: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 (genes, labels) and biases (labels,) for cells that have some of the genes.

    ``presence`` (genes,): 1 for a gene that the cells can have, 0 for one that was not measured in
    them. Such a gene says what it says of the training cells on average, and the others speak for
    it: they count by the inverse of their share of the mean weights. ``with_components`` False
    leaves the components' scores out; the genes' own then count ``alone`` times as much. Readers of
    early versions have no components, no means and no such factor.
    """
    scores, biases = tensors["scores"], tensors["score_biases"]
    mix = float(tensors.get("component_mix", 0.0))
    if with_components and mix:
        scores = scores + np.float32(mix) * (tensors["component_scores"] - scores)
        biases = biases + np.float32(mix) * (tensors["component_biases"] - biases)
    if not with_components:
        alone = np.float32(tensors.get("alone", 1.0))
        scores, biases = alone * scores, alone * biases
    means = tensors.get("gene_means")
    total = 0.0 if means is None else float(means.sum())
    if means is None or not total > 0:
        return scores, biases
    present = presence.astype(np.float32) * means
    share = float(present.sum()) / total
    if not share > 0:
        return scores, biases
    return scores / np.float32(share), biases + (means - present / np.float32(share)) @ scores


def few_genes_note(coverage: float) -> str:
    """What so small a share of the learnt genes means, after a space; "" if it is not small."""
    if coverage >= MIN_COVERAGE:
        return ""
    return (
        f" They cover {coverage:.0%} of the genes it was trained on, so only the gene "
        "scores are used, without components and head."
    )


@dataclass
class _Table:
    """What the reader knows the genes of some cells as.

    ``scores`` float32 (genes, labels) and ``biases`` (labels,), both 0 for a reader without scores
    of its genes, ``projected`` float32 (genes, hidden), and ``known`` float32 (genes,). What the
    head adds to logits is the mean of ``head`` float32 (genes, labels), and ``head_biases``; both
    are 0 where it does not count.
    """

    scores: np.ndarray
    biases: np.ndarray
    projected: np.ndarray
    known: np.ndarray
    head: np.ndarray
    head_biases: np.ndarray

    @cached_property
    def both(self) -> np.ndarray:
        """Scores and head side by side, for one product."""
        return np.hstack([self.scores, self.head])


class LinearReader(TrainedMethod):
    """Of the ``tensors`` of a neural reader whose settings suit it; see :func:`is_linear`."""

    latent_parts = ("pool",)

    def __init__(
        self,
        settings: TrainingSettings,
        tensors: dict[str, np.ndarray],
        genes: GeneMatcher,
        llm: dict,
    ) -> None:
        self.settings, self.tensors, self.genes, self.llm = settings, tensors, genes, llm
        self.history = []
        self._table: tuple[CellSequences, _Table] | None = None

    def table_of(self, cells: CellSequences) -> _Table:
        """As what the reader knows the genes of these cells."""
        if self._table is None or self._table[0] is not cells:
            match, tensors, labels = self.match(cells), self.tensors, len(self.tensors["head.bias"])
            scores, biases = np.zeros((len(self.genes.ids), labels), np.float32), np.zeros(labels)
            if self.settings.gene_scores:
                presence = match.presence(cells.genes_in_input)
                with_components = self.coverage(cells) >= MIN_COVERAGE
                scores, biases = scores_of_genes(tensors, presence, with_components)
                scores = scores * tensors["weight_scale"]
            features = scaled(self.genes.embedding, {
                name: tensors[f"scaling.{name}"] for name in ("center", "map")
            })  # fmt: skip
            projection = tensors["projector.layers.0.weight"][:, : features.shape[1]]
            projected = features @ projection.T
            if self.settings.gene_offsets:
                projected = projected + tensors["offsets"]
            if match.is_identity:  # of the first learnt genes
                scores, projected = (each[: len(match.known)] for each in (scores, projected))
            else:
                scores, projected = match.weighted_mean(scores), match.weighted_mean(projected)
            head, head_biases = self._head(projected, self._share_of_head(cells))
            table = _Table(scores, biases, projected, match.known, head, head_biases)
            self._table = (cells, table)
        return self._table[1]

    def gene_note(self, cells: CellSequences) -> str:
        return few_genes_note(self.coverage(cells)) if self.settings.gene_scores else ""

    def _head(self, projected: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        tensors = self.tensors
        head = share * tensors["head.weight"].astype(np.float64)
        head = (head / tensors["standardise.pool.spread"]).T
        center = tensors["projector.layers.0.bias"] - tensors["standardise.pool.mean"]
        biases = share * tensors["head.bias"] + center @ head
        return (projected @ head).astype(np.float32), biases.astype(np.float32)

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table, tensors = self.table_of(cells), self.tensors
        latents = np.empty((len(rows), table.projected.shape[1]), np.float32)
        start = 0
        for some in row_blocks(rows):
            weights = self._weights(cells, some, table)
            means = (weights.toarray() @ table.projected) / _totals(weights)[:, None]
            means += tensors["projector.layers.0.bias"]
            means -= tensors["standardise.pool.mean"]
            latents[start : start + len(some)] = means / tensors["standardise.pool.spread"]
            start += len(some)
        return self.logits(cells, rows), latents

    def logits(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        table, labels = self.table_of(cells), len(self.tensors["head.bias"])
        logits = np.empty((len(rows), labels), np.float32)
        start = 0
        for some in row_blocks(rows):
            weights = self._weights(cells, some, table)
            sums = weights @ table.both
            of_head = sums[:, labels:] / _totals(weights)[:, None] + table.head_biases
            logits[start : start + len(some)] = sums[:, :labels] + table.biases + of_head
            start += len(some)
        return logits

    def _weights(self, cells: CellSequences, rows: np.ndarray, table: _Table) -> sparse.csr_matrix:
        """Weights of the cells' genes, each as far as it is known, CSR float32 (rows, genes)."""
        weights = cells.weights(rows)
        if (table.known == 1).all():
            return weights
        known = weights.copy()
        known.data *= table.known[known.indices]
        return known

    def _share_of_head(self, cells: CellSequences) -> float:
        """What the head's logits count.

        The head reads means over genes. Where too few learnt genes are there, these are means of
        other genes than those it has learnt from; the genes' own scores just add up.
        """
        if not self.settings.gene_scores:
            return 1.0
        with_head = self.coverage(cells) >= MIN_COVERAGE
        return float(self.tensors["mix"]) if with_head else 0.0

    def evidence(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        if self.settings.gene_scores and self._share_of_head(cells):
            table = self.table_of(cells)
            logits = self._weights(cells, rows, table) @ table.scores + table.biases
        return super().evidence(cells, rows, logits)

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        table = self.table_of(cells)
        weights = self._weights(cells, rows, table)
        terms = [(table.scores, None), (table.head, _totals(weights))]
        parts, gaps = linear_parts(weights, calls, table.biases + table.head_biases, *terms)
        return *sequences_of(weights, parts, weights.data != 0), gaps


def _totals(weights: sparse.csr_matrix) -> np.ndarray:
    return np.maximum(np.asarray(weights.sum(1)).ravel(), FEWEST_WEIGHTS).astype(np.float32)
