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


def recognise(block: csr_matrix) -> str | None:
    """``counts`` (whole numbers), ``log`` (log1p of normalised counts) or ``other``.

    None where the block has no value to tell by.
    """
    if not block.data.any():
        return None
    if (block.data == np.round(block.data)).all():
        return "counts"
    return "log" if block.data.max() <= LARGEST_LOG else "other"


class ValueKind:
    """What the values of one source are, found at its first values; later ones have to agree.

    ``asked`` is ``auto``, ``counts`` or ``log``; ``known`` is None until there was a value.
    """

    def __init__(self, asked: str, name: str) -> None:
        self.name = name
        self.asked = asked
        self.known: str | None = None if asked == "auto" else asked

    def of(self, block: csr_matrix) -> str:
        """``counts`` or ``log``; ScReaderError where the block's values are neither."""
        check_values(block, self.name)
        found = recognise(block)
        if self.known is None:
            if found == "other":
                self._refuse("its values are neither whole counts nor log-normalised.")
            self.known = found
        elif self.known == "log" and block.nnz and block.data.max() > LARGEST_LOG:
            self._refuse(f"some of its values are above {LARGEST_LOG:g}, too large for logarithms.")
        elif self.asked == "auto" and self.known == "counts" and found not in ("counts", None):
            self._refuse("some of its cells have whole counts and others have fractions.")
        return self.known or "counts"

    def _refuse(self, what: str) -> None:
        remedy = "Tell with --values counts if they are counts all the same."
        raise ScReaderError(what, file=self.name, remedy=remedy)


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
