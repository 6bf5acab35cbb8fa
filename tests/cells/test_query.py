"""Conditions on cells: what they mean, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screader_lib.cells.cell_selection import cells_where
from screader_lib.errors import ScReaderError
from screader_lib.exchange.lazy_table import LazyTable
from screader_lib.exchange.table import Categorical, Table, strings

TABLE = Table(
    strings(["c1", "c2", "c3", "c4"]),
    {
        "donor": Categorical(np.array([0, 0, 1, -1], np.int32), ("d1", "d2")),
        "n_genes": np.array([100, 600, 900, 500]),
        "share": np.array([0.1, np.nan, 0.5, 0.9]),
        "doublet": np.array([False, False, True, False]),
        "primary": np.array([1.0, 0.0, np.nan, 1.0]),  # truth values with a gap
        "flag": np.array([1, 0, 1, 0]),
        "cell type": strings(["alpha", "beta", "beta", "T cell"]),
    },
)
CELLS = LazyTable.of(TABLE)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ('donor == "d1"', [0, 1]),
        ("donor != 'd1'", [2, 3]),
        ("donor == ''", [3]),
        ("n_genes > 500", [1, 2]),
        ("500 <= n_genes < 900", [1, 3]),
        ("not doublet and n_genes >= 500", [1, 3]),
        ('donor == "d2" or n_genes == 100', [0, 2]),
        ('`cell type` in ["alpha", "T cell"]', [0, 3]),
        ('`cell type` not in ("alpha", "T cell")', [1, 2]),
        ("share > 0.2", [2, 3]),
        ("share == share", [0, 2, 3]),
        ("share > -1", [0, 2, 3]),
        ("id == 'c2'", [1]),
        ("n_genes == n_genes", [0, 1, 2, 3]),
        ("primary", [0, 3]),
        ("not primary", [1, 2]),
        ("primary == 0", [1]),
        ("primary != primary", [2]),
        ("flag and n_genes > 100", [2]),
    ],
)
def test_conditions(condition: str, wanted: list[int]) -> None:
    assert np.flatnonzero(cells_where(condition, CELLS)).tolist() == wanted


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("", "cannot be read"),
        ("donor = 'd1'", "cannot be read"),
        ("donor == 'd1", "cannot be read"),
        ("(" * 5000, "cannot be read"),
        ("donnor == 'd1'", "no column 'donnor'. Did you mean: donor"),
        ("x == 1", "no column 'x'"),
        ("donor == 1", "compares a text with a number"),
        ("n_genes == 'many'", "compares a text with a number"),
        ("n_genes in [1, 'b']", "compares a text with a number"),
        ("n_genes in 5", "a list is wanted"),
        ("donor is 'd1'", "'==' is meant"),
        ("donor", "neither true nor false"),
        ("share", "neither true nor false"),
        ("5", "no comparison"),
        ("n_genes + 1 > 5", "something other than columns"),
        ("__import__('os').system('true') == 0", "something other than columns"),
        ("donor.__class__ == 1", "something other than columns"),
        ("[c for c in (1,)] == 1", "something other than columns"),
        ("n_genes > 5000", "no cell is left"),
    ],
)
def test_refused(condition: str, told: str) -> None:
    with pytest.raises(ScReaderError) as caught:
        cells_where(condition, CELLS)
    assert told in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(condition: str) -> None:
    with suppress(ScReaderError):
        assert cells_where(condition, CELLS).shape == (4,)
