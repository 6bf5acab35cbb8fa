"""A ``cells`` file as the reader sees it: numpy and h5py only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.cells.folds import ALL_CELLS, OTHER_CELLS, TRAINING_CELLS, FoldPlan
from screader_lib.cells.formats.transpose import ScratchFile
from screader_lib.cells.gene_matcher import filter_genes
from screader_lib.cells.gene_texts import GeneTexts
from screader_lib.cells.sequences import NO_GENE, rescaled_weights, weight_matrix
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.chunks import RowReader
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.table import Categorical, LazyTable, Table, stored_table

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_IN_MEMORY = 512 << 20  # bytes of the genes and weights of all cells
WINDOW = 1024  # rows that are read at once
WINDOWS = 8
MAX_GAP = 16  # cells between two that are read together
MATRICES = 4  # of weights that are kept, as several methods ask for those of the same cells


class CellSequences:
    """Sequences of an open ``cells`` file, read by rows; ``width`` genes a cell at most."""

    def __init__(
        self, opened: ExchangeFile, width: int | None = None, sequential: bool = False
    ) -> None:
        """``sequential``: rows are read from first to last, so few are kept.

        Else any row may be asked for at any time, and all are unpacked once: into memory where
        they fit into little of it, into a temporary file where they do not.
        """
        self.opened = opened
        self.sequential = sequential
        self._window = lru_cache(WINDOWS)(
            lambda number: self._read(slice(number * WINDOW, (number + 1) * WINDOW))
        )
        self._index = opened.file["obsm/gene_index"]
        self._weight = opened.file["obsm/gene_weight"]
        self._readers = RowReader(self._index), RowReader(self._weight)
        self.width = min(width or self._index.shape[1], self._index.shape[1])

    def __len__(self) -> int:
        return int(self._index.shape[0])

    @cached_property
    def obs(self) -> Table:
        """The cells' table."""
        return encoding.read_table(self.opened.file["obs"])

    @property
    def lazy_obs(self) -> LazyTable:
        """The cells' table, to be read piece by piece."""
        return stored_table(self.opened.file["obs"])

    @cached_property
    def genes(self) -> Table:
        """The vocabulary's table, with ``median``."""
        return encoding.read_table(self.opened.file["var"])

    @cached_property
    def embedding(self) -> np.ndarray:
        """Text embedding of the vocabulary, float32 (genes, dim)."""
        return self.opened.file["varm/embedding"][()]

    @property
    def embedding_identity(self) -> dict:
        """model, provider, dim and sha256 of the embedding, fields and species of its texts."""
        return encoding.read_json(self.opened.file["uns"], "embedding")

    @cached_property
    def texts(self) -> GeneTexts:
        """What texts the embedding is of."""
        return GeneTexts.of(self.embedding_identity, self.opened.steps)

    @property
    def genes_in_input(self) -> np.ndarray:
        """Which genes an input of the cells has, bool (genes,); all where the file is older."""
        inputs = self.genes.columns.get("inputs")
        return np.ones(len(self.genes), bool) if inputs is None else np.asarray(inputs) > 0

    @property
    def construction(self) -> dict:
        """How the sequences were built."""
        return encoding.read_json(self.opened.file["uns"], "construction")

    @property
    def genes_from(self) -> str:
        """From which cells genes were selected and medians taken, as :attr:`Fold.genes` says.

        Of ``--like``, from other cells, unless these were built from the same expression. Where
        nothing is measured, as with ``--select all --rank-by expression``, any cells will do.
        """
        construction, inputs = self.construction, self.opened.provenance.record.inputs
        if "like" in inputs:
            earlier = set().union(*map(_expression, self.opened.provenance.history))
            return (
                ALL_CELLS if earlier & _expression(self.opened.provenance.record) else OTHER_CELLS
            )
        by_median = "median-ratio" in (construction.get("rank_by"), construction.get("weight"))
        if construction.get("select") == "all" and ("medians" in inputs or not by_median):
            return TRAINING_CELLS
        return ALL_CELLS

    @cached_property
    def fold_plan(self) -> FoldPlan | None:
        """The folds that each have genes of their own, None where the file has none."""
        uns = self.opened.file["uns"]
        return FoldPlan(**encoding.read_json(uns, "folds")) if "folds" in uns else None

    @cached_property
    def lengths(self) -> np.ndarray:
        """Genes of each cell, at most ``width``, int64 (cells,)."""
        stored = self.opened.file["obs/genes_in_sequence"][()]
        return np.minimum(stored, self.width).astype(np.int64)

    @property
    def labels(self) -> Categorical | None:
        """The cells' labels, None where the file has none."""
        column = self.obs.columns.get("label")
        return column if isinstance(column, Categorical) else None

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """gene_index int32 and gene_weight float32 (rows, genes of the longest) of these cells."""
        longest = int(self.lengths[numbers].max(initial=0))
        if not self.sequential:
            index, weight = self._unpacked.rows(numbers)
        elif len(np.unique(numbers // WINDOW)) <= WINDOWS:
            index = np.full((len(numbers), longest), NO_GENE, np.int32)
            weight = np.zeros((len(numbers), longest), np.float32)
            for window in np.unique(numbers // WINDOW).tolist():
                mask = numbers // WINDOW == window
                rows = numbers[mask] - window * WINDOW
                parts = [part[rows, :longest] for part in self._window(window)]
                width = parts[0].shape[1]
                index[mask, :width], weight[mask, :width] = parts
        else:
            ascending, inverse = np.unique(numbers, return_inverse=True)
            index, weight = (part[inverse] for part in self._read(ascending))
        return index[:, :longest], weight[:, :longest].astype(np.float32, copy=False)

    def weights(self, numbers: np.ndarray) -> csr_matrix:
        """The same as CSR float32 (rows, genes), genes of a cell in its order; not to be changed.

        Of adjacent cells they are kept for a while. Any number of threads may ask for them.
        """
        count = len(numbers)
        if count and (np.diff(numbers) == 1).all():
            return copy(self._weights(int(numbers[0]), int(numbers[-1]) + 1))
        return self._matrix(numbers)

    def _matrix(self, numbers: np.ndarray) -> csr_matrix:
        if not self.sequential:
            return self._unpacked.matrix(numbers, len(self.embedding))
        return weight_matrix(*self.rows(numbers), len(self.embedding))

    @cached_property
    def _weights(self) -> Callable[[int, int], csr_matrix]:
        """Reads the weights of the cells from one to before another."""

        def read(start: int, stop: int) -> csr_matrix:
            matrix = self._matrix(np.arange(start, stop))
            matrix.data.setflags(write=False)
            return matrix

        return lru_cache(MATRICES)(read)

    @cached_property
    def _unpacked(self) -> _Unpacked:
        """All sequences, for rows in any order."""
        starts = range(0, len(self), WINDOW)
        blocks = (self._read(slice(start, start + WINDOW)) for start in starts)
        return _Unpacked(self.lengths, len(self.embedding), blocks)

    def _read(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Checked index and weight of rows in ascending order, no wider than the longest of them.

        One more column is looked at, to see that no cell is longer than the table says.
        """
        lengths, genes = self.lengths[rows], len(self.embedding)
        longest = int(lengths.max(initial=0))
        width = min(longest + 1, self.width)
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            index, weight = (reader.read(start, stop, width) for reader in self._readers)
        else:
            index, weight = (reader.take(rows, width) for reader in self._readers)
        if index.size and (index.max() >= genes or index.min() < NO_GENE):
            raise ScReaderError(
                f"obsm/gene_index has an entry outside −1 … {genes - 1}.", file=self.opened.name
            )
        filled = index >= 0
        if (filled[:, 1:] & ~filled[:, :-1]).any():
            raise ScReaderError("obsm/gene_index has a gap.", file=self.opened.name)
        if (filled.sum(1) != lengths).any():
            raise ScReaderError(
                "obs/genes_in_sequence does not match obsm/gene_index.", file=self.opened.name
            )
        return index[:, :longest].astype(np.int32, copy=False), weight[:, :longest]


class _Unpacked:
    """Genes and weights of cells one after the other, without gaps."""

    def __init__(
        self, lengths: np.ndarray, genes: int, blocks: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """Of ``blocks`` of cells in order, each gene indices and weights (cells, width).

        ``lengths`` int64 are the numbers of genes of all cells. ScReaderError on a full disk.
        """
        self.lengths = lengths
        self.ends = np.concatenate([[0], np.cumsum(lengths)])
        index_type = np.dtype(np.uint16 if genes <= 1 << 16 else np.int32)
        self._types = index_type, np.dtype(np.float32)
        total = int(self.ends[-1])
        size = total * sum(each.itemsize for each in self._types)
        self._arrays = [np.empty(total, each) for each in self._types if size <= MAX_IN_MEMORY]
        self._files = [ScratchFile() for _ in self._types if size > MAX_IN_MEMORY]
        start = 0
        for block in blocks:
            filled = block[0] >= 0
            for number, (part, dtype) in enumerate(zip(block, self._types, strict=True)):
                values = part[filled].astype(dtype)
                if self._files:
                    self._files[number].write(values.tobytes())
                else:
                    self._arrays[number][start : start + len(values)] = values
            start += int(filled.sum())

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Genes int32, −1 for none, and weights float32, (cells, genes of the longest)."""
        genes, weights = self._values(numbers)
        lengths = self.lengths[numbers]
        filled = np.arange(lengths.max(initial=0)) < lengths[:, None]
        index = np.full(filled.shape, NO_GENE, np.int32)
        weight = np.zeros(filled.shape, np.float32)
        index[filled], weight[filled] = genes, weights
        return index, weight

    def matrix(self, numbers: np.ndarray, genes: int) -> csr_matrix:
        """Weights as CSR float32 (cells, ``genes``), genes of a cell in its order."""
        from scipy.sparse import csr_matrix

        indices, weights = self._values(numbers)
        ends = np.concatenate([[0], np.cumsum(self.lengths[numbers])])
        return csr_matrix((weights, indices.astype(np.int32), ends), (len(numbers), genes))

    def _values(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Genes and weights of the cells, those of each after those of the one before.

        Cells that lie near each other are read together.
        """
        if not len(numbers):
            return [np.zeros(0, each) for each in self._types]
        parts: list[list[np.ndarray]] = [[] for _ in self._types]
        near = (np.diff(numbers) >= 0) & (np.diff(numbers) <= MAX_GAP)
        for some in np.split(numbers, np.flatnonzero(~near) + 1):
            start, stop = int(self.ends[some[0]]), int(self.ends[some[-1] + 1])
            lengths = self.lengths[some]
            skipped = self.ends[some] - start - (np.cumsum(lengths) - lengths)
            wanted: slice | np.ndarray = slice(None)
            if lengths.sum() != stop - start or skipped.any():
                wanted = np.arange(lengths.sum()) + np.repeat(skipped, lengths)
            for number, part in enumerate(parts):
                part.append(self._read(number, start, stop)[wanted])
        return [np.concatenate(part) for part in parts]

    def _read(self, number: int, start: int, stop: int) -> np.ndarray:
        if not self._files:
            return self._arrays[number][start:stop]
        dtype = self._types[number]
        content = self._files[number].read((stop - start) * dtype.itemsize, start * dtype.itemsize)
        return np.frombuffer(content, dtype)


class CellsWithoutGenes(CellSequences):
    """A few cells of ``cells``, as if only the genes ``kept``, bool (genes,), had been measured.

    Where ``renormalised``, the genes that are left are all that was measured, so their normalised
    values rise by the inverse of the share that is left; else other genes, which no reader
    knows, keep up the total.
    """

    def __init__(
        self, cells: CellSequences, rows: np.ndarray, kept: np.ndarray, renormalised: bool
    ) -> None:
        self.opened, self.genes, self.embedding = cells.opened, cells.genes, cells.embedding
        self.sequential = True  # these few are not unpacked
        self._kept = kept & cells.genes_in_input
        genes, weights = filter_genes(*cells.rows(rows), lambda some: kept[some])
        if renormalised:
            share = max(float(kept.mean()), 1 / len(kept))
            weights = rescaled_weights(cells.construction.get("weight", ""), weights, 1 / share)
        self._sequences = genes, weights
        self.width = genes.shape[1]
        self.lengths = (genes >= 0).sum(1).astype(np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def genes_in_input(self) -> np.ndarray:
        return self._kept

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        genes, weights = self._sequences
        return genes[numbers], weights[numbers]


def _expression(step: Record) -> set[str]:
    """SHA-256 of the files of expression that a step read."""
    roles = step.inputs.items()
    return {entry["sha256"] for role, entry in roles if role.startswith("expression")}
