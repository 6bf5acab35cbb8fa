"""Counts or logarithms: detected from the values, and checked in all cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from screader_lib.cells.normalisation import check_kind, detect_kind, rescaled, totals_of
from screader_lib.errors import ScReaderError


def block(*values: float) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array([values], np.float32))


def normalised(block: sparse.csr_matrix, kind: str) -> tuple[sparse.csr_matrix, np.ndarray]:
    """All values of a block per ten thousand, and the cells' totals."""
    totals = totals_of(block, kind)
    cells = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    data = rescaled(block.data, cells, totals, kind)
    return sparse.csr_matrix((data, block.indices, block.indptr), shape=block.shape), totals


EMPTY, COUNTS, LOGS, LARGE = block(0, 0), block(3, 1), block(1.5, 0.7), block(25.5, 3.1)


@pytest.mark.parametrize(
    ("requested", "blocks", "kind"),
    [
        ("auto", [COUNTS, EMPTY, COUNTS], "counts"),
        ("auto", [LOGS, EMPTY, LOGS], "log"),
        ("auto", [EMPTY, LOGS], "log"),
        ("auto", [EMPTY, EMPTY], "counts"),
        ("counts", [LARGE, LOGS], "counts"),
        ("log", [COUNTS, LOGS], "log"),
    ],
)
def test_kind(requested: str, blocks: list[sparse.csr_matrix], kind: str) -> None:
    assert kind_of(requested, blocks) == kind


def kind_of(requested: str, blocks: list[sparse.csr_matrix]) -> str:
    kind = detect_kind(blocks, requested, "file")
    for entry in blocks:
        check_kind(entry.data, kind, requested, "file")
    return kind


@pytest.mark.parametrize(
    ("requested", "blocks", "message"),
    [
        ("auto", [LARGE], "neither"),
        ("auto", [COUNTS, LOGS], "others fractions"),
        ("auto", [LOGS, LARGE], "too large"),
        ("log", [block(800.0)], "too large"),
        ("counts", [block(-1.0)], "negative"),
        ("auto", [COUNTS, block(np.nan)], "NaN"),
        ("log", [block(np.inf)], "infinite"),
    ],
)
def test_refused(requested: str, blocks: list[sparse.csr_matrix], message: str) -> None:
    with pytest.raises(ScReaderError, match=message):
        kind_of(requested, blocks)


def test_values_that_were_normalised_without_logs() -> None:
    counts = np.random.default_rng(0).poisson(2.0, (30, 12)) + 0.0
    shares = counts / counts.sum(1, keepdims=True)
    logs = np.log1p(shares * 1e4)
    assert kind_of("auto", [sparse.csr_matrix(logs)]) == "log"
    assert kind_of("auto", [sparse.csr_matrix(logs[:, :1] * 0 + 9.21034)]) == "log"  # one gene
    assert kind_of("auto", [sparse.csr_matrix(logs / np.log(2))]) == "log2"
    assert kind_of("auto", [sparse.csr_matrix(logs[:, 1:] / np.log(2))]) == "log"  # no sign of it
    with pytest.raises(ScReaderError, match="not log-transformed"):
        kind_of("auto", [EMPTY, sparse.csr_matrix(shares)])
    assert kind_of("counts", [sparse.csr_matrix(shares)]) == "counts"


def test_whole_numbers_need_no_look_at_each() -> None:
    assert detect_kind([sparse.csr_matrix(np.array([[2, 0, 300]]))], "auto", "file") == "counts"


@pytest.mark.parametrize(
    ("kind", "taken"),
    [("log", np.log1p), ("log2", lambda values: np.log2(values + 1))],
    ids=["natural", "base-2"],
)
def test_logarithms_are_taken_back(kind: str, taken: Callable[[np.ndarray], np.ndarray]) -> None:
    counts = np.array([[5.0, 3, 0, 2], [0, 0, 0, 0], [1, 0, 0, 0]])
    scaled = counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4
    back, totals = normalised(sparse.csr_matrix(taken(scaled)), kind)
    assert back.toarray() == pytest.approx(scaled, rel=1e-6)
    assert totals == pytest.approx([1e4, 0, 1e4])
