"""Controls without an LLM that any reader has to beat: majority, and classifiers on features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange.writing import temporary_file
from screader_lib.reader.methods.logistic_regression import fit_logistic
from screader_lib.reader.methods.nearest_neighbours import nearest, unit, vote_logits
from screader_lib.reader.methods.text_model import TextModel
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Epoch, Task, TrainedMethod, row_blocks

if TYPE_CHECKING:
    from screader_lib.reader.model.attribution import LinearContributions

Blocks = Iterator[tuple[np.ndarray, np.ndarray]]


class Majority(TrainedMethod):
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


class OnFeatures(TrainedMethod):
    """Logistic regression or k nearest neighbours on fixed features of a cell."""

    standardised = True

    def __init__(
        self,
        tensors: dict[str, np.ndarray],
        gene_ids: np.ndarray,
        settings: TrainingSettings,
        labels: int,
    ) -> None:
        self.tensors = tensors
        self.gene_ids = gene_ids
        self.settings = settings
        self.labels = labels
        self.history: list[Epoch] = []
        self.llm: dict = {}

    @abstractmethod
    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Features float32 (rows, features)."""

    def fit(self, task: Task) -> None:
        """Learn the features' scale where wanted, then the classifier."""
        self._fit(lambda: self._blocks(task))

    def _blocks(self, task: Task) -> Blocks:
        for rows, truth in zip(row_blocks(task.rows), row_blocks(task.truth), strict=True):
            yield self.features(task.cells, rows), truth

    def _fit(self, blocks: Callable[[], Blocks]) -> None:
        self._fit_scale(blocks)
        if self.settings.classifier == "knn":
            parts = [(unit(self._scaled(values)), truth) for values, truth in blocks()]
            self.tensors["neighbours.vectors"] = np.concatenate([part[0] for part in parts])
            labels = np.concatenate([part[1] for part in parts])
            self.tensors["neighbours.labels"] = labels.astype(np.float32)
            return

        def scaled() -> Blocks:
            for values, truth in blocks():
                yield self._scaled(values), truth

        weights, biases = fit_logistic(scaled, len(self.tensors["mean"]), self.labels)
        self.tensors |= {"weights": weights, "biases": biases}

    def _fit_scale(self, blocks: Callable[[], Blocks]) -> None:
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for values, _ in blocks():
            wide = values.astype(np.float64)
            count += len(wide)
            total = total + wide.sum(0)
            squares = squares + (wide**2).sum(0)
            if not self.standardised:
                break
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        spread = np.where(spread > 1e-6, spread, 1)
        if not self.standardised:
            mean, spread = np.zeros_like(mean), np.ones_like(spread)
        self.tensors |= {"mean": mean.astype(np.float32), "spread": spread.astype(np.float32)}

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return (np.asarray(values) - self.tensors["mean"]) / self.tensors["spread"]

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = self._scaled(self.features(cells, rows))
        if self.settings.classifier != "knn":
            return values @ self.tensors["weights"] + self.tensors["biases"], values
        values = unit(values)
        near = nearest(values, self.tensors["neighbours.vectors"], self.settings.neighbours)
        neighbour_labels = self.tensors["neighbours.labels"].astype(np.int64)[near]
        return vote_logits(neighbour_labels, self.labels), values

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        import torch

        from screader_lib.reader.model.attribution import integrated_gradients
        from screader_lib.reader.model.reader_model import Cells

        parts = self.linear_contributions(cells)
        if parts is None or self.settings.classifier == "knn":
            return super().explain(cells, rows, calls)
        genes, weights = cells.rows(rows)
        whole = Cells(torch.from_numpy(genes.astype(np.int64)), torch.from_numpy(weights))
        found = integrated_gradients(parts.logits_of(whole), whole, torch.from_numpy(calls))
        return genes, found.numpy()

    def linear_contributions(self, cells: CellSequences) -> LinearContributions | None:
        """What each gene of the cells adds to the logits; None where that cannot be said."""
        return None


class LogisticOnExpression(OnFeatures):
    """Logistic regression on the genes' weights themselves; no text, no LLM."""

    standardised = False

    @classmethod
    def train(cls, task: Task) -> LogisticOnExpression:
        """Fit on weights of the training vocabulary."""
        trained = cls({}, task.cells.genes.index, task.settings, len(task.labels.names))
        trained.fit(task)
        return trained

    def linear_contributions(self, cells: CellSequences) -> LinearContributions:
        from screader_lib.reader.model.attribution import LinearContributions

        column = self._columns(cells)
        matrix = np.where(column[:, None] >= 0, self.tensors["weights"][column], 0)
        return LinearContributions(matrix.astype(np.float32), self.tensors["biases"])

    def has_known_genes(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        genes, _ = cells.rows(rows)
        return ((genes >= 0) & (self._columns(cells)[genes] >= 0)).any(1)

    def _columns(self, cells: CellSequences) -> np.ndarray:
        """Place among the learnt genes of each gene of the cells, int (genes,); −1: none."""
        place = {gene: number for number, gene in enumerate(self.gene_ids)}
        return np.array([place.get(gene, -1) for gene in cells.genes.index])

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        column = self._columns(cells)
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


class GenePTw(OnFeatures):
    """GenePT-w (Chen and Zou 2023): weighted mean of gene embeddings, unit length; classifier."""

    @classmethod
    def train(cls, task: Task) -> GenePTw:
        """Fit on the training cells' vectors, standardised."""
        trained = cls({}, task.cells.genes.index, task.settings, len(task.labels.names))
        trained.fit(task)
        return trained

    def linear_contributions(self, cells: CellSequences) -> LinearContributions:
        from screader_lib.reader.model.attribution import LinearContributions

        weights = self.tensors["weights"] / self.tensors["spread"][:, None]
        biases = self.tensors["biases"] - self.tensors["mean"] @ weights
        return LinearContributions(cells.embedding @ weights, biases, cells.embedding)

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        return mean_embedding(cells, rows)


class GenePTs(OnFeatures):
    """GenePT-s (Chen and Zou 2023): the cell's gene symbols, in order, as one text; classifier."""

    text_model: TextModel

    @classmethod
    def train(cls, task: Task, text_model: TextModel) -> GenePTs:
        """Embed the training cells' texts once, then fit on their vectors, standardised."""
        trained = cls({}, task.cells.genes.index, task.settings, len(task.labels.names))
        trained.text_model = text_model
        trained.tensors["probe"] = text_model.probe
        trained.fit(task)
        return trained

    @classmethod
    def restore(
        cls,
        tensors: dict[str, np.ndarray],
        gene_ids: np.ndarray,
        settings: TrainingSettings,
        labels: int,
        text_model: TextModel,
    ) -> GenePTs:
        """From its file; ScReaderError where ``text_model`` is not that of the training."""
        text_model.check(tensors["probe"])
        trained = cls(tensors, gene_ids, settings, labels)
        trained.text_model = text_model
        return trained

    def fit(self, task: Task) -> None:
        """Keep the vectors in a temporary file while fitting goes over them again and again."""
        self.text_model.tell_cost(cell_texts(task.cells, rows) for rows in row_blocks(task.rows))
        shape = (len(task.rows), len(self.text_model.probe))
        with temporary_file("cell-vectors") as path:
            kept = np.memmap(path, np.float32, "w+", shape=shape)
            with task.reporter.progress("Embedding", len(task.rows), "cells") as advance:
                done = 0
                for rows in row_blocks(task.rows):
                    texts = cell_texts(task.cells, rows)
                    kept[done : done + len(rows)] = self.text_model.vectors(texts, advance)
                    done += len(rows)

            def blocks() -> Blocks:
                yield from zip(row_blocks(kept), row_blocks(task.truth), strict=True)

            self._fit(blocks)

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        return self.text_model.vectors(cell_texts(cells, rows))


def mean_embedding(cells: CellSequences, rows: np.ndarray) -> np.ndarray:
    """Weighted mean of the cells' gene embeddings at unit length, float32 (rows, dim)."""
    genes, weights = cells.rows(rows)
    table = np.zeros((len(rows), len(cells.embedding)), np.float32)
    cell, rank = np.nonzero(genes >= 0)
    table[cell, genes[cell, rank]] = weights[cell, rank]
    return unit(table @ cells.embedding)


def cell_texts(cells: CellSequences, rows: np.ndarray) -> list[str]:
    """The cells' gene symbols in the cells' order, joined by spaces; ids where none is known."""
    symbols = cells.genes.strings("symbol")
    names = np.where(symbols == "", cells.genes.index, symbols)
    genes, _ = cells.rows(rows)
    return [" ".join(names[own[own >= 0]]) for own in genes]
