"""Which genes made a call: integrated gradients of its log-odds over the genes' weights.

Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks". The path goes from a cell
whose genes all weigh nothing to the cell as it is. What divides by the cell's total weight keeps
the total of the whole cell, else nothing would change along the path; then a gene's share of the
change of the log-odds is its part, and the parts add up to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import h5py
import numpy as np
import torch
from torch import Tensor

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table, strings
from screader_lib.reader.model.reader_model import Cells, by_gene
from screader_lib.reader.task import TrainedMethod

STEPS = 16
CELLS_AT_ONCE = 256

LogitsOf = Callable[[Cells], Tensor]


def log_odds(logits: Tensor, calls: Tensor) -> Tensor:
    """Log-odds of the called label against all others, float32 (cells,).

    ``logits`` (cells, labels), ``calls`` label numbers int64 (cells,).
    """
    called = logits.gather(1, calls[:, None])[:, 0]
    others = logits.scatter(1, calls[:, None], float("-inf"))
    return called - others.logsumexp(1)


def integrated_gradients(
    logits_of: LogitsOf, cells: Cells, calls: Tensor, steps: int = STEPS
) -> Tensor:
    """Each gene's part in the log-odds of the calls, float32 (cells, width)."""
    whole = torch.zeros_like(cells.weights)
    totals = cells.weights.sum(1)
    for step in range(steps):
        share = (step + 0.5) / steps
        weights = (cells.weights * share).detach().requires_grad_()
        odds = log_odds(logits_of(Cells(cells.genes, weights, totals)), calls)
        whole += torch.autograd.grad(odds.sum(), weights)[0]
    return whole / steps * cells.weights


@dataclass(frozen=True)
class LinearContributions:
    """Logits that are linear in the genes' weights: ``matrix`` float32 (genes, labels).

    With ``embedding`` (genes, dim), the weighted sum is brought to the length at which the cell's
    mean embedding is a unit vector.
    """

    matrix: np.ndarray
    biases: np.ndarray
    embedding: np.ndarray | None = None

    def logits_of(self, whole: Cells) -> LogitsOf:
        """The logits of cells with other weights, their length that of the ``whole`` cells."""
        matrix, biases = torch.from_numpy(self.matrix), torch.from_numpy(self.biases)
        length = torch.ones(len(whole.genes), 1)
        if self.embedding is not None:
            mean = by_gene(whole, len(matrix)) @ torch.from_numpy(self.embedding)
            length = mean.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return lambda cells: by_gene(cells, len(matrix)) @ matrix / length + biases


@dataclass(frozen=True)
class Explained:
    """The ``genes`` int32 (cells, most), −1 for none, that spoke most for each cell's call, their
    ``parts`` float32, and ``sums`` float64 (labels, genes): all parts, by the label called."""

    genes: np.ndarray
    parts: np.ndarray
    sums: np.ndarray


def explain(
    cells: CellSequences,
    rows: np.ndarray,
    trained: TrainedMethod,
    calls: np.ndarray,
    labels: int,
    most: int,
) -> Explained:
    """Which genes made the ``calls``, numbers int64 (rows,) of ``labels`` labels."""
    sums = np.zeros((labels, len(cells.embedding)))
    blocks = []
    for start in range(0, len(rows), CELLS_AT_ONCE):
        place = slice(start, start + CELLS_AT_ONCE)
        found, values = trained.explain(cells, rows[place], calls[place])
        spoken = np.where(found >= 0, values, 0)
        np.add.at(sums, (calls[place][:, None], np.maximum(found, 0)), spoken)
        blocks.append(top(found, values, most))
    genes, parts = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return Explained(genes, parts, sums)


class ExplanationWriter:
    """Fills ``obsm`` and ``uns`` of a new predictions file of ``cells`` cells."""

    def __init__(self, file: h5py.File, cells: int, labels: int, genes: Table, most: int) -> None:
        self.file = file
        self.genes = genes
        self._genes = encoding.create_rows(
            file["obsm"], "explanation_gene", (cells, most), np.int32, 1024
        )
        self._parts = encoding.create_rows(
            file["obsm"], "explanation_part", (cells, most), np.float32, 1024
        )
        self._sums = np.zeros((labels, len(genes)))

    def add(self, places: slice, explained: Explained) -> None:
        """What made the calls of the cells at ``places``."""
        self._genes[places], self._parts[places] = explained.genes, explained.parts
        self._sums += explained.sums

    def finish(self, counts: np.ndarray) -> None:
        """Write the mean part of each gene per label, called ``counts`` times."""
        genes = self.genes
        names = {"id": genes.index, "symbol": genes.strings("symbol")}
        empty = strings([""] * len(genes))
        names["text"] = genes.strings("text") if "text" in genes.columns else empty
        write_mean_parts(self.file, self._sums, counts, names)


def write_mean_parts(
    file: h5py.File, sums: np.ndarray, counts: np.ndarray, names: dict[str, np.ndarray]
) -> None:
    """Write ``uns/explanation``: ``names`` of the genes, and the mean of the summed parts."""
    uns = encoding.write_group(file["uns"], "explanation")
    encoding.write_array(uns, "part", (sums / np.maximum(counts, 1)[:, None]).astype(np.float32))
    for name, values in names.items():
        encoding.write_strings(uns, name, strings(values))
    if "shard" in file["uns"]:
        encoding.write_array(uns, "sum", sums)


def top(genes: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``most`` genes of largest value, int32 and float32 (cells, most); −1 and 0 fill up."""
    worth = np.where(genes >= 0, values, -np.inf)
    order = np.argsort(-worth, axis=1, kind="stable")[:, :most]
    best = np.take_along_axis(genes, order, 1)
    part = np.where(best >= 0, np.take_along_axis(values, order, 1), 0)
    missing = ((0, 0), (0, most - order.shape[1]))
    return (
        np.pad(best, missing, constant_values=-1).astype(np.int32),
        np.pad(part, missing).astype(np.float32),
    )
