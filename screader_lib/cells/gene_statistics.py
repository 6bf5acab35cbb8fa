"""Statistics of genes over cells, in one pass and bounded memory: medians, variances, coverage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.cells.formats.transpose import ScratchFile
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_SAMPLED = 20_000  # cells
MIN_CELLS = 3
UNIT = 2.0**-20  # sums are of whole units, hence exact: the same in any order of the cells
MIN_VARIANCE = 1e-6  # of the mean square; below it a gene counts as constant
VALUE_BYTES = np.dtype(np.float32).itemsize
VALUES_PER_RUN = 2_000_000
VALUES_PER_GROUP = 4_000_000


def sampled_cells(hashes: np.ndarray, max_cells: int) -> np.ndarray:
    """Which cells the statistics are of, boolean (cells,): all, or ``max_cells`` of them.

    The sample depends on the names' ``hashes``, uint64 (cells,), so it is the same in any order of
    the cells; of cells with one name the first are taken.
    """
    if len(hashes) <= max_cells:
        return np.ones(len(hashes), bool)
    largest = np.partition(hashes, max_cells - 1)[max_cells - 1]
    sampled = hashes < largest
    ties = np.flatnonzero(hashes == largest)
    sampled[ties[: max_cells - int(sampled.sum())]] = True
    return sampled


def sums_of(block: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of normalised values (cells, genes), each gene's sums: of log1p, its square, the values.

    They are float64 (genes,) in ``UNIT``, and apart from :meth:`GeneStatistics.add` for several
    threads.
    """
    logs = np.log1p(block.data.astype(np.float64))

    def summed(terms: np.ndarray) -> np.ndarray:
        units = np.round(terms / UNIT)
        return np.bincount(block.indices, weights=units, minlength=block.shape[1])

    return summed(logs), summed(logs**2), summed(block.data.astype(np.float64))


class GeneStatistics:
    """Gathers, block by block, what the selection and ranking of genes need."""

    def __init__(self, genes: int) -> None:
        self.cells = 0
        self._sum = np.zeros(genes)
        self._sum_of_squares = np.zeros(genes)
        self._sum_of_values = np.zeros(genes)
        self._values = ValuesByGene(genes)

    def add(
        self, block: csr_matrix, logs: np.ndarray, squares: np.ndarray, values: np.ndarray
    ) -> None:
        """Take in positive normalised values, float32 (cells, genes), and their :func:`sums_of`."""
        self.cells += block.shape[0]
        self._sum += logs
        self._sum_of_squares += squares
        self._sum_of_values += values
        self._values.add(block)

    @property
    def means(self) -> np.ndarray:
        """Mean normalised value of each gene, zeros included, float32 (genes,)."""
        return (self._sum_of_values * UNIT / max(1, self.cells)).astype(np.float32)

    @property
    def detected(self) -> np.ndarray:
        """How many cells each gene was seen in, int64 (genes,)."""
        return self._values.counts

    def medians(self, genes: np.ndarray) -> np.ndarray:
        """Median of the non-zero normalised values of each of ``genes``, float32 (genes,).

        ``genes`` ascend; 0 for a gene that was never seen.
        """
        medians = [np.median(values) if len(values) else 0 for values in self._values.of(genes)]
        return np.array(medians, np.float32)

    def excess_variances(self) -> np.ndarray:
        """How much more each gene varies than genes of its mean do, float64 (genes,).

        The log variance of log1p of the normalised values, less its quadratic trend over the
        log mean; −inf for genes seen in fewer than ``MIN_CELLS`` cells.
        """
        mean = self._sum * UNIT / max(1, self.cells)
        mean_square = self._sum_of_squares * UNIT / max(1, self.cells)
        variance = mean_square - mean**2
        seen = self.detected >= min(MIN_CELLS, self.cells)
        usable = seen & (variance > MIN_VARIANCE * mean_square)
        excess = np.full(len(mean), -np.inf)
        if usable.any():
            log_mean, log_variance = np.log(mean[usable]), np.log(variance[usable])
            degree = min(2, len(np.unique(log_mean)) - 1)
            trend = np.polynomial.Polynomial.fit(log_mean, log_variance, degree)
            excess[usable] = log_variance - trend(log_mean)
        return excess

    def most_variable(self, number: int) -> np.ndarray:
        """The ``number`` genes of largest excess variance, ascending."""
        excess = self.excess_variances()
        order = np.argsort(-excess, kind="stable")[:number]
        return np.sort(order[np.isfinite(excess[order])])


class ValuesByGene:
    """Takes blocks of cells and gives the values of each gene, the cells in any order.

    Blocks are joined to runs of ``VALUES_PER_RUN``, whose values lie gene by gene in a temporary
    file, so that many or deep cells take disk instead of memory.
    """

    def __init__(self, genes: int) -> None:
        self.counts = np.zeros(genes, np.int64)
        self._pending: list[csr_matrix] = []
        self._runs: list[tuple[np.ndarray, int]] = []  # bounds of the genes, start in the file
        self._file = ScratchFile()

    def add(self, block: csr_matrix) -> None:
        """Take in float32 (cells, genes) without stored zeros; not to be changed later."""
        self.counts += np.bincount(block.indices, minlength=len(self.counts))
        self._pending.append(block)
        if sum(pending.nnz for pending in self._pending) >= VALUES_PER_RUN:
            self._write_run()

    def _write_run(self) -> None:
        from scipy.sparse import vstack

        run = vstack(self._pending, format="csr").tocsc()
        self._pending = []
        self._runs.append((run.indptr, self._file.size))
        self._file.write(run.data.tobytes())

    def of(self, genes: np.ndarray) -> Iterator[np.ndarray]:
        """For each of ``genes``, ascending, its values float32 (cells that have one,)."""
        if self._pending:
            self._write_run()
        start = stop = 0
        for gene in genes.tolist():
            if gene >= stop:  # read a group of genes
                start, sizes = gene, np.cumsum(self.counts[gene:])
                size = int(np.searchsorted(sizes, VALUES_PER_GROUP, side="right"))
                stop = min(start + max(1, size), len(self.counts))
                group = [self._read(ends, offset, start, stop) for ends, offset in self._runs]
            parts = [
                values[ends[gene] - ends[start] : ends[gene + 1] - ends[start]]
                for (ends, _), values in zip(self._runs, group, strict=True)
            ]
            yield np.concatenate([np.empty(0, np.float32), *parts])

    def _read(self, ends: np.ndarray, offset: int, start: int, stop: int) -> np.ndarray:
        """Values of a run's genes from ``start`` to before ``stop``."""
        first, last = int(ends[start]) * VALUE_BYTES, int(ends[stop]) * VALUE_BYTES
        return np.frombuffer(self._file.read(last - first, offset + first), np.float32)


class ExpressionCoverage:
    """Which share of the expression of each input some genes carry; ``names`` are the inputs'."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._covered = np.zeros(len(names))
        self._total = np.zeros(len(names))

    def add(self, number: int, covered: float, total: float) -> None:
        """Cells of input ``number``: sums of normalised values, of the genes and of all genes."""
        self._covered[number] += covered
        self._total[number] += total

    @property
    def total(self) -> float:
        """Sum of all normalised values."""
        return float(self._total.sum())

    @property
    def by_input(self) -> dict[str, float]:
        """Share of each input in which anything is expressed."""
        pairs = zip(self.names, self._covered, self._total, strict=True)
        return {name: covered / total for name, covered, total in pairs if total}

    def __str__(self) -> str:
        """Such as ``61.0% (a.h5ad 98.2%, b.h5ad 40.1%) of the counts``."""
        share = f"{self._covered.sum() / max(self.total, 1e-9):.1%}"
        if len(self.names) > 1:
            parts = ", ".join(f"{name} {part:.1%}" for name, part in self.by_input.items())
            share += f" ({parts or 'nothing is expressed'})"
        return f"{share} of the counts"

    def check(self, min_share: float) -> None:
        """ScReaderError where an input's share is below ``min_share``, or all values are 0."""
        if not self.by_input:
            raise ScReaderError("all values of the selected cells are 0.", file=self.names[0])
        for name, share in self.by_input.items():
            if share < min_share:
                raise ScReaderError(
                    f"embedded genes carry only {share:.1%} of the counts "
                    f"(--min-mapped requires {min_share:.0%}).",
                    file=name,
                    remedy="Are the embeddings of this species, and is --gene-column right?",
                )
