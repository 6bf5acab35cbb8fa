"""Conditions on cells: what they mean, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.cells.obs.selection import cells_where
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, LazyTable, Table, strings

T_CELL = "T cell, CD4-positive"
CELLS = LazyTable.of(
    Table(
        strings(["c1", "c2", "c3", "c4"]),
        {
            "donor": Categorical(np.array([0, 0, 1, -1], np.int32), ("d1", "d2")),
            "n_genes": np.array([100, 600, 900, 500]),
            "n_genes by counts": np.array([1, 2, 3, 4], np.uint8),
            "share": np.array([0.1, np.nan, 0.5, 0.9], np.float32),
            "doublet": np.array([False, False, True, False]),
            "cell type": strings(["alpha", "beta", "T cell", T_CELL]),
            "age=years": np.array([5, 6, 7, 8]),
            "age": strings(["years=5", "young", "old", ""]),
        },
    )
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("donor=d1", [0, 1]),
        ("donor=d2,d1", [0, 1, 2]),
        ("donor!=d2, d1", [3]),
        ("n_genes>500", [1, 2]),
        (" n_genes >= 5e2 ", [1, 2, 3]),
        ("n_genes<=500", [0, 3]),
        ("n_genes=100,900", [0, 2]),
        ("n_genes by counts<3", [0, 1]),
        ("share>0.2", [2, 3]),
        ("share>-1", [0, 2, 3]),
        ("share!=0.1", [1, 2, 3]),
        ("doublet=true", [2]),
        ("doublet!=True", [0, 1, 3]),
        (f"cell type={T_CELL}", [3]),
        ("cell type=T cell,CD4-positive", [2]),
        ("age=years>6", [2, 3]),
        ("age=young", [1]),
        ("id=c2,c3", [1, 2]),
    ],
)
def test_conditions(condition: str, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screader_lib.exchange.table.ROWS_AT_ONCE", 3)
    assert np.flatnonzero(cells_where(condition, CELLS)).tolist() == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "not a condition"),
        ("=d1", "not a condition"),
        ("donor=", "the value is missing"),
        ("donnor=d1", "no column 'donnor'. Did you mean: donor"),
        ("x>1", "no column 'x'. Columns: donor, n_genes,"),
        ("donor<d2", "donor holds text"),
        ("n_genes=many", "'many' is not a number"),
        ("n_genes!=nan", "'nan' is not a number"),
        ("n_genes>1,2", "> takes a single number"),
        ("n_genes>5000", "no cells match"),
        ("donor=1", "no cells match. Values of donor: d1, d2."),
    ],
)
def test_refused(condition: str, message: str) -> None:
    with pytest.raises(ScReaderError) as caught:
        cells_where(condition, CELLS)
    assert message in str(caught.value)
    assert f"--where {condition!r}: " in str(caught.value)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["", *CELLS.columns]), st.text(max_size=8))
def test_any_text_is_read_or_refused(column: str, rest: str) -> None:
    with suppress(ScReaderError):
        assert cells_where(column + rest, CELLS).shape == (4,)
