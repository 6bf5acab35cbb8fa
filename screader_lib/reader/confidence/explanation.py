"""Which genes made a call: each gene's part in it, per cell and on average per label."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table, strings
from screader_lib.reader.task import TrainedMethod

CELLS_AT_ONCE = 256


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
