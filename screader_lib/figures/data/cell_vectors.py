"""The cells' vectors after reading and before it, read in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile

BLOCK_BYTES = 64 << 20
RUN = 8  # neighbouring rows sampled together where single ones would be slow to read
RUNS_FROM = 200_000  # rows


@dataclass(frozen=True)
class Vectors:
    """One vector per cell, float32 (rows, width), never all in memory at once.

    ``read`` gives the rows from a first to before a last one.
    """

    rows: int
    width: int
    read: Callable[[int, int], np.ndarray]

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, in order."""
        step = max(1, BLOCK_BYTES // max(4, 4 * self.width))
        for start in range(0, self.rows, step):
            yield self.read(start, min(self.rows, start + step))

    def sample(self, max_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Sorted row indices, int64, and their vectors; all rows where there are few.

        From very many rows, runs of neighbouring rows are sampled.
        """
        if self.rows <= max_rows:
            indices = np.arange(self.rows)
        else:
            run = RUN if self.rows > RUNS_FROM else 1
            random = np.random.default_rng(seed)
            starts = np.sort(random.choice(self.rows // run, max_rows // run, replace=False)) * run
            indices = (starts[:, None] + np.arange(run)).ravel()
            if run > 1:
                return indices, np.concatenate([self.read(s, s + run) for s in starts.tolist()])
        sampled, start = [np.zeros((0, self.width), np.float32)], 0
        for block in self.blocks():
            first, last = np.searchsorted(indices, (start, start + len(block)))
            sampled.append(block[indices[first:last] - start])
            start += len(block)
        return indices, np.concatenate(sampled)


def stored_vectors(dataset: h5py.Dataset) -> Vectors:
    """An array on disk."""
    rows, width = dataset.shape
    return Vectors(rows, width, lambda start, stop: dataset[start:stop])


def mean_gene_embeddings(cells: ExchangeFile, ids: np.ndarray, name: str) -> Vectors:
    """The cells ``ids`` of the predictions file ``name`` before reading.

    A cell is the mean of its genes' text embeddings, by absolute weight; the zero vector where it
    has no genes. ScReaderError where the ``cells`` file lacks one of them.
    """
    from scipy.sparse import csr_array

    available = encoding.read_strings(cells.file["obs/id"])
    remedy = "Give the cells that the predictions were made from."
    indices = indices_of(ids, available, file=cells.name, what=f"cells of {name}", remedy=remedy)
    sequences = CellSequences(cells)
    genes, width = sequences.embedding.shape

    def read(start: int, stop: int) -> np.ndarray:
        gene, weight = sequences.rows(indices[start:stop])
        used = gene >= 0
        weight = np.where(used, np.abs(weight), 0)
        total = weight.sum(axis=1, keepdims=True)
        weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
        ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        mean = csr_array((weight[used], gene[used], ends), shape=(len(gene), genes))
        return np.asarray(mean @ sequences.embedding, np.float32)

    return Vectors(len(indices), width, read)


def indices_of(
    ids: np.ndarray, available: np.ndarray, *, file: str, what: str, remedy: str = ""
) -> np.ndarray:
    """Where ``ids`` are in ``available``, int64 (ids,).

    ScReaderError where ``file`` lacks some of ``what``, naming one of them.
    """
    if np.array_equal(available, ids):
        return np.arange(len(ids))
    index = {name: number for number, name in enumerate(available)}
    missing = [name for name in ids if name not in index]
    if missing:
        message = f"lacks {len(missing):,} of the {len(ids):,} {what}, such as {missing[0]!r}."
        raise ScReaderError(message, file=file, remedy=remedy)
    return np.array([index[name] for name in ids], np.int64)
