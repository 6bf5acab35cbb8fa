"""Counts or log-normalised values: recognises which, and normalises both alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TARGET_SUM = 1e4
MAX_COUNT = 1e12
MIN_CELLS = 10
EQUAL_TOTALS = 1e-3
MAX_LOG = 20.0  # log1p of counts per ten thousand stays below 9.3, to base 2 below 13.3


def check_values(values: np.ndarray, name: str) -> None:
    """ScReaderError for values (any shape) that are negative or not finite."""
    if not values.size:
        return
    lowest, highest = values.min(), values.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ScReaderError(
            "its matrix holds NaN or infinite values.", file=name, remedy="Use the raw counts."
        )
    if highest > MAX_COUNT:
        raise ScReaderError(
            f"its matrix holds values above {MAX_COUNT:g}, too large for counts.",
            file=name,
            remedy="Use the raw counts.",
        )
    if lowest < 0:
        raise ScReaderError(
            "its matrix holds negative values, so it was scaled.",
            file=name,
            remedy="Use counts or log-normalised values, such as --layer raw.",
        )


def recognise(values: np.ndarray) -> str | None:
    """``counts`` (whole numbers), ``log`` (log1p of normalised counts) or ``other``.

    None where all values are 0.
    """
    if not values.any():
        return None
    if values.dtype.kind in "iu" or (values == np.round(values)).all():
        return "counts"
    return "log" if values.max() <= MAX_LOG else "other"


def _kind_with_equal_totals(block: csr_matrix) -> str:
    """The kind of values, if any, as which all cells have the same total; logs come first."""

    def same(kind: str) -> bool:
        totals = totals_of(block, kind)
        totals = totals[totals > 0]
        return len(totals) >= MIN_CELLS and float(np.ptp(totals)) < EQUAL_TOTALS * totals.max()

    return next((kind for kind in ("log", "log2", "counts") if same(kind)), "")


def detect_kind(blocks: Iterable[csr_matrix], requested: str, name: str) -> str:
    """``counts``, ``log`` or ``log2``: as ``requested``, or for ``auto`` by the first values.

    Base 2 is known by cells that add up to the same once it is undone; without such a sign logs
    are natural. ``counts`` where no block has a value. ScReaderError where they are neither.
    """
    if requested != "auto":
        return requested
    for block in blocks:
        check_values(block.data, name)
        kind = recognise(block.data)
        if kind == "other":
            raise _wrong_values("its values are neither whole counts nor log-normalised.", name)
        if kind == "log":
            equal = _kind_with_equal_totals(block)
            if equal == "counts":
                raise _wrong_values("its values were normalised but not log-transformed.", name)
            return equal or "log"
        if kind is not None:
            return kind
    return "counts"


def check_kind(values: np.ndarray, kind: str, requested: str, name: str) -> None:
    """ScReaderError for values that cannot be of the ``kind`` that the first were."""
    check_values(values, name)
    if kind != "counts" and values.size and values.max() > MAX_LOG:
        raise _wrong_values(f"some of its values are above {MAX_LOG:g}, too large for logs.", name)
    if requested == "auto" and kind == "counts" and recognise(values) not in ("counts", None):
        raise _wrong_values("some of its cells have whole counts, others fractions.", name)


def _wrong_values(what: str, name: str) -> ScReaderError:
    remedy = "Use --values counts if they are counts all the same."
    return ScReaderError(what, file=name, remedy=remedy)


def totals_of(block: csr_matrix, kind: str) -> np.ndarray:
    """Sum of each cell's values, float64 (cells,); of logs once they are undone."""
    totals = np.zeros(block.shape[0])
    filled = np.flatnonzero(np.diff(block.indptr))
    if len(filled):
        totals[filled] = np.add.reduceat(
            _without_log(block.data, kind), block.indptr[filled], dtype=np.float64
        )
    return totals


def _without_log(values: np.ndarray, kind: str) -> np.ndarray:
    """Values without the logarithm of one plus each."""
    if kind == "counts":
        return values
    natural = values.astype(np.float64)
    return np.expm1(natural * np.log(2) if kind == "log2" else natural)


def rescaled(values: np.ndarray, cells: np.ndarray, totals: np.ndarray, kind: str) -> np.ndarray:
    """Values per ``TARGET_SUM`` of their cell, float32 (values,).

    ``cells`` (values,) are the values' own; logs are undone first.
    """
    values = _without_log(values, kind)
    scale = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
    return (values * scale[cells]).astype(np.float32)
