"""Majority: every cell gets the most frequent label. Any reader has to beat it."""

from __future__ import annotations

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.task import Epoch, Task, TrainedMethod


class Majority(TrainedMethod):
    """Predicts the most frequent label for every cell, with the labels' shares as probabilities."""

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
