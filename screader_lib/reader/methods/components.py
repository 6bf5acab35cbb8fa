"""Logistic regression on principal components of the cells: a control without text or LLM."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.methods.baselines import LogisticOnExpression
from screader_lib.reader.model.logistic_regression import fit_logistic, training_blocks
from screader_lib.reader.model.principal_components import (
    mean_and_spread,
    principal_directions,
    sampled_cells,
)
from screader_lib.reader.task import Task

LIMIT = 10.0  # standard deviations from the mean; as scanpy's tutorials clip


class LogisticOnComponents(LogisticOnExpression):
    """Logistic regression on 50 principal components of the genes' log-normalised counts.

    Each gene is standardised on the training cells and clipped at ``LIMIT``; the components are
    those of the training cells, of a sample of them where they are many. A gene that was not
    measured counts as average. Features, and cell vectors, are the components.
    """

    def fit(self, task: Task) -> None:
        self.check_weights(task)
        means, spread = mean_and_spread(task, partial(self._matrix, task.cells))
        self.tensors |= {
            "gene_means": means.astype(np.float32),
            "gene_spreads": np.where(spread > 1e-6, spread, 1).astype(np.float32),
        }
        clipped = self._clipped(task.cells, task.rows[sampled_cells(task)])
        self.tensors["centers"] = clipped.mean(0).A1.astype(np.float32)
        self.tensors["directions"] = principal_directions(clipped, task.settings.seed)
        weights, biases = fit_logistic(training_blocks(task, self.features), self.labels)
        components = len(weights)
        self.tensors |= {
            "mean": np.zeros(components, np.float32), "spread": np.ones(components, np.float32),
            "weights": weights, "biases": biases,
        }  # fmt: skip

    def _clipped(self, cells: CellSequences, rows: np.ndarray) -> sparse.csr_matrix:
        """Weights over their gene's standard deviation, float32 (rows, learnt genes).

        Clipped where, less the mean, they would be above ``LIMIT``. A gene without a weight is
        less than one deviation below its mean, mostly, and never clipped.
        """
        values = self._matrix(cells, rows)
        means, spreads = self.tensors["gene_means"], self.tensors["gene_spreads"]
        of_gene = values.indices
        highest = LIMIT + means[of_gene] / spreads[of_gene]
        values.data = np.minimum(values.data / spreads[of_gene], highest).astype(np.float32)
        return values

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        measured = self.match(cells).presence(cells.genes_in_input)
        directions = self.tensors["directions"] * measured[:, None]
        values = self._clipped(cells, rows) @ directions
        return (values - self.tensors["centers"] @ directions).astype(np.float32)

    def linear_logits(self, cells: CellSequences) -> None:
        return None
