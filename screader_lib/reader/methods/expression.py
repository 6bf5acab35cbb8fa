"""Logistic regression on the expression of the genes themselves: no text, no LLM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.methods.feature_classifier import FeatureClassifier
from screader_lib.reader.model.logistic_regression import fit_logistic, weight_matrix
from screader_lib.reader.task import Task, row_blocks

if TYPE_CHECKING:
    from screader_lib.reader.model.attribution import LinearContributions


class LogisticOnExpression(FeatureClassifier):
    """Logistic regression on the genes' log-normalised counts, which are not standardised."""

    @classmethod
    def train(cls, task: Task) -> LogisticOnExpression:
        """Fit on the weights of the cells' genes; ScReaderError where those are not logs."""
        if task.cells.construction.get("weight") != "log":
            raise ScReaderError(
                "its weights are not log-normalised counts, which method logistic needs.",
                file=task.cells.opened.name,
                remedy="Build the cells with --weight log.",
            )
        trained = cls.untrained(task)

        def blocks() -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
            for rows, truth in zip(row_blocks(task.rows), row_blocks(task.truth), strict=True):
                yield trained._matrix(task.cells, rows), truth

        weights, biases = fit_logistic(blocks, trained.labels)
        genes = len(trained.gene_ids)
        trained.tensors |= {
            "mean": np.zeros(genes, np.float32), "spread": np.ones(genes, np.float32),
            "weights": weights, "biases": biases,
        }  # fmt: skip
        return trained

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        return self._matrix(cells, rows).toarray()

    def _matrix(self, cells: CellSequences, rows: np.ndarray) -> sparse.csr_matrix:
        """Weights float32 (rows, learnt genes)."""
        column = self._columns(cells)
        if not (column >= 0).any():
            raise ScReaderError(
                "has none of the genes that the reader was trained on.", file=cells.opened.name
            )
        genes, weights = cells.rows(rows)
        return weight_matrix(np.where(genes >= 0, column[genes], -1), weights, len(self.gene_ids))

    def _columns(self, cells: CellSequences) -> np.ndarray:
        """Index among the learnt genes of each gene of the cells, int (genes,); −1 for none."""
        index = {gene: number for number, gene in enumerate(self.gene_ids)}
        return np.array([index.get(gene, -1) for gene in cells.genes.index])

    def has_known_genes(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        genes, _ = cells.rows(rows)
        return ((genes >= 0) & (self._columns(cells)[genes] >= 0)).any(1)

    def linear_contributions(self, cells: CellSequences) -> LinearContributions:
        from screader_lib.reader.model.attribution import LinearContributions

        column = self._columns(cells)
        matrix = np.where(column[:, None] >= 0, self.tensors["weights"][column], 0)
        return LinearContributions(matrix.astype(np.float32), self.tensors["biases"])
