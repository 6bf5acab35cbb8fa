"""Matrices whose entries lie in any order give the rows they would give in order."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse
from scipy.io import mmwrite

from screader_lib.cells.formats import expression, transpose
from screader_lib.cells.formats.transpose import (
    MatrixMarket,
    TransposedColumns,
    TransposedEntries,
)
from screader_lib.errors import ScReaderError

TABLES = arrays.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 7)),
                       elements=st.integers(0, 3))  # fmt: skip


class Listed(TransposedEntries):
    """Entries in a given order, in pieces of a given size."""

    def __init__(self, table: np.ndarray, order: list[int], size: int) -> None:
        super().__init__(*table.shape, np.dtype(np.int32))
        cells, genes = np.nonzero(table)
        self.all = self.entries(cells, genes, table[cells, genes])[order]
        self.size = size

    def pieces(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.all), self.size):
            yield self.all[start : start + self.size]


def whole(rows: TransposedEntries) -> np.ndarray:
    blocks = [rows.read(*span).toarray() for span in rows.spans()]
    return np.concatenate([np.zeros((0, rows.genes), np.int32), *blocks])


@settings(max_examples=80, deadline=None)
@given(TABLES, st.integers(1, 20), st.integers(1, 9), st.data())
def test_entries_in_any_order(
    table: np.ndarray, size: int, values_per_block: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(np.count_nonzero(table))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expression, "VALUES_PER_BLOCK", values_per_block)
        assert np.array_equal(whole(Listed(table, list(order), size)), table)


@settings(max_examples=30, deadline=None)
@given(TABLES, st.integers(1, 5))
def test_columns(table: np.ndarray, piece: int) -> None:
    matrix = sparse.csc_matrix(table)
    with (
        h5py.File("none", "w", driver="core", backing_store=False) as file,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(transpose, "ENTRIES_PER_PIECE", piece)
        for part in ("data", "indices", "indptr"):
            file[f"X/{part}"] = getattr(matrix, part)
        assert np.array_equal(whole(TransposedColumns(file["X"], *table.shape, "x")), table)


HEAD = b"%%MatrixMarket matrix coordinate integer general\n"


def market(folder: Path, content: bytes, cells: int = 2, genes: int = 3) -> MatrixMarket:
    path = folder / "matrix.mtx"
    path.write_bytes(content)
    return MatrixMarket(path, cells, genes)


def test_written_by_scipy_and_gzipped(tmp_path: Path) -> None:
    table = np.random.default_rng(0).poisson(1.0, (30, 20))
    mmwrite(tmp_path / "m.mtx", sparse.coo_matrix(table.T))
    packed = tmp_path / "m.mtx.gz"
    packed.write_bytes(gzip.compress((tmp_path / "m.mtx").read_bytes()))
    for path in (tmp_path / "m.mtx", packed):
        assert np.array_equal(whole(MatrixMarket(path, 30, 20)), table)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param(
            HEAD + b"% a remark\n3 2 3\n1 2 4\n3 1 1\n1 2 5\n",
            [[0, 0, 1], [9, 0, 0]],
            id="entries-given-twice-and-comments",
        ),
        pytest.param(
            HEAD.replace(b"integer", b"pattern") + b"3 2 2\n1 2\n3 1\n",
            [[0, 0, 1], [1, 0, 0]],
            id="a-pattern-counts-one",
        ),
        pytest.param(HEAD + b"3 2 0\n", [[0, 0, 0], [0, 0, 0]], id="no-entries"),
    ],
)
def test_matrix_market(tmp_path: Path, content: bytes, rows: list[list[int]]) -> None:
    assert whole(market(tmp_path, content)).tolist() == rows


INVALID = "not a valid Matrix Market file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", INVALID, id="empty"),
        pytest.param(b"gene,cell\n", INVALID, id="csv"),
        pytest.param(HEAD + b"2000000000 2000000000 1\n1 1 1\n", "has 2,000,000,000", id="giant"),
        pytest.param(HEAD + b"3 2 3\n1 2 4\n", "holds 1 of 3 entries", id="cut"),
        pytest.param(HEAD + b"3 2 1\n4 1 1\n", "gene is outside", id="gene-outside"),
        pytest.param(HEAD + b"3 2 1\n1 3 1\n", "cell is outside", id="cell-outside"),
        pytest.param(HEAD + b"3 2 1\n0 1 1\n", "gene is outside", id="zero"),
        pytest.param(HEAD + b"3 2 1\na b c\n", INVALID, id="words"),
        pytest.param(HEAD + b"3 2 2\n1 1 1\n2\n", "something other than", id="short-line"),
        pytest.param(
            HEAD.replace(b"coordinate", b"array") + b"3 2\n" + b"1\n" * 6, "expected", id="dense"
        ),
        pytest.param(
            HEAD.replace(b"integer", b"complex") + b"3 2 1\n1 1 1 1\n", "expected", id="complex"
        ),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ScReaderError, match=message):
        whole(market(tmp_path, content))


@pytest.mark.parametrize("stop", [-30, 40], ids=["cut", "garbled"])
def test_damaged_gzip(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "m.mtx.gz"
    lines = b"".join(b"%d 1 1\n" % (1 + number % 3) for number in range(5000))
    content = gzip.compress(HEAD + b"3 2 5000\n" + lines)
    path.write_bytes(content[:stop] + (b"" if stop < 0 else bytes(40) + content[stop + 40 :]))
    with pytest.raises(ScReaderError, match=INVALID):
        whole(MatrixMarket(path, 2, 3))
