"""Cells to padded batches of like length.

Padding goes to the right, after the token that is read, so causal attention needs no mask and a
cell's result does not depend on the cells beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import filter_genes


@dataclass(frozen=True)
class Batch:
    """``rows`` (cells,): numbers in the file; ``genes`` int32, ``weights`` float32 (cells, width).

    ``genes`` is −1 after a cell's last gene; ``width`` is the longest cell's length, at least 1.
    """

    rows: np.ndarray
    genes: np.ndarray
    weights: np.ndarray


def read_batch(cells: CellSequences, rows: np.ndarray) -> Batch:
    """The numbered cells, cut to the longest of them."""
    width = max(1, int(cells.lengths[rows].max()))
    genes, weights = cells.rows(rows)
    return Batch(rows, genes[:, :width], weights[:, :width])


def split_by_length(
    rows: np.ndarray, lengths: np.ndarray, most_tokens: int, extra: int = 0
) -> Iterator[np.ndarray]:
    """Cut ``rows`` into groups of like length, each of at most ``most_tokens`` padded tokens.

    ``lengths`` (rows,) are in the order of ``rows``; ``extra`` tokens are added to every cell.
    A cell that is too long on its own is a group of its own.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    for stop in range(1, len(order) + 1):
        if stop < len(order):
            tokens = (stop + 1 - start) * (int(lengths[order[stop]]) + extra)
            if tokens <= most_tokens:
                continue
        yield rows[order[start:stop]]
        start = stop


def without(batch: Batch, read: np.ndarray) -> Batch:
    """The batch with only the ranks that are ``read``; each cell's first gene stays."""
    read = read[:, : batch.genes.shape[1]].copy()
    read[:, 0] = True
    return Batch(batch.rows, *filter_genes(batch.genes, batch.weights, lambda _: read))
