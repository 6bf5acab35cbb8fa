"""Ranking, weights and medians against a small, obvious reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse
from test_values import normalised

from screader_lib.cells import sequences as ways
from screader_lib.cells.gene_statistics import GeneStatistics, sampled_cells, sums_of
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


@settings(max_examples=60, deadline=None)
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
        wanted = reference(row, medians, construction, whole)
        assert index[: len(wanted)].tolist() == [gene for gene, _ in wanted]
        assert weight_row[: len(wanted)] == pytest.approx([w for _, w in wanted], rel=1e-5)
        assert (index[len(wanted) :] == -1).all() and (weight_row[len(wanted) :] == 0).all()


@pytest.mark.parametrize("filling", [0, 4, 10**6])
@settings(max_examples=40, deadline=None)
@given(table=COUNTS)
def test_every_way_to_sort_gives_the_same(filling: int, table: np.ndarray) -> None:
    values, _ = normalised(sparse.csr_matrix(table), "counts")
    score, lengths = values.data, np.diff(values.indptr)
    cells = np.repeat(np.arange(len(lengths)), lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways, "MAX_PADDING", filling)
        order = ways._rank_order(score, values.indices, lengths)
        assert order.tolist() == np.lexsort((values.indices, -score, cells)).tolist()
        patch.setattr(ways, "SIXTEEN_BITS", 0)
        assert ways._rank_order(score, values.indices, lengths).tolist() == order.tolist()


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.data())
def test_medians_and_variances_in_blocks_equal_those_at_once(
    table: np.ndarray, data: st.DataObject
) -> None:
    values, _ = normalised(sparse.csr_matrix(table), "counts")
    cut = data.draw(st.integers(0, len(table)))
    statistics = GeneStatistics(table.shape[1])
    for block in (values[:cut], values[cut:]):
        statistics.add(sums_of(block))
    picked = np.array(sorted(data.draw(st.sets(st.integers(0, table.shape[1] - 1), min_size=1))))
    medians = statistics.medians(picked)
    for number, column in enumerate(values.toarray().T[picked]):
        seen = column[column > 0]
        wanted = np.median(seen) if len(seen) else 0
        assert medians[number] == pytest.approx(wanted, rel=1e-6)
        assert statistics.detected[picked[number]] == len(seen)


def test_most_variable_genes_are_those_that_differ_between_cells() -> None:
    random = np.random.default_rng(0)
    table = random.poisson(np.geomspace(0.3, 20, 200), (300, 200)).astype(float)
    table[:, 70] = np.where(np.arange(300) % 2, 8, 0)
    table[:, 119] = np.where(np.arange(300) % 3, 12, 0)
    values, _ = normalised(sparse.csr_matrix(table), "counts")
    statistics = GeneStatistics(200)
    statistics.add(sums_of(values))
    assert statistics.most_variable(2).tolist() == [70, 119]


def test_sampled_cells_are_the_same_in_any_order() -> None:
    names = np.array([f"cell{number}" for number in range(200)], dtype=object)
    chosen = set(names[sampled_cells(names, 50)])
    backwards = names[::-1]
    assert len(chosen) == 50
    assert set(backwards[sampled_cells(backwards, 50)]) == chosen


def test_genes_that_share_a_place_are_added_and_unmapped_ones_dropped() -> None:
    block = sparse.csr_matrix(np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 3.0, 0.0]]))
    result = map_genes(block, np.array([1, -1, 0, 1]), 2)
    assert result.toarray().tolist() == [[4.0, 9.0], [3.0, 0.0]]
