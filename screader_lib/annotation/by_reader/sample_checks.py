"""Whether a sample is one that a reader can call: its genes, its tissue, its familiarity."""

from __future__ import annotations

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.task import row_blocks
from screader_lib.reporting import Reporter

MIN_GENES = 20  # of the reader's, below which a sample is refused
MIN_CELLS_TO_JUDGE, MIN_GENES_TO_JUDGE = 20, 50  # whether it is of another tissue
MOST_CELLS_TO_JUDGE, RUN = 2_000, 50  # a sample, in evenly spaced runs
MIN_AGREEMENT = 0.55  # with the training cells' mean expression; see benchmarks/annotate.md
MIN_FAMILIARITY = 0.005  # of the median cell, below which a sample is doubtful


def few_genes(share: float, stored: StoredReader, name: str) -> str:
    """What is wrong where the sample has so small a ``share`` of the reader's genes; "" if not."""
    total = len(stored.genes.ids)
    found = round(share * total)
    if found >= min(MIN_GENES, total / 2):
        return ""
    return (
        f"has only {found:,} of the {total:,} genes of {name}: another species (see --orthologs), "
        "or --gene-column is wrong?"
    )


class MeanExpression:
    """The mean expression of some of the cells, beside that of the training cells.

    What is added of each block of cells is what :meth:`part` gives, in the cells' order.
    """

    def __init__(self, stored: StoredReader, cells: CellSequences) -> None:
        self.profiles, self.cells = stored.profiles, cells
        count = len(cells)
        runs = np.linspace(0, max(0, count - RUN), MOST_CELLS_TO_JUDGE // RUN).astype(np.int64)
        rows = np.unique((runs[:, None] + np.arange(RUN)).clip(max=count - 1))
        self.rows = rows[: len(rows) if count >= MIN_CELLS_TO_JUDGE else 0]
        self.total = np.zeros(len(stored.genes.ids))
        if self.profiles is not None:
            self.columns = self.profiles.columns_of(cells.genes.index)

    def part(self, rows: np.ndarray) -> np.ndarray | None:
        """The sums of weights, float (genes,), of those of the adjacent ``rows`` that count."""
        own = slice(*np.searchsorted(self.rows, [rows[0], rows[-1] + 1]).tolist())
        if self.profiles is None or own.start == own.stop:
            return None
        return self.profiles.weights(self.cells, self.rows[own], self.columns).sum(0).A1

    def add(self, part: np.ndarray | None) -> None:
        """The next part."""
        if part is not None:
            self.total += part

    def add_all(self) -> None:
        """The parts of all cells."""
        for some in row_blocks(self.rows):
            self.add(self.part(some))

    def other_tissue(self, name: str) -> str:
        """What is wrong where the expression is that of another tissue; "" if it is not."""
        if self.profiles is None or not len(self.rows):
            return ""
        present = self.profiles.present(self.columns, self.cells.genes_in_input)
        agreement = self.profiles.agreement(self.total / len(self.rows), present)
        if agreement >= MIN_AGREEMENT or present.sum() < MIN_GENES_TO_JUDGE:
            return ""
        return (
            f"its mean expression differs from that of the cells that {name} was trained on (rank "
            f"correlation {agreement:.2f}, at least {MIN_AGREEMENT:g} is expected): another tissue?"
        )


def are_unfamiliar(familiarity: np.ndarray, name: str, reporter: Reporter) -> bool:
    """Whether these cells are too unfamiliar as a whole for their labels to be trusted."""
    if len(familiarity) < MIN_CELLS_TO_JUDGE or np.median(familiarity) >= MIN_FAMILIARITY:
        return False
    reporter.warning(
        f"{name}: half of its cells are less familiar to the reader than "
        f"{1 - MIN_FAMILIARITY:.1%} of its calibration cells; is this the right reader? Its "
        "labels are marked as doubtful."
    )
    return True
