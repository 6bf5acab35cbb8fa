"""Cells in batches: of similar length, small enough for the memory, each process its share.

Padding goes to the right, after the token that is read, so causal attention needs no mask and a
cell's result does not depend on the cells beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import filter_genes
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.machine import SINGLE_PROCESS, Processes
from screader_lib.reporting import SILENT, Reporter

Result = TypeVar("Result")


@dataclass
class BatchRunner:
    """Runs a computation over cells in batches of at most ``max_tokens`` padded tokens.

    ``max_tokens`` is lowered when the memory runs out after all; ``planned_tokens`` stays, so
    that all processes cut cells into the same batches. Each cell has ``extra_tokens`` beside its
    genes. ``in_step``: all processes compute equally often, as those must that share an LLM's
    layers.
    """

    max_tokens: int
    extra_tokens: int = 0
    processes: Processes = SINGLE_PROCESS
    in_step: bool = False
    reporter: Reporter = SILENT

    def __post_init__(self) -> None:
        self.planned_tokens = self.max_tokens

    def map(
        self, lengths: np.ndarray, compute: Callable[[np.ndarray], Result]
    ) -> Iterator[tuple[np.ndarray, Result]]:
        """Yield the indices int64 of each batch and ``compute(indices)``.

        ``lengths`` (cells,) are numbers of genes; indices are positions among them. With several
        processes, this one has only its share of the batches. A batch for which the memory does
        not suffice is computed again in parts; ``compute`` must leave nothing behind when it
        fails. ScReaderError where not even one cell fits.
        """
        batches = split_by_length(lengths, self.planned_tokens, self.extra_tokens)
        for indices, counts in self.processes.share(batches, self.in_step):
            if counts:
                yield from self._compute_in_parts(indices, lengths, compute)
            else:
                compute(indices[:1])  # only to keep step with the other processes

    def _compute_in_parts(
        self, indices: np.ndarray, lengths: np.ndarray, compute: Callable[[np.ndarray], Result]
    ) -> Iterator[tuple[np.ndarray, Result]]:
        width = max(1, int(lengths[indices].max()) + self.extra_tokens)
        waiting = [indices]
        while waiting:
            part = waiting.pop()
            max_cells = max(1, self.max_tokens // width)
            if len(part) > max_cells and self.max_tokens < self.planned_tokens:
                waiting += [part[max_cells:], part[:max_cells]]
                continue
            try:
                yield part, compute(part)
                continue
            except RuntimeError as error:
                on_cpu = "can't allocate memory" in str(error)  # as torch's allocator says there
                if not isinstance(error, torch.OutOfMemoryError) and not on_cpu:
                    raise
            # Outside the except clause, so that the error no longer holds the failed tensors.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if len(part) == 1:
                raise ScReaderError(
                    "out of memory with a single cell.",
                    remedy="Use --checkpoint-activations all, --quantize 8bit, fewer "
                    "--genes-per-cell or a larger device.",
                )
            self.max_tokens = (len(part) // 2) * width
            self.reporter.warning(
                f"out of memory with a batch of {len(part)} cells; continuing with at most "
                f"{self.max_tokens:,} tokens per batch."
            )
            waiting.append(part)


def split_by_length(
    lengths: np.ndarray, max_tokens: int, extra_tokens: int = 0
) -> Iterator[np.ndarray]:
    """Indices of cells of similar length, in batches of at most ``max_tokens`` padded tokens.

    ``lengths`` (cells,); ``extra_tokens`` are added to each. A cell that is too long on its own
    is a batch of its own.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    for stop in range(1, len(order) + 1):
        if stop < len(order):
            tokens = (stop + 1 - start) * (int(lengths[order[stop]]) + extra_tokens)
            if tokens <= max_tokens:
                continue
        yield order[start:stop]
        start = stop


def read_sequences(cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Genes int32 and weights float32 (cells, width) of ``rows``, cut to the longest cell."""
    width = max(1, int(cells.lengths[rows].max()))
    genes, weights = cells.rows(rows)
    return genes[:, :width], weights[:, :width]


def drop_genes(
    genes: np.ndarray, weights: np.ndarray, is_read: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences with only the ranks that ``is_read``, and each cell's first gene."""
    is_read = is_read[:, : genes.shape[1]].copy()
    is_read[:, 0] = True
    return filter_genes(genes, weights, lambda _: is_read)
