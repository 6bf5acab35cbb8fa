"""Controls without an LLM that any reader has to beat: majority and two regressions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from screader_lib.cells.reading import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.linear import fit_logistic
from screader_lib.reader.task import Epoch, Task, Trained, row_blocks


class Majority(Trained):
    """Calls every cell the most frequent label, with the labels' shares as probabilities."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.history: list[Epoch] = []
        self.llm: dict = {}

    @classmethod
    def train(cls, task: Task) -> Majority:
        """Count the labels."""
        counts = np.bincount(task.truth, minlength=len(task.labels.names))
        return cls({"log_share": np.log(np.maximum(counts, 0.5) / counts.sum()).astype(np.float32)})

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.tile(self.tensors["log_share"], (len(rows), 1))
        return logits, np.zeros((len(rows), 1), np.float32)


class Regression(Trained):
    """Logistic regression on fixed features of a cell."""

    def __init__(self, tensors: dict[str, np.ndarray], gene_ids: np.ndarray) -> None:
        self.tensors = tensors
        self.gene_ids = gene_ids
        self.history: list[Epoch] = []
        self.llm: dict = {}

    @abstractmethod
    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Features float32 (rows, features)."""

    def _inputs(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        values = self.features(cells, rows)
        return (values - self.tensors["mean"]) / self.tensors["spread"]

    def fit(self, task: Task) -> None:
        """Measure the features' scale where wanted, then fit the regression."""
        self._fit_scale(task)
        truth_of = dict(zip(task.rows.tolist(), task.truth.tolist(), strict=True))

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for rows in row_blocks(task.rows):
                truth = np.array([truth_of[row] for row in rows.tolist()])
                yield self._inputs(task.cells, rows), truth

        width = len(self.tensors["mean"])
        weights, biases = fit_logistic(blocks, width, len(task.labels.names))
        self.tensors |= {"weights": weights, "biases": biases}

    def _fit_scale(self, task: Task) -> None:
        width = self.features(task.cells, task.rows[:1]).shape[1]
        self.tensors |= {
            "mean": np.zeros(width, np.float32),
            "spread": np.ones(width, np.float32),
        }

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = self._inputs(cells, rows)
        return values @ self.tensors["weights"] + self.tensors["biases"], values


class LogisticOnExpression(Regression):
    """Logistic regression on the genes' weights themselves; no text, no LLM."""

    @classmethod
    def train(cls, task: Task) -> LogisticOnExpression:
        """Fit on weights of the training vocabulary."""
        trained = cls({}, task.cells.genes.index)
        trained.fit(task)
        return trained

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        place = {gene: number for number, gene in enumerate(self.gene_ids)}
        column = np.array([place.get(gene, -1) for gene in cells.genes.index])
        if not (column >= 0).any():
            raise ScReaderError(
                "has none of the genes that the reader was trained on.", file=cells.opened.name
            )
        genes, weights = cells.rows(rows)
        cell, rank = np.nonzero(genes >= 0)
        target = column[genes[cell, rank]]
        known = target >= 0
        values = np.zeros((len(rows), len(self.gene_ids)), np.float32)
        values[cell[known], target[known]] = weights[cell[known], rank[known]]
        return values


class GenePTw(Regression):
    """GenePT-w (Chen and Zou 2023): weighted mean of gene embeddings, unit length; regression."""

    @classmethod
    def train(cls, task: Task) -> GenePTw:
        """Fit on the training cells' vectors, standardised."""
        trained = cls({}, task.cells.genes.index)
        trained.fit(task)
        return trained

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        return mean_embedding(cells, rows)

    def _fit_scale(self, task: Task) -> None:
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for rows in row_blocks(task.rows):
            values = self.features(task.cells, rows).astype(np.float64)
            count += len(values)
            total = total + values.sum(0)
            squares = squares + (values**2).sum(0)
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        spread = np.where(spread > 1e-6, spread, 1)
        self.tensors |= {"mean": mean.astype(np.float32), "spread": spread.astype(np.float32)}


def mean_embedding(cells: CellSequences, rows: np.ndarray) -> np.ndarray:
    """Weighted mean of the cells' gene embeddings at unit length, float32 (rows, dim)."""
    genes, weights = cells.rows(rows)
    table = np.zeros((len(rows), len(cells.embedding)), np.float32)
    cell, rank = np.nonzero(genes >= 0)
    table[cell, genes[cell, rank]] = weights[cell, rank]
    mean = table @ cells.embedding
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
