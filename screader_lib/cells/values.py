"""Counts or log-normalised values: recognise which, and bring both to one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TARGET_SUM = 1e4
LARGEST_LOG = 20.0  # log1p of counts per ten thousand stays below 9.3


def check_values(block: csr_matrix, name: str) -> None:
    """ScReaderError for values that are negative or not finite."""
    if not np.isfinite(block.data).all():
        raise ScReaderError(
            "its matrix holds NaN or infinite values.", file=name, remedy="Use the raw counts."
        )
    if block.nnz and block.data.min() < 0:
        raise ScReaderError(
            "its matrix holds negative values, so it was scaled.",
            file=name,
            remedy="Use counts or log-normalised values: --layer raw, or another layer.",
        )


def recognise(block: csr_matrix, name: str) -> str:
    """``counts`` (whole numbers) or ``log`` (log1p of normalised counts), from one block."""
    check_values(block, name)
    if not block.nnz or (block.data == np.round(block.data)).all():
        return "counts"
    if block.data.max() <= LARGEST_LOG:
        return "log"
    raise ScReaderError(
        "its values are neither whole counts nor log-normalised.",
        file=name,
        remedy="Tell with --values counts if they are counts all the same.",
    )


def normalised(block: csr_matrix, kind: str) -> tuple[csr_matrix, np.ndarray]:
    """Values per ``TARGET_SUM`` of the cell, float32 (cells, genes), and the totals (cells,).

    ``log`` values are taken back by expm1 first. A cell without values stays empty.
    """
    from scipy.sparse import csr_matrix as rows

    data = block.data.astype(np.float64)
    if kind == "log":
        data = np.expm1(data)
    lengths = np.diff(block.indptr)
    owner = np.repeat(np.arange(block.shape[0]), lengths)
    totals = np.bincount(owner, weights=data, minlength=block.shape[0]).astype(np.float64)
    scale = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
    data = (data * scale[owner]).astype(np.float32)
    return rows((data, block.indices, block.indptr), shape=block.shape), totals
