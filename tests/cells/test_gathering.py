"""The values of each gene, whatever part of them lies in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from screader_lib.cells import gene_statistics
from screader_lib.cells.gene_statistics import GeneStatistics, ValuesByGene, sums_of

TABLES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 6)),
    elements=st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5, 7e3]),
)
LIMITS = [
    pytest.param(10**6, 10**6, id="one-run"),
    pytest.param(3, 10**6, id="many-runs"),
    pytest.param(3, 2, id="many-groups"),
]


@pytest.mark.parametrize(("per_run", "per_group"), LIMITS)
@settings(max_examples=40, deadline=None)
@given(table=TABLES, data=st.data())
def test_medians_equal_those_of_the_whole_table(
    per_run: int, per_group: int, table: np.ndarray, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(table)), max_size=4)))
    genes = np.arange(table.shape[1])
    picked = genes[data.draw(arrays.arrays(bool, len(genes)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gene_statistics, "VALUES_PER_RUN", per_run)
        patch.setattr(gene_statistics, "VALUES_PER_GROUP", per_group)
        statistics = GeneStatistics(len(genes))
        for block in np.split(table, cuts):
            statistics.add(sums_of(sparse.csr_matrix(block)))
        found = [statistics.medians(picked), statistics.medians(picked)]
    wanted = [np.median(seen) if len(seen := table[:, gene][table[:, gene] > 0]) else 0
              for gene in picked]  # fmt: skip
    assert found[0].tolist() == found[1].tolist() == wanted
    assert statistics.detected.tolist() == (table > 0).sum(0).tolist()


def test_memory_is_bounded_however_deep_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gene_statistics, "VALUES_PER_RUN", 20_000)
    monkeypatch.setattr(gene_statistics, "VALUES_PER_GROUP", 20_000)
    block = sparse.random(100, 500, 0.4, format="csr", dtype=np.float32, random_state=0)
    block.data += 1

    def peak(blocks: int) -> int:
        tracemalloc.start()
        try:
            gathered = ValuesByGene(500)
            for _ in range(blocks):
                gathered.add(block.copy())
            for values in gathered.of(np.arange(500)):
                assert len(values) % blocks == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(10), peak(100)
    assert many < 1.5 * few  # the values are ten times as many
