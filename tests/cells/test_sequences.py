"""Counts and logarithms told apart, ranking, weights and medians against an obvious reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from screader_lib.cells import normalisation, sequences
from screader_lib.cells.normalisation import (
    MAX_LOG,
    check_kind,
    choose_normalisation,
    detect_kind,
    first_values,
    rescaled,
    scales,
    totals_of,
)
from screader_lib.cells.sequences import (
    Construction,
    map_genes,
    rank_genes,
    sequence_weights,
    weight_matrix,
)
from screader_lib.errors import ScReaderError
from screader_lib.option_values import RANKINGS, WEIGHTS

COUNTS = arrays.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 8)),
                       elements=st.integers(0, 5))  # fmt: skip


def reference(
    row: np.ndarray, medians: np.ndarray, construction: Construction, counts: np.ndarray
) -> list[tuple]:
    """One cell, gene by gene."""
    entries = []
    for gene, value in enumerate(row):
        if value > 0:
            ratio = value / (medians[gene] or 1)
            score = ratio if construction.rank_by == "median-ratio" else value
            entries.append((-score, gene, value, ratio))
    entries = sorted(entries)[: construction.genes_per_cell]
    weight_on = {
        "log": lambda value, ratio, rank: np.log1p(value),
        "median-ratio": lambda value, ratio, rank: ratio,
        "normalised": lambda value, ratio, rank: value,
        "rank": lambda value, ratio, rank: 1 / (1 + rank),
        "none": lambda value, ratio, rank: 1.0,
    }
    if construction.weight == "expression":
        return [(gene, counts[gene]) for _, gene, _, _ in entries]
    return [
        (gene, weight_on[construction.weight](value, ratio, rank))
        for rank, (_, gene, value, ratio) in enumerate(entries)
    ]


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.sampled_from(RANKINGS), st.sampled_from(WEIGHTS), st.integers(1, 8))
def test_equals_reference(table: np.ndarray, rank_by: str, weight: str, k: int) -> None:
    raw = sparse.csr_matrix(table)
    values, _ = normalised(raw, "counts")
    dense = values.toarray()
    medians = np.array(
        [np.median(column[column > 0]) if (column > 0).any() else 0 for column in dense.T],
        np.float32,
    )
    construction = Construction(genes_per_cell=k, rank_by=rank_by, weight=weight)
    counts = raw.data if construction.needs_counts else None
    genes, weights = rank_genes(values, medians, construction, counts)
    assert genes.dtype == np.int32 and weights.dtype == np.float32
    assert genes.shape == (len(table), min(k, (dense > 0).sum(1).max()))
    for row, whole, index, weight_row in zip(dense, table, genes, weights, strict=True):
        expected = reference(row, medians, construction, whole)
        assert index[: len(expected)].tolist() == [gene for gene, _ in expected]
        assert weight_row[: len(expected)] == pytest.approx([w for _, w in expected], rel=1e-5)
        assert (index[len(expected) :] == -1).all() and (weight_row[len(expected) :] == 0).all()
    unordered = sequence_weights(values, medians, construction, counts)
    assert unordered.dtype == np.float32
    assert (unordered != weight_matrix(genes, weights, table.shape[1])).nnz == 0


@settings(max_examples=40, deadline=None)
@given(table=COUNTS)
def test_both_ways_to_sort_give_the_same(table: np.ndarray) -> None:
    values, _ = normalised(sparse.csr_matrix(table), "counts")
    arguments = values.data, values.indices, np.diff(values.indptr)
    order = sequences.falling_order(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "SIXTEEN_BITS", 0)
        assert sequences.falling_order(*arguments).tolist() == order.tolist()


def test_genes_that_share_a_column_are_added_and_unmapped_ones_dropped() -> None:
    block = sparse.csr_matrix(np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 3.0, 0.0]]))
    result = map_genes(block, np.array([1, -1, 0, 1]), 2)
    assert result.toarray().tolist() == [[4.0, 9.0], [3.0, 0.0]]


def block(*values: float) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array([values], np.float32))


def normalised(block: sparse.csr_matrix, kind: str) -> tuple[sparse.csr_matrix, np.ndarray]:
    """All values of a block per ten thousand, and the cells' totals."""
    totals = totals_of(block, kind)
    cells = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    data = rescaled(block.data, cells, scales(totals, 1e4), kind)
    return sparse.csr_matrix((data, block.indices, block.indptr), shape=block.shape), totals


EMPTY, COUNTS, LOGS, LARGE = block(0, 0), block(3, 1), block(1.5, 0.7), block(27.5, 3.1)


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


def kind_of(requested: str, blocks: list[sparse.csr_matrix], base: float = 0.0) -> str:
    kind = detect_kind(first_values(blocks), requested, "file", base)
    for entry in blocks:
        check_kind(entry.data, kind, requested, "file")
    return kind


@pytest.mark.parametrize(
    ("requested", "blocks", "message"),
    [
        ("auto", [LARGE], "fractions up to 27.5, which are no logarithm.*--values"),
        ("auto", [block(19.5, 3.1)], "which are no natural logarithm.*--values"),
        ("auto", [LOGS, block(19.5)], "above 18.5"),
        ("log10", [block(8.5)], "above 8.03"),
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
    assert kind_of("auto", [sparse.csr_matrix(logs / np.log(10))]) == "log10"
    for kind, base in (("log", 0.0), ("log2", 2.0), ("log10", 10.0)):  # the base that it states
        part = sparse.csr_matrix(logs[:, 1:] / np.log(base or np.e))
        assert kind_of("auto", [part], base) == kind
    with pytest.raises(ScReaderError, match="base 3 "):
        kind_of("auto", [part], 3.0)
    deep = sparse.csr_matrix(np.log2(1 + shares * 1e6))  # up to 20
    assert kind_of("auto", [deep]) == "log2"
    assert kind_of("auto", [EMPTY, sparse.csr_matrix(shares)]) == "tpm"
    assert kind_of("auto", [sparse.csr_matrix(shares * 1e6)]) == "tpm"
    with pytest.raises(ScReaderError, match="--values: counts, tpm"):
        kind_of("auto", [sparse.csr_matrix(counts * np.linspace(100.01, 200, 12))])  # RPKM
    assert kind_of("counts", [sparse.csr_matrix(shares)]) == "counts"
    assert kind_of("auto", [sparse.csr_matrix(np.array([[2, 0, 300]]))]) == "counts"


@pytest.mark.parametrize(
    ("kind", "genes", "whole", "expected"),
    [
        ("counts", 8, 20, "totals"),
        ("log", 12, 20, "totals"),  # all genes over which they were normalised
        ("log", 8, 20, "none"),  # a part of them
        ("log2", 8, 20, "none"),
        ("log", 8, 8, "totals"),  # a transcriptome, though its totals differ
    ],
)
def test_what_auto_chooses(
    kind: str, genes: int, whole: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts of 12 genes; ``whole`` is how many make a transcriptome."""
    monkeypatch.setattr(normalisation, "WHOLE_TRANSCRIPTOME", whole)
    values = np.random.default_rng(0).poisson(2.0, (30, 12)) + 1.0
    if kind != "counts":
        values = np.log1p(values / values.sum(1, keepdims=True) * 1e4)
        values /= np.log(2) if kind == "log2" else 1
    panel = sparse.csr_matrix(values[:, :genes])
    assert choose_normalisation(panel, kind, "auto") == expected
    assert choose_normalisation(panel, kind, "totals") == "totals"
    assert choose_normalisation(panel, kind, "reader") == "reader"
    asked = choose_normalisation(panel, kind, "none")
    assert asked == ("totals" if kind == "counts" else "none")


def test_fractional_counts_are_no_logarithms() -> None:
    random = np.random.default_rng(0)
    depth = random.lognormal(0, 1, (40, 1))
    fractions = np.minimum(random.poisson(depth * random.gamma(0.3, 4, 50)), 24) * 0.73
    assert fractions.max() < MAX_LOG
    with pytest.raises(ScReaderError, match=r"not logarithms: undone, .*--values"):
        kind_of("auto", [sparse.csr_matrix(fractions)])
    assert kind_of("counts", [sparse.csr_matrix(fractions)]) == "counts"
    assert kind_of("log", [sparse.csr_matrix(fractions)]) == "log"


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("log", np.log1p),
        ("log2", lambda values: np.log2(values + 1)),
        ("log10", lambda values: np.log10(values + 1)),
    ],
    ids=["natural", "base-2", "base-10"],
)
def test_logarithms_are_taken_back(kind: str, taken: Callable[[np.ndarray], np.ndarray]) -> None:
    counts = np.array([[5.0, 3, 0, 2], [0, 0, 0, 0], [1, 0, 0, 0]])
    scaled = counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4
    back, totals = normalised(sparse.csr_matrix(taken(scaled)), kind)
    assert back.toarray() == pytest.approx(scaled, rel=1e-6)
    assert totals == pytest.approx([1e4, 0, 1e4])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16])
def test_genes_that_are_added_up_do_not_overflow(dtype: type) -> None:
    most = np.iinfo(dtype).max
    block = sparse.csr_matrix(np.array([[most, most, 1]], dtype))
    assert map_genes(block, np.array([0, 0, 1]), 2).toarray().tolist() == [[2 * int(most), 1]]
