"""Cells that are built from their expression and read block by block, without a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from screader_lib.cells.cell_builder import CellBuilder
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.transpose import ScratchFile
from screader_lib.cells.gene_texts import GeneTexts
from screader_lib.cells.vocabulary import Vocabulary
from screader_lib.exchange.table import Table

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Result = TypeVar("Result")


class CellsInBlocks(CellSequences):
    """The cells of ``builder`` by the genes of ``vocabulary``.

    They have :meth:`weights` and ``lengths``, of the cells of a block that is at hand, and no
    sequences in order. Several threads may each have a block of their own.
    """

    def __init__(self, builder: CellBuilder, vocabulary: Vocabulary) -> None:
        self.builder, self.vocabulary = builder, vocabulary
        self.lengths = np.zeros(len(builder.obs), np.int64)
        self._block = threading.local()

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def genes(self) -> Table:
        return self.builder.gene_table(self.vocabulary)

    @cached_property
    def embedding(self) -> np.ndarray:
        return self.builder.gene_vectors(self.vocabulary)

    @property
    def embedding_identity(self) -> dict:
        return self.builder.embeddings.identity

    @cached_property
    def texts(self) -> GeneTexts:
        return self.builder.embeddings.texts

    def map(self, function: Callable[[np.ndarray], Result]) -> Iterator[Result]:
        """``function`` of the cells' numbers, block by block in order, each in some thread.

        ScReaderError as from :meth:`CellBuilder.map_weights`, which reads the inputs once.
        """

        def run(cells: slice, weights: csr_matrix) -> Result:
            self.lengths[cells] = np.diff(weights.indptr)
            self._block.start, self._block.weights = cells.start, weights
            try:
                return function(np.arange(cells.start, cells.stop))
            finally:
                del self._block.weights

        return self.builder.map_weights(self.vocabulary, run)

    def weights(self, numbers: np.ndarray) -> csr_matrix:
        """As of :class:`CellSequences`, of cells of the block that this thread has."""
        weights, rows = self._block.weights, numbers - self._block.start
        if len(rows) == weights.shape[0] and (np.diff(rows) == 1).all():
            return copy(weights)
        return weights[rows]


class StoredWeights:
    """Weights of a sample's cells on disk, as they are in memory: added once, read by rows."""

    def __init__(self) -> None:
        """ScReaderError where temporary files cannot be written."""
        self._file = ScratchFile()
        self._firsts: list[int] = []  # the first cell of each block
        self._blocks: list[_Block] = []
        self._cells = 0

    def __len__(self) -> int:
        return self._cells

    def add(self, weights: csr_matrix) -> None:
        """The next cells, CSR float32 (cells, genes); all blocks have the same genes.

        ScReaderError on a full disk.
        """
        indices = weights.indices.astype(np.uint16 if weights.shape[1] <= 1 << 16 else np.int32)
        self._blocks.append(
            _Block(self._file.size, indices.dtype, weights.indptr, weights.shape[1])
        )
        for part in (indices, weights.data):
            self._file.write(part.tobytes())
        self._firsts.append(self._cells)
        self._cells += weights.shape[0]

    def read(self, rows: np.ndarray) -> csr_matrix:
        """Of the cells ``rows``, int64, rising; several threads may read at a time."""
        from scipy.sparse import vstack

        number = np.searchsorted(self._firsts, rows, side="right") - 1
        blocks, at = np.unique(number, return_index=True)
        parts = [
            self._block(block)[own - self._firsts[block]]
            for block, own in zip(blocks.tolist(), np.split(rows, at[1:]), strict=True)
        ]
        return vstack(parts, "csr")

    def _block(self, number: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        block = self._blocks[number]
        count = int(block.indptr[-1])
        size = count * block.index_type.itemsize
        content = self._file.read(size + 4 * count, block.start)
        indices = np.frombuffer(content, block.index_type, count).astype(np.int32)
        values = np.frombuffer(content, np.float32, count, size)
        return csr_matrix((values, indices, block.indptr), (len(block.indptr) - 1, block.genes))


class _Block(NamedTuple):
    """Where a block's indices and then its values lie, and what else makes it a matrix."""

    start: int
    index_type: np.dtype
    indptr: np.ndarray
    genes: int
