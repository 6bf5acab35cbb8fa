"""Gene scores: each gene's own logits, from a regression on a cell's genes and their texts.

They are the part of a reader that needs no LLM. Genes are told apart by name and by whitened text
at once, so rare labels gain from what their genes' texts share. The fit is convex: it has one
answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from screader_lib.reader.model.logistic_regression import fit_logistic, weight_matrix
from screader_lib.reader.task import Task, row_blocks

GENE_SCALE = 2.0  # against weights of mean 1
TEXT_SCALE = 1.0  # against features of variance 1 in all


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

    def blocks() -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        for rows, truth in zip(row_blocks(task.rows), row_blocks(task.truth), strict=True):
            values = weight_matrix(*task.cells.rows(rows), genes) * np.float32(weight_scale)
            inputs = [np.float32(GENE_SCALE) * values, sparse.csr_matrix(values @ texts)]
            yield sparse.hstack(inputs, "csr"), truth

    coefficients, biases = fit_logistic(blocks, len(task.labels.names), label_weights)
    scores = np.float32(GENE_SCALE) * coefficients[:genes] + texts @ coefficients[genes:]
    return GeneScores(scores, biases)
