"""Statistics of genes over cells: in blocks as at once, in any order, in bounded memory."""

from __future__ import annotations

import errno
import hashlib
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from screader_lib.cells import gene_statistics
from screader_lib.cells.formats.transpose import ScratchFile
from screader_lib.cells.gene_statistics import GeneStatistics, ValuesByGene, sampled_cells, sums_of
from screader_lib.cells.obs.columns import hashes_of
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import LazyColumn

TABLES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 6)),
    elements=st.sampled_from([float(np.float32(one)) for one in (0, 0.1, 0.3, 1, 2.5, 7e3)]),
)


@pytest.mark.parametrize(("per_run", "per_group"), [(10**6, 10**6), (3, 10**6), (3, 2)])
@settings(max_examples=40, deadline=None)
@given(table=TABLES, data=st.data())
def test_medians_equal_those_of_the_whole_table(
    per_run: int, per_group: int, table: np.ndarray, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(table)), max_size=4)))
    genes = np.arange(table.shape[1])
    genes = genes[data.draw(arrays.arrays(bool, len(genes)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gene_statistics, "VALUES_PER_RUN", per_run)
        patch.setattr(gene_statistics, "VALUES_PER_GROUP", per_group)
        statistics = statistics_of(*np.split(table, cuts))
        medians = [statistics.medians(genes)[0], statistics.medians(genes)[0]]
    positive = [column[column > 0] for column in table[:, genes].T]
    expected = [np.median(values) if len(values) else 0 for values in positive]
    assert medians[0].tolist() == medians[1].tolist() == expected
    assert statistics.detected().tolist() == (table > 0).sum(0).tolist()


def statistics_of(*blocks: np.ndarray) -> GeneStatistics:
    statistics = GeneStatistics(blocks[0].shape[1])
    for block in blocks:
        values = sparse.csr_matrix(block.astype(np.float32))
        statistics.add(values, *sums_of(values))
    return statistics


def test_memory_is_bounded_however_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
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
            for values, _ in gathered.of(np.arange(500)):
                assert len(values) % blocks == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(100) < 1.5 * peak(10)


def test_most_variable_genes_are_those_that_differ_between_cells() -> None:
    random = np.random.default_rng(0)
    table = random.poisson(np.geomspace(0.3, 20, 200), (300, 200)).astype(float)
    table[:, 70] = np.where(np.arange(300) % 2, 8, 0)
    table[:, 119] = np.where(np.arange(300) % 3, 12, 0)
    table *= 1e4 / table.sum(1, keepdims=True)
    assert statistics_of(table).most_variable(2).tolist() == [70, 119]


def test_genes_that_vary_alike_tie_exactly_whatever_the_order_of_cells() -> None:
    random = np.random.default_rng(0)
    column = random.exponential(300, 200)
    statistics = statistics_of(np.stack([random.permutation(column) for _ in range(30)], 1))
    assert len(set(statistics.excess_variances())) == 1
    assert statistics.most_variable(4).tolist() == [0, 1, 2, 3]


def test_constant_genes_are_not_variable() -> None:
    values = np.stack([np.full(50, 321.7), np.arange(50.0) + 1], 1)
    assert statistics_of(values).most_variable(2).tolist() == [1]


def test_sample_is_those_of_smallest_hash_in_any_order() -> None:
    names = np.array([f"AAACCTGAGAAACCAT-{number}" for number in range(2000)], dtype=object)
    expected = sorted(names, key=lambda one: hashlib.blake2b(one.encode(), digest_size=8).digest())
    for order in (names, names[::-1]):
        sampled = order[sampled_cells(hashes_of(LazyColumn.of(order)), 300)]
        assert set(sampled) == set(expected[:300])
    same = sampled_cells(np.full(5, 7, np.uint64), 2)
    assert same.tolist() == [True, True, False, False, False]


def test_what_is_written_to_the_scratch_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write, read = os.pwrite, os.pread  # which may do less than they are asked for
    monkeypatch.setattr(os, "pwrite", lambda file, view, at: write(file, view[:3], at))
    monkeypatch.setattr(os, "pread", lambda file, count, at: read(file, min(2, count), at))
    scratch = ScratchFile()
    scratch.write(b"0123456789")
    scratch.write(b"abcd", 8)
    scratch.write(b"end")
    assert scratch.size == 15
    assert scratch.read(5, 6) == b"67abc"
    assert scratch.read(100, 10) == b"cdend" and scratch.read(4, 15) == b""


def test_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gathered = ValuesByGene(2)
    gathered.add(sparse.csr_matrix(np.ones((2, 2), np.float32)))
    with pytest.raises(ScReaderError, match=r"No space left on device.*TMPDIR") as caught:
        list(gathered.of(np.arange(2)))
    assert str(tmp_path) in str(caught.value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(ScReaderError, match="cannot be written to: No such file"):
        ScratchFile()
