"""A classifier on fixed features of a cell: logistic regression, or k nearest neighbours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.methods.nearest_neighbours import nearest, unit, vote_logits
from screader_lib.reader.model.logistic_regression import fit_logistic
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Epoch, Task, TrainedMethod, row_blocks

if TYPE_CHECKING:
    from screader_lib.reader.model.attribution import LinearContributions

Blocks = Iterator[tuple[np.ndarray, np.ndarray]]


class FeatureClassifier(TrainedMethod):
    """Standardises the features, then learns the classifier that the settings name."""

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

    @classmethod
    def untrained(cls, task: Task) -> Self:
        """Without tensors."""
        return cls({}, task.cells.genes.index, task.settings, len(task.labels.names))

    @abstractmethod
    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Features float32 (rows, features)."""

    def fit(self, task: Task) -> None:
        """Learn the features' scale, then the classifier."""

        def blocks() -> Blocks:
            for rows, truth in zip(row_blocks(task.rows), row_blocks(task.truth), strict=True):
                yield self.features(task.cells, rows), truth

        self.fit_blocks(blocks)

    def fit_blocks(self, blocks: Callable[[], Blocks]) -> None:
        """The same on ``blocks()``: features and label numbers, as often as it is called."""
        self._fit_scale(blocks)
        if self.settings.classifier == "knn":
            vectors, labels = zip(
                *((unit(self._scaled(values)), truth) for values, truth in blocks()), strict=True
            )
            self.tensors["neighbours.vectors"] = np.concatenate(vectors)
            self.tensors["neighbours.labels"] = np.concatenate(labels).astype(np.float32)
            return

        def scaled() -> Blocks:
            for values, truth in blocks():
                yield self._scaled(values), truth

        weights, biases = fit_logistic(scaled, self.labels)
        self.tensors |= {"weights": weights, "biases": biases}

    def _fit_scale(self, blocks: Callable[[], Blocks]) -> None:
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for values, _ in blocks():
            wide = values.astype(np.float64)
            count += len(wide)
            total = total + wide.sum(0)
            squares = squares + (wide**2).sum(0)
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        spread = np.where(spread > 1e-6, spread, 1)
        self.tensors |= {"mean": mean.astype(np.float32), "spread": spread.astype(np.float32)}

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return (np.asarray(values) - self.tensors["mean"]) / self.tensors["spread"]

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = self._scaled(self.features(cells, rows))
        if self.settings.classifier != "knn":
            return values @ self.tensors["weights"] + self.tensors["biases"], values
        values = unit(values)
        neighbours = nearest(values, self.tensors["neighbours.vectors"], self.settings.neighbours)
        labels = self.tensors["neighbours.labels"].astype(np.int64)[neighbours]
        return vote_logits(labels, self.labels), values

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        linear = self.linear_contributions(cells)
        if linear is None or self.settings.classifier == "knn":
            return super().explain(cells, rows, calls)
        return linear.explain(*cells.rows(rows), calls)

    def linear_contributions(self, cells: CellSequences) -> LinearContributions | None:
        """What each gene of the cells adds to the logits; None if the features are not linear."""
        return None
