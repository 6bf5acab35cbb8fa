"""Statistics of genes over cells, in one pass and bounded memory: medians, variances, coverage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from screader_lib.cells.formats.transpose import ScratchFile
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_SAMPLED = 20_000  # cells
MIN_CELLS = 3
UNIT = 2.0**-20  # sums are of whole units, hence exact: the same in any order of the cells
MIN_VARIANCE = 1e-6  # of the mean square; below it a gene counts as constant
VALUE_BYTES = np.dtype(np.float32).itemsize  # int32 takes as many
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


def sums_of(
    block: csr_matrix, members: np.ndarray | None = None
) -> tuple[np.ndarray, list[csr_matrix]]:
    """Of normalised values (cells, genes), each gene's cells and sums: log1p, its square, values.

    float64 (4, genes), sums in ``UNIT``; and, for each of the four, what the cells add that are
    not in a set of ``members``, boolean (sets, cells), as (sets, genes): few, where nearly all
    cells are in nearly all sets. Apart from :meth:`GeneStatistics.add` for several threads.
    """
    from scipy.sparse import csr_matrix as rows

    logs = np.log1p(block.data.astype(np.float64))
    terms = (logs, logs**2, block.data.astype(np.float64))
    units = (np.ones(len(logs)), *(np.round(each / UNIT) for each in terms))
    sums = np.stack([np.bincount(block.indices, each, block.shape[1]) for each in units])
    if members is None:
        return sums, []
    others = rows(~members, dtype=np.float64)
    matrices = (rows((each, block.indices, block.indptr), block.shape) for each in units)
    return sums, [others @ matrix for matrix in matrices]


class GeneStatistics:
    """Gathers, block by block, what the selection and ranking of genes need.

    ``members``, boolean (sets, all cells that come), are sets of cells that are measured each for
    itself; None: one set of all cells. Methods take the number of a set.
    """

    def __init__(self, genes: int, members: np.ndarray | None = None) -> None:
        self.members = members
        self._all_cells = 0
        self._all_sums = np.zeros((4, genes))
        self._of_others = np.zeros((4, self.sets, genes))  # of cells that are not in the set
        self._values = ValuesByGene(genes, with_cells=members is not None)

    @property
    def sets(self) -> int:
        """How many sets of cells are measured."""
        return 1 if self.members is None else len(self.members)

    def add(self, block: csr_matrix, sums: np.ndarray, of_others: list[csr_matrix]) -> None:
        """Take in positive normalised values, float32 (cells, genes), and their :func:`sums_of`.

        Cells come in the order of ``members``.
        """
        self._all_cells += block.shape[0]
        self._all_sums += sums
        for total, part in zip(self._of_others, of_others, strict=False):
            entries = part.tocoo()
            total[entries.row, entries.col] += entries.data
        self._values.add(block)

    def _cells(self, number: int) -> int:
        """How many cells a set has."""
        return self._all_cells if self.members is None else int(self.members[number].sum())

    def _sums(self, number: int) -> np.ndarray:
        """As of :func:`sums_of`, (4, genes) of a set; exact, as they are of whole units."""
        return self._all_sums - self._of_others[:, number]

    def means(self, number: int = 0) -> np.ndarray:
        """Mean normalised value of each gene in a set, zeros included, float32 (genes,)."""
        return (self._sums(number)[3] * UNIT / max(1, self._cells(number))).astype(np.float32)

    def detected(self, number: int = 0) -> np.ndarray:
        """How many cells of a set each gene was seen in, int64 (genes,)."""
        return self._sums(number)[0].astype(np.int64)

    def medians(self, genes: np.ndarray) -> np.ndarray:
        """Median of the non-zero normalised values of each of ``genes``, float32 (sets, genes).

        ``genes`` ascend; 0 for a gene that was never seen.
        """
        medians = np.zeros((self.sets, len(genes)), np.float32)
        for gene, (values, cells) in enumerate(self._values.of(genes)):
            for number in range(len(medians)):
                own = values if self.members is None else values[self.members[number, cells]]
                if len(own):
                    medians[number, gene] = np.median(own)
        return medians

    def excess_variances(self, number: int = 0) -> np.ndarray:
        """How much more each gene varies than genes of its mean do, float64 (genes,).

        The log variance of log1p of the normalised values, less its quadratic trend over the
        log mean; −inf for genes seen in fewer than ``MIN_CELLS`` cells.
        """
        cells, sums = self._cells(number), self._sums(number)
        mean, mean_square = sums[1:3] * UNIT / max(1, cells)
        variance = mean_square - mean**2
        seen = self.detected(number) >= min(MIN_CELLS, cells)
        usable = seen & (variance > MIN_VARIANCE * mean_square)
        excess = np.full(len(mean), -np.inf)
        if usable.any():
            log_mean, log_variance = np.log(mean[usable]), np.log(variance[usable])
            degree = min(2, len(np.unique(log_mean)) - 1)
            domain = [log_mean.min() - (not degree), log_mean.max() + (not degree)]  # no point
            trend = np.polynomial.Polynomial.fit(log_mean, log_variance, degree, domain)
            excess[usable] = log_variance - trend(log_mean)
        return excess

    def most_variable(self, count: int, number: int = 0) -> np.ndarray:
        """The ``count`` genes of largest excess variance in a set, ascending."""
        excess = self.excess_variances(number)
        order = np.argsort(-excess, kind="stable")[:count]
        return np.sort(order[np.isfinite(excess[order])])


class ValuesByGene:
    """Takes blocks of cells and gives the values of each gene, the cells in any order.

    Blocks are joined to runs of ``VALUES_PER_RUN``, whose values lie gene by gene in a temporary
    file, so that many or deep cells take disk instead of memory. ``with_cells``: the number of
    each value's cell, in the order of the cells, is kept too.
    """

    def __init__(self, genes: int, with_cells: bool = False) -> None:
        self.counts = np.zeros(genes, np.int64)
        self._pending: list[csr_matrix] = []
        self._runs: list[tuple[np.ndarray, int]] = []  # bounds of the genes, start in the file
        self._file = ScratchFile()
        self._cells = ScratchFile() if with_cells else None  # as the values, int32
        self._first = 0  # cell of the pending blocks

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
        if self._cells is not None:
            self._cells.write((run.indices + self._first).astype(np.int32).tobytes())
        self._first += run.shape[0]

    def of(self, genes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each of ``genes``, ascending, its values float32 and their cells int32 (values,).

        No cells unless :class:`ValuesByGene` is ``with_cells``.
        """
        if self._pending:
            self._write_run()
        start = stop = 0
        for gene in genes.tolist():
            if gene >= stop:  # read a group of genes
                start, sizes = gene, np.cumsum(self.counts[gene:])
                size = int(np.searchsorted(sizes, VALUES_PER_GROUP, side="right"))
                stop = min(start + max(1, size), len(self.counts))
                values = self._read(self._file, np.float32, start, stop)
                cells = self._read(self._cells, np.int32, start, stop)
            yield self._joined(values, gene, start), self._joined(cells, gene, start)

    def _joined(self, group: list[np.ndarray], gene: int, start: int) -> np.ndarray:
        """A gene's entries in all runs; ``group`` are those of the genes from ``start`` on."""
        parts = [
            entries[ends[gene] - ends[start] : ends[gene + 1] - ends[start]]
            for (ends, _), entries in zip(self._runs, group, strict=False)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def _read(
        self, file: ScratchFile | None, dtype: DTypeLike, start: int, stop: int
    ) -> list[np.ndarray]:
        """What each run has of the genes from ``start`` to before ``stop``; none without a file."""
        if file is None:
            return []
        return [
            np.frombuffer(
                file.read(
                    int(ends[stop] - ends[start]) * VALUE_BYTES,
                    offset + int(ends[start]) * VALUE_BYTES,
                ),
                dtype,
            )
            for ends, offset in self._runs
        ]


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
