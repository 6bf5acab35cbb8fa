"""Counts or log-normalised values: recognise which, and bring both to one scale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TARGET_SUM = 1e4
LARGEST = 1e12
FEWEST_SUMS = 10
SAME_SUM = 1e-3
LARGEST_LOG = 20.0  # log1p of counts per ten thousand stays below 9.3, to base 2 below 13.3


def check_values(values: np.ndarray, name: str) -> None:
    """ScReaderError for values (any shape) that are negative or not finite."""
    if not values.size:
        return
    lowest, highest = values.min(), values.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ScReaderError(
            "its matrix holds NaN or infinite values.", file=name, remedy="Use the raw counts."
        )
    if highest > LARGEST:
        raise ScReaderError(
            f"its matrix holds values above {LARGEST:g}, which are no counts.",
            file=name,
            remedy="Use the raw counts.",
        )
    if lowest < 0:
        raise ScReaderError(
            "its matrix holds negative values, so it was scaled.",
            file=name,
            remedy="Use counts or log-normalised values: --layer raw, or another layer.",
        )


def recognise(values: np.ndarray) -> str | None:
    """``counts`` (whole numbers), ``log`` (log1p of normalised counts) or ``other``.

    None where there is no value to tell by.
    """
    if not values.any():
        return None
    if values.dtype.kind in "iu" or (values == np.round(values)).all():
        return "counts"
    return "log" if values.max() <= LARGEST_LOG else "other"


def _alike(block: csr_matrix) -> str:
    """As which kind, if any, cells add up to one and the same: as logs rather than as counts."""

    def same(kind: str) -> bool:
        totals = totals_of(block, kind)
        totals = totals[totals > 0]
        return len(totals) >= FEWEST_SUMS and float(np.ptp(totals)) < SAME_SUM * totals.max()

    return next((kind for kind in ("log", "log2", "counts") if same(kind)), "")


def kind_of(blocks: Iterable[csr_matrix], asked: str, name: str) -> str:
    """``counts``, ``log`` or ``log2``: as ``asked``, or for ``auto`` as the first values tell.

    Base 2 is known by cells that add up to the same once it is undone; without such a sign logs
    are natural. ``counts`` where no block has a value. ScReaderError where they are neither.
    """
    if asked != "auto":
        return asked
    for block in blocks:
        check_values(block.data, name)
        found = recognise(block.data)
        if found == "other":
            raise _refused("its values are neither whole counts nor log-normalised.", name)
        if found == "log":
            alike = _alike(block)
            if alike == "counts":
                raise _refused("the values of each cell add up alike, so no logs were taken.", name)
            return alike or "log"
        if found is not None:
            return found
    return "counts"


def check_kind(values: np.ndarray, kind: str, asked: str, name: str) -> None:
    """ScReaderError for values that cannot be of the ``kind`` that others were found to be."""
    check_values(values, name)
    if kind != "counts" and values.size and values.max() > LARGEST_LOG:
        raise _refused(f"some of its values are above {LARGEST_LOG:g}, too large for logs.", name)
    if asked == "auto" and kind == "counts" and recognise(values) not in ("counts", None):
        raise _refused("some of its cells have whole counts and others have fractions.", name)


def _refused(what: str, name: str) -> ScReaderError:
    remedy = "Tell with --values counts if they are counts all the same."
    return ScReaderError(what, file=name, remedy=remedy)


def totals_of(block: csr_matrix, kind: str) -> np.ndarray:
    """Sum of each cell's values, float64 (cells,); of logs once they are undone."""
    totals = np.zeros(block.shape[0])
    filled = np.flatnonzero(np.diff(block.indptr))
    if len(filled):
        totals[filled] = np.add.reduceat(
            _plain(block.data, kind), block.indptr[filled], dtype=np.float64
        )
    return totals


def _plain(values: np.ndarray, kind: str) -> np.ndarray:
    """Values without the logarithm of one plus each."""
    if kind == "counts":
        return values
    natural = values.astype(np.float64)
    return np.expm1(natural * np.log(2) if kind == "log2" else natural)


def scaled(values: np.ndarray, owner: np.ndarray, totals: np.ndarray, kind: str) -> np.ndarray:
    """Values per ``TARGET_SUM`` of their cell, float32 (values,).

    ``owner`` is each value's cell; logs are undone first.
    """
    plain = _plain(values, kind)
    scale = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
    return (plain * scale[owner]).astype(np.float32)


def normalised(block: csr_matrix, kind: str) -> tuple[csr_matrix, np.ndarray]:
    """All values of a block as :func:`scaled` has them, and the cells' totals."""
    from scipy.sparse import csr_matrix as rows

    totals = totals_of(block, kind)
    owner = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    data = scaled(block.data, owner, totals, kind)
    return rows((data, block.indices, block.indptr), shape=block.shape), totals
