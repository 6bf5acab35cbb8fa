"""The cells' vectors, read in blocks: after reading, and before it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import h5py
import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile

BLOCK_BYTES = 64 << 20
RUN = 8  # cells read together where single ones would be slow
MANY = 200_000


class Vectors(ABC):
    """One vector per cell, float32 (rows, width), never all in memory at once."""

    rows: int
    width: int

    @abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows from ``start`` to before ``stop``, float32 (stop − start, width)."""

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, in order."""
        step = max(1, BLOCK_BYTES // max(4, 4 * self.width))
        for start in range(0, self.rows, step):
            yield self.read(start, min(self.rows, start + step))

    def sample(self, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers int64, ascending, and their vectors; all rows where there are few.

        With very many rows, runs of neighbouring rows are taken.
        """
        if self.rows <= most:
            return np.arange(self.rows), np.concatenate([*self._empty(), *self.blocks()])
        run = RUN if self.rows > MANY else 1
        random = np.random.default_rng(seed)
        starts = np.sort(random.choice(self.rows // run, most // run, replace=False)) * run
        numbers = (starts[:, None] + np.arange(run)).ravel()
        if run > 1:
            return numbers, np.concatenate([self.read(s, s + run) for s in starts.tolist()])
        return numbers, np.concatenate([*self._empty(), *self._picked(numbers)])

    def _picked(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        start = 0
        for block in self.blocks():
            here = numbers[(numbers >= start) & (numbers < start + len(block))]
            yield block[here - start]
            start += len(block)

    def _empty(self) -> list[np.ndarray]:
        return [np.zeros((0, self.width), np.float32)]


class StoredVectors(Vectors):
    """An array on disk."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.rows, self.width = dataset.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows as they are stored."""
        return self.dataset[start:stop]


class MeanGeneEmbeddings(Vectors):
    """Cells before reading: the mean of their genes' text embeddings, by weight.

    ``places`` are the rows of ``sequences``, int64 (rows,). A cell without genes is the zero
    vector.
    """

    def __init__(self, sequences: CellSequences, places: np.ndarray) -> None:
        self.sequences = sequences
        self.places = places
        self.rows, self.width = len(places), sequences.embedding.shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Weighted means; weights count by their size."""
        from scipy.sparse import csr_array

        index, weight = self.sequences.rows(self.places[start:stop])
        used = index >= 0
        weight = np.where(used, np.abs(weight), 0)
        total = weight.sum(axis=1, keepdims=True)
        weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
        ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        shape = (len(index), len(self.sequences.embedding))
        mixing = csr_array((weight[used], index[used], ends), shape=shape)
        return np.asarray(mixing @ self.sequences.embedding, np.float32)


def before_reading(cells: ExchangeFile, ids: np.ndarray, name: str) -> MeanGeneEmbeddings:
    """The vectors before reading of the cells ``ids`` of the predictions file ``name``.

    ScReaderError where the ``cells`` file lacks one of them.
    """
    have = encoding.read_strings(cells.file["obs/id"])
    if np.array_equal(have, ids):
        places = np.arange(len(ids))
    else:
        place = {cell: number for number, cell in enumerate(have)}
        missing = [cell for cell in ids if cell not in place]
        if missing:
            raise ScReaderError(
                f"lacks {len(missing):,} of the {len(ids):,} cells of {name}, "
                f"such as {missing[0]!r}.",
                file=cells.name,
                remedy="Give the cells that the predictions were made from.",
            )
        places = np.array([place[cell] for cell in ids], np.int64)
    return MeanGeneEmbeddings(CellSequences(cells), places)
