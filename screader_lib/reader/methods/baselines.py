"""Baselines without text or LLM: the majority, and logistic regression on genes' expression, or on
its principal components.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.cells.sequences import as_columns
from screader_lib.errors import ScReaderError
from screader_lib.reader.methods.feature_classifier import FeatureClassifier, LinearLogits
from screader_lib.reader.model.logistic_regression import (
    Weights,
    fit_logistic,
    training_blocks,
)
from screader_lib.reader.model.principal_components import (
    mean_and_spread,
    principal_directions,
    sampled_cells,
)
from screader_lib.reader.task import Epoch, LabelTexts, Task, TrainedMethod

OF_TEXTS = 0.3  # deviation of the logits by the labels' texts; see benchmarks/texts.md
CELLS_OF_TEXTS = 20_000  # that it is measured on
LEAST = 1e-9
LIMIT = 10.0  # standard deviations from the mean; as scanpy's tutorials clip


@dataclass(eq=False)
class Majority(TrainedMethod):
    """Predicts the most frequent label for every cell, with the labels' shares as probabilities."""

    tensors: dict[str, np.ndarray]
    genes: GeneMatcher
    by_text = False
    history: list[Epoch] = field(default_factory=list)
    llm: dict = field(default_factory=dict)

    @classmethod
    def train(cls, task: Task) -> Majority:
        """Count the labels."""
        counts = np.bincount(task.truth, minlength=len(task.labels.names))
        share = np.log(np.maximum(counts, 0.5) / counts.sum()).astype(np.float32)
        return cls({"log_share": share}, task.genes)

    def known(self, cells: CellSequences) -> np.ndarray:
        return np.ones(len(cells.genes), np.float32)

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.tile(self.tensors["log_share"], (len(rows), 1))
        return logits, np.zeros((len(rows), 1), np.float32)


class LogisticOnExpression(FeatureClassifier):
    """Logistic regression on the log-normalised counts of the cells' selected genes, by name.

    Multinomial, with an L2 penalty (see model.logistic_regression). Counts are not standardised:
    ``mean`` is 0 and ``spread`` 1. Genes that cells lack count as 0. The only ``classifier`` is
    logistic regression, and the ``features`` are also the cell vectors.
    """

    by_text = False

    def fit(self, task: Task) -> None:
        """Fit on the weights of the cells' genes; ScReaderError where those are not logs."""
        self.check_weights(task)
        towards = None if task.label_texts is None else self._by_texts(task, task.label_texts)
        weights, biases = fit_logistic(
            training_blocks(task, self._matrix), self.labels, towards=towards
        )
        genes = len(self.genes.ids)
        self.tensors |= {
            "mean": np.zeros(genes, np.float32), "spread": np.ones(genes, np.float32),
            "weights": weights, "biases": biases,
        }  # fmt: skip

    def _by_texts(self, task: Task, texts: LabelTexts) -> Weights:
        """What the labels' texts say of the genes, as logits of deviation ``OF_TEXTS`` each.

        Genes are standardised over the training cells and those without a label.
        """
        rows = np.union1d(task.rows, task.unlabelled_rows)
        rows = np.sort(np.random.default_rng(task.settings.seed).permutation(rows)[:CELLS_OF_TEXTS])
        values = self._matrix(task.cells, rows)
        mean = values.mean(0).A1
        spread = np.sqrt(np.maximum(values.multiply(values).mean(0).A1 - mean**2, 0))
        spread = np.where(spread > 0, spread, np.inf)
        weights = texts.weights(task.cells.genes, task.labels).T / spread[:, None]
        logits = values @ weights
        scale = OF_TEXTS / np.maximum(logits.std(0), LEAST)
        return weights * scale, -logits.mean(0) * scale

    def check_weights(self, task: Task) -> None:
        """ScReaderError where the cells' weights are not logs."""
        if task.cells.construction.get("weight") != "log":
            raise ScReaderError(
                "its weights are not log-normalised counts, which method "
                f"{self.settings.method} needs.",
                file=task.cells.opened.name,
                remedy="Build the cells with --weight log.",
            )

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        return self._matrix(cells, rows).toarray()

    def _matrix(self, cells: CellSequences, rows: np.ndarray) -> sparse.csr_matrix:
        """Weights float32 (rows, learnt genes)."""
        return as_columns(cells.weights(rows), self._columns(cells), len(self.genes.ids))

    def _columns(self, cells: CellSequences) -> np.ndarray:
        """Index among the learnt genes of each gene of the cells, int (genes,); −1 for none."""
        match = self.match(cells)
        return np.where(match.named, match.neighbours[:, 0], -1)

    def linear_logits(self, cells: CellSequences) -> LinearLogits | None:
        column = self._columns(cells)
        matrix = np.where(column[:, None] >= 0, self.tensors["weights"][column], 0)
        return matrix.astype(np.float32), self.tensors["biases"], None


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
