"""The values of each gene over many cells, in bounded memory.

Blocks of cells are gathered to runs, whose values lie gene by gene. Runs beyond a number of values
lie in a temporary file without a name, so that deep cells take disk instead of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from screader_lib.cells.formats.scratch_file import ScratchFile

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ITEM = np.dtype(np.float32).itemsize
VALUES_PER_RUN = 2_000_000
VALUES_IN_MEMORY = 50_000_000  # 200 MB
VALUES_PER_GROUP = 4_000_000


class SortedRun(NamedTuple):
    """Values gene by gene: float32 in memory, or None and their ``place`` in the file.

    ``ends`` (genes + 1,) are the bounds of the genes.
    """

    ends: np.ndarray
    values: np.ndarray | None
    place: int = 0


class ValuesByGene:
    """Takes blocks of cells, gives the values of each gene; in no particular order of the cells."""

    def __init__(self, genes: int, in_memory: int = VALUES_IN_MEMORY) -> None:
        self.counts = np.zeros(genes, np.int64)
        self.in_memory = in_memory
        self._pending: list[csr_matrix] = []
        self._runs: list[SortedRun] = []
        self._spool: ScratchFile | None = None

    def add(self, block: csr_matrix) -> None:
        """Take in float32 (cells, genes) without stored zeros; not to be changed later."""
        self.counts += np.bincount(block.indices, minlength=len(self.counts))
        self._pending.append(block)
        if sum(one.nnz for one in self._pending) >= VALUES_PER_RUN:
            self._end_run()

    def _end_run(self) -> None:
        from scipy.sparse import vstack

        turned = vstack(self._pending, format="csr").tocsc()
        self._pending = []
        held = sum(len(run.values) for run in self._runs if run.values is not None)
        if held + turned.nnz <= self.in_memory:
            self._runs.append(SortedRun(turned.indptr, turned.data))
            return
        self._spool = self._spool or ScratchFile()
        self._runs.append(SortedRun(turned.indptr, None, self._spool.size))
        self._spool.write(turned.data.tobytes())

    def of(self, genes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each of ``genes``, ascending, with its values float32 (cells that have one,)."""
        if self._pending:
            self._end_run()
        place = 0
        while place < len(genes):
            first = int(genes[place])
            through = np.cumsum(self.counts[first:])
            size = int(np.searchsorted(through, VALUES_PER_GROUP, side="right"))
            stop = min(first + max(1, size), len(self.counts))
            some = [(run.ends - run.ends[first], self._read(run, first, stop))
                    for run in self._runs]  # fmt: skip
            while place < len(genes) and genes[place] < stop:
                gene = int(genes[place])
                parts = [values[ends[gene] : ends[gene + 1]] for ends, values in some]
                yield gene, np.concatenate([np.empty(0, np.float32), *parts])
                place += 1

    def _read(self, run: SortedRun, first: int, stop: int) -> np.ndarray:
        """Values of the genes from ``first`` to before ``stop``."""
        low, high = int(run.ends[first]), int(run.ends[stop])
        if run.values is not None:
            return run.values[low:high]
        assert self._spool is not None
        return np.frombuffer(
            self._spool.read((high - low) * ITEM, run.place + low * ITEM), np.float32
        )
