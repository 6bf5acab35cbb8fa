"""The sequences of each fold, whose genes are those that its training cells select.

A ``cells`` file with folds holds, beside the sequences by the genes of all cells, the normalised
values of every gene that any fold has in a cell's sequence, once for all folds. A fold's own
sequences are ranked by its genes and medians when they are read: they are those that would have
been built from its training cells, and from its held-out cells ``--like`` these.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.folds import Fold
from screader_lib.cells.gene_names import GENE_NAMES
from screader_lib.cells.sequences import NO_GENE, Construction, rank_genes, ranked
from screader_lib.exchange import chunks, encoding
from screader_lib.exchange.table import Table

if TYPE_CHECKING:
    from screader_lib.cells.input_file import ExpressionBlock
    from screader_lib.cells.vocabulary import Embeddings, Vocabulary

CHUNK = (64, 512)  # cells × genes
INT16_GENES = 2**15


@dataclass
class FoldGenes:
    """The genes of all folds: ``rows`` of the embeddings, ascending.

    ``selected`` bool, ``medians`` and ``means`` float32 (genes, folds): which genes a fold has, and
    theirs.
    """

    rows: np.ndarray
    selected: np.ndarray
    medians: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, folds: tuple[Vocabulary, ...]) -> FoldGenes:
        """Those of the folds' vocabularies."""
        rows = np.unique(np.concatenate([fold.rows for fold in folds]))
        selected = np.zeros((len(rows), len(folds)), bool)
        medians, means = np.zeros((2, len(rows), len(folds)), np.float32)
        for number, fold in enumerate(folds):
            index = np.searchsorted(rows, fold.rows)
            selected[index, number], medians[index, number] = True, fold.medians
            means[index, number] = fold.means
        return cls(rows, selected, medians, means)

    def in_sequences(
        self, block: ExpressionBlock, construction: Construction
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which values of a block of these genes any fold has in its sequences, bool (values,).

        And how many each fold has, int32 (cells, folds).
        """
        values = block.values
        cell = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
        kept = np.zeros(values.nnz, bool)
        lengths = np.zeros((values.shape[0], self.selected.shape[1]), np.int32)
        for number in range(self.selected.shape[1]):
            own = self.selected[:, number][values.indices]
            lengths[:, number] = np.bincount(cell[own], minlength=values.shape[0])
            if lengths[:, number].max(initial=0) > construction.genes_per_cell:
                part = block.take_values(own).values
                order, _ = ranked(part, self.medians[:, number], construction)
                own = np.flatnonzero(own)[order]
            kept[own] = True
        return kept, np.minimum(lengths, construction.genes_per_cell)


class FoldBlock(NamedTuple):
    """Genes −1 or int32, values and counts float32 (cells, width), lengths int32 (cells, folds)."""

    genes: np.ndarray
    values: np.ndarray
    counts: np.ndarray | None
    lengths: np.ndarray


class FoldWriter:
    """Writes the values of all folds' genes to a new ``cells`` file, cells in order."""

    def __init__(
        self,
        file: h5py.File,
        genes: FoldGenes,
        embeddings: Embeddings,
        construction: Construction,
        cells: int,
        pool: Executor,
    ) -> None:
        self.genes = genes
        self.construction = construction
        self.longest = 0
        table, group = (
            embeddings.genes.take(genes.rows),
            encoding.write_group(file["uns"], "fold_genes"),
        )
        encoding.write_strings(group, "id", table.index)
        for name in (*GENE_NAMES, "text"):
            if name in table.columns:
                encoding.write_strings(group, name, table.strings(name))
        encoding.write_array(group, "embedding", embeddings.vectors[genes.rows])
        encoding.write_array(group, "median", genes.medians)
        encoding.write_array(group, "mean", genes.means)
        encoding.write_array(group, "selected", genes.selected)
        count, folds = genes.selected.shape
        index_type = np.int16 if count <= INT16_GENES else np.int32

        def writer(
            name: str, width: int, dtype: type, fill: int, chunk: tuple[int, int] = CHUNK
        ) -> chunks.RowWriter:
            dataset = encoding.create_filled(file["obsm"], name, (cells, width), dtype, fill, chunk)
            return chunks.RowWriter(dataset, pool)

        self._index = writer("fold_gene_index", count, index_type, NO_GENE)
        self._values = writer("fold_gene_value", count, np.float32, 0)
        self._counts = None
        if construction.needs_counts:
            self._counts = writer("fold_gene_count", count, np.float32, 0)
        self._lengths = writer("genes_in_fold", folds, np.int32, 0, (4096, folds))

    def prepare(self, block: ExpressionBlock) -> FoldBlock:
        """What to write of a block of these genes; several threads may ask at a time."""
        kept, lengths = self.genes.in_sequences(block, self.construction)
        part = block.take_values(kept)
        sizes = np.diff(part.values.indptr)
        filled = np.arange(sizes.max(initial=0)) < sizes[:, None]

        def padded(values: np.ndarray, dtype: type, fill: int) -> np.ndarray:
            result = np.full(filled.shape, fill, dtype)
            result[filled] = values
            return result

        return FoldBlock(
            padded(part.values.indices, np.int32, NO_GENE),
            padded(part.values.data, np.float32, 0),
            None if part.counts is None else padded(part.counts, np.float32, 0),
            lengths,
        )

    def add(self, block: FoldBlock) -> None:
        """The next cells."""
        self._index.add(block.genes)
        self._values.add(block.values)
        self._lengths.add(block.lengths)
        if self._counts is not None and block.counts is not None:
            self._counts.add(block.counts)
        self.longest = max(self.longest, block.genes.shape[1])

    def finish(self) -> None:
        """Write what is left, and cut columns off that no cell fills."""
        self._lengths.finish()
        for writer in (self._index, self._values, self._counts):
            if writer is not None:
                writer.finish()
                shape, width = writer.dataset.shape, writer.chunk[1]
                columns = max(1, -(-self.longest // width)) * width
                if columns < shape[1]:
                    writer.dataset.resize((shape[0], columns))


class FoldSequences(CellSequences):
    """Cells as the training cells of a fold have their genes; see :class:`CellSequences`."""

    def __init__(self, cells: CellSequences, fold: Fold) -> None:
        super().__init__(cells.opened, sequential=cells.sequential)
        file, number = self.opened.file, fold.number - 1
        self._number = number
        self._index, self._weight = file["obsm/fold_gene_index"], file["obsm/fold_gene_value"]
        self._counts = file.get("obsm/fold_gene_count")
        self._lengths = file["obsm/genes_in_fold"][:, number]
        self._stored = file["uns/fold_genes"]
        selected = self._stored["selected"][:, number]
        self._chosen = np.flatnonzero(selected)
        self._medians = self._stored["median"][:, number][self._chosen]
        self._position = np.full(len(selected) + 1, NO_GENE, np.int32)  # the last is for −1
        self._position[self._chosen] = np.arange(len(self._chosen))
        self._ranking = Construction.from_json(self.construction, self.opened.name)
        self.width = min(cells.width, self._ranking.genes_per_cell, len(self._chosen))

    @cached_property
    def genes(self) -> Table:
        names = (*GENE_NAMES, "text")
        columns = {
            name: encoding.read_strings(self._stored[name])[self._chosen]
            for name in names
            if name in self._stored
        }
        ids = encoding.read_strings(self._stored["id"])[self._chosen]
        means = self._stored["mean"][:, self._number][self._chosen]
        return Table(ids, {**columns, "median": self._medians, "mean": means})

    @cached_property
    def embedding(self) -> np.ndarray:
        return self._stored["embedding"][()][self._chosen]

    @cached_property
    def lengths(self) -> np.ndarray:
        return np.minimum(self._lengths, self.width).astype(np.int64)

    def _read(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from scipy.sparse import csr_matrix

        genes = self._position[self._index[rows].astype(np.int32)]
        own = genes != NO_GENE
        ends = np.concatenate([[0], np.cumsum(own.sum(1))])
        block = csr_matrix(
            (self._weight[rows][own], genes[own], ends), shape=(len(own), len(self._chosen))
        )
        counts = None if self._counts is None else self._counts[rows][own]
        parts = rank_genes(block, self._medians, self._ranking, counts)
        index = np.full((len(own), self.width), NO_GENE, np.int32)
        weight = np.zeros((len(own), self.width), np.float32)
        for whole, part in zip((index, weight), parts, strict=True):
            width = min(self.width, part.shape[1])
            whole[:, :width] = part[:, :width]
        return index, weight


def of_fold(cells: CellSequences, fold: Fold | None) -> CellSequences:
    """The cells by the genes of the training cells of ``fold``, where their file has them."""
    plan = cells.fold_plan
    if fold is None or plan is None or not plan.has(fold):
        return cells
    return FoldSequences(cells, fold)
