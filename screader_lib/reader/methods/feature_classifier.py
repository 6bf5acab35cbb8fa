"""A classifier on fixed features of a cell: logistic regression, or k nearest neighbours by cosine.

A cell's neighbours depend on that cell alone: which training cells are near is first estimated by
one product of matrices, whose rounding changes with the cells beside it, and then decided in
float64, cell by cell.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.cells.sequences import sequences_of
from screader_lib.reader.model.linear_attribution import linear_parts
from screader_lib.reader.model.logistic_regression import (
    Blocks,
    fit_logistic,
    training_blocks,
)
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Epoch, Task, TrainedMethod, row_blocks

SIMILARITIES_AT_ONCE = 1 << 24
ROUNDING = 1e-4  # of a similarity in float32, with a wide margin
TIE_BREAK = 0.01  # votes; less than one vote, so that it decides between equal numbers alone
LinearLogits = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(eq=False)
class FeatureClassifier(TrainedMethod):
    """Standardises the features, then learns the classifier that the settings name.

    ``genes`` are those that it learns from, ``labels`` how many labels there are.
    """

    genes: GeneMatcher
    settings: TrainingSettings
    labels: int
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)
    llm: dict = field(default_factory=dict)
    latent_parts: tuple[str, ...] = ("features",)

    @abstractmethod
    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Features float32 (rows, features)."""

    def fit(self, task: Task) -> None:
        """Learn the features' scale, then the classifier, from the training cells."""
        self.fit_blocks(training_blocks(task, self.features))

    def fit_blocks(self, blocks: Blocks) -> None:
        """The same on ``blocks()``: features and label numbers, as often as it is called."""
        self._fit_scale(blocks)

        def scaled() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for values, truth in blocks():
                yield self._scaled(values), truth

        if self.settings.classifier == "knn":
            vectors, labels = zip(*scaled(), strict=True)
            self.tensors["neighbours.vectors"] = unit(np.concatenate(vectors))
            self.tensors["neighbours.labels"] = np.concatenate(labels).astype(np.float32)
        else:
            self.tensors["weights"], self.tensors["biases"] = fit_logistic(scaled, self.labels)

    def _fit_scale(self, blocks: Blocks) -> None:
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

    def logits(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Block by block: features may be as wide as there are genes."""
        blocks = [self.outputs(cells, some)[0] for some in row_blocks(rows)]
        return np.concatenate(blocks) if blocks else self.outputs(cells, rows)[0]

    def evidence(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        if self.settings.classifier == "knn":
            return np.zeros(len(rows), np.float32)  # logits are log-probabilities
        return super().evidence(cells, rows, logits)

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        linear = None if self.settings.classifier == "knn" else self.linear_logits(cells)
        if linear is None:
            return super().explain(cells, rows, calls)
        matrix, biases, embedding = linear
        weights, length = cells.weights(rows), None
        if embedding is not None:
            length = np.maximum(np.linalg.norm(weights @ embedding, axis=1), 1e-12)
        parts, gaps = linear_parts(weights, calls, biases, (matrix, length))
        return *sequences_of(weights, parts), gaps

    def linear_logits(self, cells: CellSequences) -> LinearLogits | None:
        """What each gene adds to the logits, float32 (genes, labels), and biases (labels,).

        With an embedding (genes, dim), the sum is divided by the length of the genes' weighted sum
        of it. None if the features are not linear.
        """
        return None


def unit(vectors: np.ndarray) -> np.ndarray:
    """``vectors`` (cells, dim) at unit length, float32; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def nearest(values: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
    """The rows of ``reference`` most similar to each of ``values``, the most similar first.

    Both float32 (cells, dim) of unit length. int64 (cells, min(k, references)); equal similarity
    goes to the earlier row.
    """
    count = min(k, len(reference))
    neighbours = np.zeros((len(values), count), np.int64)
    at_once = max(1, SIMILARITIES_AT_ONCE // max(1, len(reference)))
    for start in range(0, len(values), at_once):
        block = values[start : start + at_once]
        estimated = block @ reference.T
        kth = np.partition(estimated, len(reference) - count, axis=1)[:, len(reference) - count]
        for row, value in enumerate(block):
            near = np.flatnonzero(estimated[row] >= kth[row] - ROUNDING)
            exact = _similarities(value, reference, near)
            neighbours[start + row] = near[np.argsort(-exact, kind="stable")[:count]]
    return neighbours


def _similarities(value: np.ndarray, reference: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Cosines float64 (near,) of one cell with the rows ``near``, in pieces."""
    piece = max(1, SIMILARITIES_AT_ONCE // max(1, reference.shape[1]))
    wide = value.astype(np.float64)
    starts = range(0, len(near), piece)
    return np.concatenate([(reference[near[i : i + piece]] * wide).sum(1) for i in starts])


def vote_logits(neighbour_labels: np.ndarray, labels: int) -> np.ndarray:
    """Logarithms of smoothed vote shares, float32 (cells, labels).

    ``neighbour_labels`` int64 (cells, k), the nearest first. Every neighbour has one vote, every
    label the share of one more vote, so that none is impossible. Of labels with equal votes the
    one of the nearer neighbour comes first.
    """
    cells, k = neighbour_labels.shape
    votes = np.zeros((cells, labels))
    nearness = np.zeros((cells, labels))
    row = np.arange(cells)
    for rank in range(k):
        label = neighbour_labels[:, rank]
        votes[row, label] += 1
        nearness[row, label] = np.maximum(nearness[row, label], (k - rank) / k)
    shares = votes + TIE_BREAK * nearness + 1 / labels
    return np.log(shares / shares.sum(1, keepdims=True)).astype(np.float32)
