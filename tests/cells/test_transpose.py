"""Matrices whose entries lie in any order give the rows they would give in order."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from screader_lib.cells.formats import expression
from screader_lib.cells.formats.transpose import (
    MatrixMarket,
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


HEAD = b"%%MatrixMarket matrix coordinate integer general\n"


def market(folder: Path, content: bytes) -> MatrixMarket:
    (folder / "matrix.mtx").write_bytes(content)
    return MatrixMarket(folder / "matrix.mtx", 2, 3)


def test_entries_given_twice_comments_patterns_and_no_entries(tmp_path: Path) -> None:
    twice = HEAD + b"% a remark\n3 2 3\n1 2 4\n3 1 1\n1 2 5\n"
    pattern = HEAD.replace(b"integer", b"pattern") + b"3 2 2\n1 2\n3 1\n"
    assert whole(market(tmp_path, twice)).tolist() == [[0, 0, 1], [9, 0, 0]]
    assert whole(market(tmp_path, pattern)).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert not whole(market(tmp_path, HEAD + b"3 2 0\n")).any()


INVALID = "not a valid Matrix Market file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", INVALID),
        (b"gene,cell\n", INVALID),
        (HEAD + b"2000000000 2000000000 1\n1 1 1\n", "matrix of 2,000,000,000"),
        (HEAD + b"3 2 3\n1 2 4\n", "holds 1 of 3 entries"),
        (HEAD + b"3 2 1\n4 1 1\n", "gene is outside"),
        (HEAD + b"3 2 1\n1 3 1\n", "cell is outside"),
        (HEAD + b"3 2 1\n0 1 1\n", "gene is outside"),
        (HEAD + b"3 2 1\na b c\n", INVALID),
        (HEAD + b"3 2 2\n1 1 1\n2\n", "something other than"),
        (HEAD.replace(b"coordinate", b"array") + b"3 2\n" + b"1\n" * 6, "expected"),
        (HEAD.replace(b"integer", b"complex") + b"3 2 1\n1 1 1 1\n", "expected"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ScReaderError, match=message):
        whole(market(tmp_path, content))


@pytest.mark.parametrize("stop", [-30, 40], ids=["cut", "garbled"])
def test_damaged_gzip(tmp_path: Path, stop: int) -> None:
    content = gzip.compress(HEAD + b"3 2 5000\n" + b"1 1 1\n" * 5000)
    damaged = content[:stop] + (b"" if stop < 0 else bytes(40) + content[stop + 40 :])
    with pytest.raises(ScReaderError, match=INVALID):
        whole(market(tmp_path, damaged))


def test_repeated_entries_do_not_overflow() -> None:
    class Repeated(TransposedEntries):
        def pieces(self) -> Iterator[np.ndarray]:
            yield self.entries(*np.array([[0, 0, 1], [2, 2, 1]]), np.array([200, 100, 7], np.uint8))

    assert whole(Repeated(2, 3, np.dtype(np.uint8))).tolist() == [[0, 0, 300], [0, 7, 0]]
