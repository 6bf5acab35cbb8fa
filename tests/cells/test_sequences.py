"""Ranking, weights and medians against a small, obvious reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse
from test_normalisation import normalised

from screader_lib.cells import sequences
from screader_lib.cells.sequences import Construction, map_genes, rank_genes
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


@settings(max_examples=40, deadline=None)
@given(table=COUNTS)
def test_both_ways_to_sort_give_the_same(table: np.ndarray) -> None:
    values, _ = normalised(sparse.csr_matrix(table), "counts")
    arguments = values.data, values.indices, np.diff(values.indptr)
    order = sequences._rank_order(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "SIXTEEN_BITS", 0)
        assert sequences._rank_order(*arguments).tolist() == order.tolist()


def test_genes_that_share_a_column_are_added_and_unmapped_ones_dropped() -> None:
    block = sparse.csr_matrix(np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 3.0, 0.0]]))
    result = map_genes(block, np.array([1, -1, 0, 1]), 2)
    assert result.toarray().tolist() == [[4.0, 9.0], [3.0, 0.0]]
