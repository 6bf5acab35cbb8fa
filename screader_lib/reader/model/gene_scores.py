"""What each gene says for each label by itself: a regression on a cell's genes and their texts.

It is the part of a reader that needs no LLM. Genes are told apart by name and by whitened text at
once, so rare labels gain from what their genes' texts share. The fit is convex: it has one answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from screader_lib.reader.methods.logistic_regression import fit_logistic
from screader_lib.reader.task import Task

GENE_SCALE = 2.0  # against weights of mean 1
TEXT_SCALE = 1.0  # against features of variance 1 in all
VALUES_AT_ONCE = 16 << 20


@dataclass(frozen=True)
class GeneScores:
    """``scores`` float32 (genes, labels) for weights of mean 1, and ``biases`` (labels,)."""

    scores: np.ndarray
    biases: np.ndarray


def fit_gene_scores(
    task: Task, features: np.ndarray, weight_scale: float, label_weights: np.ndarray
) -> GeneScores:
    """Fit on the training cells; ``features`` float32 (genes, features), ``label_weights``
    float32 (labels,)."""
    genes = len(features)
    texts = features * np.float32(TEXT_SCALE / np.sqrt(max(1, features.shape[1])))
    width = genes + features.shape[1]
    at_once = max(64, VALUES_AT_ONCE // width)

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(task.rows), at_once):
            rows = task.rows[start : start + at_once]
            values = weights_by_gene(*task.cells.rows(rows), genes) * np.float32(weight_scale)
            inputs = np.concatenate([np.float32(GENE_SCALE) * values, values @ texts], 1)
            yield inputs, task.truth[start : start + at_once]

    found, biases = fit_logistic(blocks, width, len(task.labels.names), label_weights)
    return GeneScores(np.float32(GENE_SCALE) * found[:genes] + texts @ found[genes:], biases)


def weights_by_gene(genes: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Sequences as a table float32 (cells, ``count``): the weight of each gene in each cell."""
    table = np.zeros((len(genes), count), np.float32)
    cell, rank = np.nonzero(genes >= 0)
    table[cell, genes[cell, rank]] = weights[cell, rank]
    return table
