"""Confidence that falls with the number of a cell's genes that the reader reads.

A reader that reads few genes of a cell is as sure of itself as ever, but mostly wrong: what is left
of its logits are its biases. So its temperature is multiplied by a factor that depends on how many
genes it reads of the cell, and on nothing else. The factor is learnt from calibration cells of
which genes are taken away at random, and is 1 for as many genes as they have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.reader.confidence.calibration import MIN_CELLS, cross_entropy

SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.997)  # of the genes, taken away
FACTORS = np.geomspace(1, 100, 200)


@dataclass(frozen=True)
class TemperatureFactor:
    """``factor`` of the temperature where a cell has ``genes`` genes, rising; both float64 (n,).

    It is interpolated over the logarithm of the number of genes. Without any, it is 1 everywhere.
    """

    genes: tuple[float, ...] = ()
    factor: tuple[float, ...] = ()

    def of(self, genes: np.ndarray) -> np.ndarray:
        """Of cells with so many ``genes``, int (cells,); float64 (cells,)."""
        if not self.genes:
            return np.ones(len(genes))
        logs = np.interp(np.log(np.maximum(genes, 1)), np.log(self.genes), np.log(self.factor))
        return np.exp(logs)

    def to_json(self) -> dict[str, list[float]]:
        """For the reader file; empty where there is none."""
        return {"genes": list(self.genes), "factor": list(self.factor)} if self.genes else {}

    @classmethod
    def from_json(cls, content: Any) -> TemperatureFactor:
        """From a reader file, which may have none."""
        return cls(tuple(content["genes"]), tuple(content["factor"])) if content else cls()


def fit_factor(
    logits: np.ndarray, truth: np.ndarray, genes: np.ndarray, typical: float, temperature: float
) -> TemperatureFactor:
    """The factors of lowest cross-entropy, of cells some of whose genes were taken away.

    ``logits`` (cells, labels), ``truth`` label numbers and numbers of ``genes`` (cells,);
    ``typical`` is the number of genes, at least 1, for which the ``temperature`` was fitted. There
    is one factor for each of the ``SHARES``, by the cells whose number of genes is nearest; fewer
    genes never have a smaller one.
    """
    numbers = typical * (1 - np.array(SHARES))
    numbers = numbers[numbers >= 1]
    distance = np.abs(np.log(numbers)[None] - np.log(np.maximum(genes, 1))[:, None])
    nearest = np.where(genes > 0, distance.argmin(1), -1)
    factors = [1.0]
    for number in range(1, len(numbers)):
        near, best = nearest == number, factors[-1]
        if near.sum() >= MIN_CELLS:
            given = logits[near], truth[near]
            losses = [cross_entropy(*given, temperature * factor) for factor in FACTORS]
            best = max(best, float(FACTORS[int(np.argmin(losses))]))
        factors.append(best)
    return TemperatureFactor(tuple(numbers[::-1].tolist()), tuple(factors[::-1]))
