"""Which genes contributed to a prediction, per cell and on average per label."""

from __future__ import annotations

import time
from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table, strings
from screader_lib.largest import largest
from screader_lib.reader.task import TrainedMethod, row_blocks
from screader_lib.reporting import Reporter

TIMED_CELLS = 8
WORTH_REPORTING = 60.0  # seconds
MAX_GAP = 0.05  # as in model.attribution, whose import takes torch
EXACT = 1e-4


@dataclass(frozen=True)
class Explained:
    """Contributions of genes to the predicted labels' log-odds.

    ``genes`` int32 (cells, count), −1 for none, are those of the largest contribution in each
    cell, ``parts`` float32 their contributions; ``sums`` float64 (labels, genes) are of all
    contributions, by the predicted label. ``gaps`` float32 (cells,) say how far all contributions
    are from adding up; see model.attribution.
    """

    genes: np.ndarray
    parts: np.ndarray
    sums: np.ndarray
    gaps: np.ndarray


def explain(
    cells: CellSequences,
    rows: np.ndarray,
    trained: TrainedMethod,
    calls: np.ndarray,
    labels: int,
    count: int,
) -> Explained:
    """Explain the ``calls``: the predicted numbers int64 (rows,) of ``labels`` labels."""
    every = len(cells.embedding)
    sums = np.zeros(labels * every)
    blocks = []
    for some, called in zip(row_blocks(rows), row_blocks(calls), strict=True):
        genes, values, gaps = trained.explain(cells, some, called)
        is_gene = genes >= 0
        of_label = (called[:, None] * every + genes)[is_gene]
        sums += np.bincount(of_label, values[is_gene], len(sums))
        blocks.append((*top(genes, values, count), gaps))
    genes, parts, gaps = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return Explained(genes, parts, sums.reshape(labels, every), gaps)


def report_cost(
    cells: CellSequences, rows: np.ndarray, trained: TrainedMethod, reporter: Reporter
) -> None:
    """Explain a few of ``rows``, and report how long all will take if it is long."""
    sample = rows[np.unique(np.linspace(0, len(rows) - 1, TIMED_CELLS).astype(int))]
    calls = trained.logits(cells, sample).argmax(1)
    start = time.monotonic()
    trained.explain(cells, sample, calls)
    seconds = (time.monotonic() - start) / len(sample)
    if seconds * len(rows) >= WORTH_REPORTING:
        reporter.info(
            f"explaining {len(rows):,} cells takes about {seconds * len(rows) / 60:.0f} minutes "
            f"({seconds:.1f} s a cell). For fewer cells, use --shard, or build-cells --cells or "
            "--where."
        )


class ExplanationWriter:
    """Fills ``obsm`` and ``uns`` of a new predictions file of ``cells`` cells."""

    def __init__(self, file: h5py.File, cells: int, labels: int, genes: Table, count: int) -> None:
        self.file = file
        self.genes = genes
        self._genes = encoding.create_rows(
            file["obsm"], "explanation_gene", (cells, count), np.int32, 1024
        )
        self._parts = encoding.create_rows(
            file["obsm"], "explanation_part", (cells, count), np.float32, 1024
        )
        self._sums = np.zeros((labels, len(genes)))
        self.gaps = np.zeros(cells, np.float32)

    def add(self, rows: slice, explained: Explained) -> None:
        """Write the explanations of some of the cells."""
        self._genes[rows], self._parts[rows] = explained.genes, explained.parts
        self._sums += explained.sums
        self.gaps[rows] = explained.gaps

    def summary(self) -> str:
        """How far the contributions are from adding up, in words."""
        if not len(self.gaps) or self.gaps.max() < EXACT:
            return "explanations are exact: contributions add up to the change in log-odds."
        far = int((self.gaps > MAX_GAP).sum())
        return (
            f"explanations: contributions miss the change in log-odds by "
            f"{np.median(self.gaps):.1%} in the median, by {self.gaps.max():.1%} at most; by more "
            f"than {MAX_GAP:.0%} in {far:,} of {len(self.gaps):,} cells (obs/explanation_gap)."
        )

    def finish(self, counts: np.ndarray) -> None:
        """Write the mean contribution of each gene per label, predicted ``counts`` times."""
        genes = self.genes
        names = {"id": genes.index, "symbol": genes.strings("symbol")}
        empty = strings([""] * len(genes))
        names["text"] = genes.strings("text") if "text" in genes.columns else empty
        write_mean_parts(self.file, self._sums, counts, names)


def write_mean_parts(
    file: h5py.File, sums: np.ndarray, counts: np.ndarray, names: dict[str, np.ndarray]
) -> None:
    """Write ``uns/explanation``: ``names`` of the genes, and their mean contributions."""
    uns = encoding.write_group(file["uns"], "explanation")
    encoding.write_array(uns, "part", (sums / np.maximum(counts, 1)[:, None]).astype(np.float32))
    for name, values in names.items():
        encoding.write_strings(uns, name, strings(values))
    if "shard" in file["uns"]:
        encoding.write_array(uns, "sum", sums)


def top(genes: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` genes of largest value, int32 and float32 (cells, count); padded with −1, 0."""
    known = np.where(genes >= 0, values, -np.inf)
    chosen = largest(known, min(count, known.shape[1]))
    inner = np.argsort(-np.take_along_axis(known, chosen, 1), axis=1, kind="stable")
    order = np.take_along_axis(chosen, inner, 1)
    best = np.take_along_axis(genes, order, 1)
    part = np.where(best >= 0, np.take_along_axis(values, order, 1), 0)
    padding = ((0, 0), (0, count - order.shape[1]))
    return (
        np.pad(best, padding, constant_values=-1).astype(np.int32),
        np.pad(part, padding).astype(np.float32),
    )
