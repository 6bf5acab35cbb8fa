"""Counts, normalised values or their logarithms: recognises which, and normalises all alike."""

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
NO_LOG = ("counts", "tpm")
BASES = {"log": float(np.e), "log2": 2.0, "log10": 10.0}
MAX_LOG = 18.5  # natural: log1p of 1e8
LARGEST_TARGET = 1e6 * (1 + EQUAL_TOTALS)  # cells are normalised to a million at most
KIND_NAMES = {
    "counts": "raw counts",
    "tpm": "normalised without a logarithm",
    "log": "log1p-normalised",
    "log2": "log2-normalised",
    "log10": "log10-normalised",
}
WHOLE_TRANSCRIPTOME = 10_000  # genes; logs of so many add up to much the same in every cell
MAX_SPAN = 10.0  # of the 95th to the 5th percentile of such totals


class WrongValues(ScReaderError):
    """Values that are no expression, or of no known kind; another matrix may be."""


def check_values(values: np.ndarray, name: str) -> None:
    """ScReaderError for values (any shape) that are negative or not finite."""
    if not values.size:
        return
    lowest, highest = values.min(), values.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise WrongValues(
            "its matrix holds NaN or infinite values.", file=name, remedy="Use the raw counts."
        )
    if highest > MAX_COUNT:
        raise WrongValues(
            f"its matrix holds values above {MAX_COUNT:g}, too large for counts.",
            file=name,
            remedy="Use the raw counts.",
        )
    if lowest < 0:
        raise WrongValues(
            "its matrix holds negative values, so it was scaled.",
            file=name,
            remedy="Use counts or log-normalised values.",
        )


def recognise(values: np.ndarray) -> str | None:
    """``counts`` (whole numbers), ``log`` (not above any logarithm) or ``other``.

    None where all values are 0.
    """
    if not values.any():
        return None
    if values.dtype.kind in "iu" or (values == np.round(values)).all():
        return "counts"
    return "log" if values.max() <= _largest("log2") else "other"


def _largest(kind: str) -> float:
    """The largest value that logs of a base have."""
    return MAX_LOG / float(np.log(BASES[kind]))


def has_equal_totals(block: csr_matrix, kind: str) -> bool:
    """Whether cells, ``MIN_CELLS`` at least, have the same total once values of a kind are undone.

    Values too large for logs of that kind have not.
    """
    if kind in BASES and block.data.max(initial=0) > _largest(kind):
        return False
    totals = totals_of(block, kind)
    totals = totals[totals > 0]
    return len(totals) >= MIN_CELLS and float(np.ptp(totals)) < EQUAL_TOTALS * totals.max()


def first_values(blocks: Iterable[csr_matrix]) -> csr_matrix | None:
    """The first block with a value other than 0, None where there is none."""
    return next((block for block in blocks if block.data.any()), None)


def detect_kind(block: csr_matrix | None, requested: str, name: str, base: float = 0.0) -> str:
    """``counts``, ``tpm``, ``log``, ``log2`` or ``log10``: as ``requested``, or for ``auto`` by a
    ``block`` of values, None where all are 0.

    Fractions whose cells add up to the same, as they are or once a logarithm is undone, are known
    by that. Other logs are of the ``base`` that the file states, natural where it states none (0).
    ScReaderError where values are neither, or may be either.
    """
    if block is not None:
        check_values(block.data, name)
    if requested != "auto":
        return requested
    if block is None or recognise(block.data) == "counts":
        return "counts"
    for kind in (*BASES, "tpm"):
        if has_equal_totals(block, kind):
            return kind
    largest = float(block.data.max())
    stated = [
        kind for kind, value in BASES.items() if base and abs(base / value - 1) < EQUAL_TOTALS
    ]
    if base and not stated:
        raise _wrong_values(f"its logarithms are to base {base:g} (uns/log1p/base).", name)
    kind = stated[0] if stated else "log"
    if largest > _largest(kind):
        what = "no logarithm" if largest > _largest("log2") else "no natural logarithm"
        raise _wrong_values(f"it has fractions up to {largest:,.4g}, which are {what}.", name)
    _check_totals(block, kind, name)
    return kind


def _check_totals(block: csr_matrix, kind: str, name: str) -> None:
    """ScReaderError where cells add up to too much or too differently for logs."""
    totals = totals_of(block, kind)
    totals = totals[totals > 0]
    low, high = np.percentile(totals, (5, 95))
    whole = block.shape[1] >= WHOLE_TRANSCRIPTOME or high > TARGET_SUM * (1 + EQUAL_TOTALS)
    if totals.max() > LARGEST_TARGET or (whole and high > MAX_SPAN * low):
        raise _wrong_values(
            "its values are fractions, but not logarithms: undone, its cells would add up to "
            f"{totals.min():,.0f} to {totals.max():,.3g}.",
            name,
        )


def choose_normalisation(block: csr_matrix | None, kind: str, requested: str) -> str:
    """``totals``, ``reader`` or ``none``: as ``requested``, or for ``auto`` what fits the values.

    Logs stay as given where they were normalised over more genes than ``block`` has: their cells'
    totals differ, and none is above ``TARGET_SUM``. ``none`` is for logs alone. Both are measured
    in benchmarks/normalisation.md.
    """
    if requested in ("totals", "reader") or kind in NO_LOG or block is None:
        return "reader" if requested == "reader" else "totals"
    return "none" if requested == "none" or _is_part(block, kind) else "totals"


def _is_part(block: csr_matrix, kind: str) -> bool:
    """Whether logs are of a part of the genes over which they were normalised."""
    if block.shape[1] >= WHOLE_TRANSCRIPTOME or has_equal_totals(block, kind):
        return False
    totals = totals_of(block, kind)
    ratios = totals[totals > 0] / TARGET_SUM - 1
    return bool(ratios.max() <= EQUAL_TOTALS and ratios.min() < -EQUAL_TOTALS)


def check_kind(values: np.ndarray, kind: str, requested: str, name: str) -> None:
    """ScReaderError for values that cannot be of the ``kind`` that the first were."""
    check_values(values, name)
    if kind in BASES and values.size and values.max() > _largest(kind):
        raise _wrong_values(
            f"some of its values are above {_largest(kind):.3g}, too large for {KIND_NAMES[kind]}.",
            name,
        )
    if requested == "auto" and kind == "counts" and recognise(values) not in ("counts", None):
        raise _wrong_values("some of its cells have whole counts, others fractions.", name)


def _wrong_values(what: str, name: str) -> WrongValues:
    remedy = "Name them with --values: counts, tpm (normalised, no logarithm), log, log2 or log10."
    return WrongValues(what, file=name, remedy=remedy)


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
    if kind in NO_LOG:
        return values
    return np.expm1(values.astype(np.float64) * np.log(BASES[kind]))


def scales(totals: np.ndarray, target: float | None) -> np.ndarray:
    """What brings each cell's total to the ``target``, float64 (cells,); 0 for an empty cell.

    None leaves the values as they are.
    """
    if target is None:
        return np.ones(len(totals))
    return np.divide(target, totals, out=np.zeros_like(totals), where=totals > 0)


def rescaled(values: np.ndarray, cells: np.ndarray, scale: np.ndarray, kind: str) -> np.ndarray:
    """Values, their logarithm undone, times the ``scale`` (cells,) of their cell; float32.

    ``cells`` (values,) are the values' own.
    """
    return (_without_log(values, kind) * scale[cells]).astype(np.float32)
