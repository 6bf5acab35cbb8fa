"""Tables: what is written comes back, from here and from anndata."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import anndata
import h5py
import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from screader_lib.exchange import encoding
from screader_lib.exchange.table import Categorical, Table, strings

FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
NAMES = st.text(
    st.characters(exclude_characters="\0/.", exclude_categories=["Cs"]), min_size=1, max_size=9
)
NUMBERS = {
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "int8": st.integers(-128, 127),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "bool": st.booleans(),
}


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Any:
    kind = draw(st.sampled_from([*NUMBERS, "text", "category"]))
    if kind == "text":
        return strings(draw(st.lists(TEXT, min_size=rows, max_size=rows)))
    if kind == "category":
        names = tuple(draw(st.lists(TEXT, unique=True, max_size=300)))
        code = st.integers(-1, len(names) - 1)
        codes = draw(st.lists(code, min_size=rows, max_size=rows))
        return Categorical(np.array(codes, np.int32), names)
    return np.array(draw(st.lists(NUMBERS[kind], min_size=rows, max_size=rows)), kind)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(0, 5))
    index = draw(st.lists(TEXT, min_size=rows, max_size=rows))
    names = draw(st.lists(NAMES.filter(lambda name: name != "id"), unique=True, max_size=4))
    return Table(strings(index), {name: draw(columns(rows)) for name in names})


def same(one: Any, other: Any) -> None:
    if isinstance(one, Categorical):
        assert isinstance(other, Categorical) and one.categories == other.categories
        np.testing.assert_array_equal(one.codes, other.codes)
    else:
        assert one.dtype.kind == other.dtype.kind
        np.testing.assert_array_equal(one, other)


@FEW
@given(tables())
def test_a_table_comes_back(table: Table) -> None:
    with h5py.File(BytesIO(), "w") as file:
        encoding.write_table(file, "obs", table)
        back = encoding.read_table(file["obs"])
    assert back.index.tolist() == table.index.tolist()
    assert list(back.columns) == list(table.columns)
    for name, column in table.columns.items():
        same(column, back.columns[name])


@FEW
@given(tables())
def test_anndata_reads_the_same(table: Table) -> None:
    with h5py.File(BytesIO(), "w") as file:
        encoding.write_table(file, "obs", table)
        frame = anndata.io.read_elem(file["obs"])
    assert list(frame.columns) == list(table.columns)
    assert frame.index.tolist() == table.index.tolist()
    for name, column in table.columns.items():
        if isinstance(column, Categorical):
            assert frame[name].cat.codes.tolist() == column.codes.tolist()
            assert tuple(frame[name].cat.categories) == column.categories
        else:
            np.testing.assert_array_equal(frame[name].to_numpy(), column)


@pytest.mark.parametrize("size", [1, 127, 128, 129, 32768, 32769])
def test_codes_reach_every_category(size: int) -> None:
    column = Categorical(np.arange(-1, size, dtype=np.int32), tuple(map(str, range(size))))
    with h5py.File(BytesIO(), "w") as file:
        encoding.write_column(file, "x", column)
        same(column, encoding.read_column(file["x"]))


FRAME = {
    "whole": (pandas.array([1, None, 3], dtype="Int64"), [1.0, np.nan, 3.0]),
    "flag": (pandas.array([True, None, False], dtype="boolean"), [True, False, False]),
    "kind": (pandas.Categorical(["x", None, "y"]), ["x", "", "y"]),
    "ordered": (pandas.Categorical(["x", "y", "x"], ["y", "x"], True), ["x", "y", "x"]),
    "text": (["a", "", "ü"], ["a", "", "ü"]),
    "float": (np.array([1.5, np.nan, 2]), [1.5, np.nan, 2.0]),
    "unsigned": (np.array([1, 2, 3], np.uint64), [1, 2, 3]),
}


@pytest.mark.parametrize("name", FRAME)
def test_columns_of_anndata_are_read(name: str) -> None:
    values, wanted = FRAME[name]
    frame = pandas.DataFrame({name: values}, index=["a", "b", "c"])
    with h5py.File(BytesIO(), "w") as file:
        anndata.io.write_elem(file, "obs", frame)
        column = encoding.read_table(file["obs"]).columns[name]
    found = column.strings() if isinstance(column, Categorical) else column
    np.testing.assert_array_equal(found, np.array(wanted, found.dtype))


def test_strings_with_gaps_of_anndata_are_read() -> None:
    texts = pandas.array(["a", None], dtype="string")
    with (
        h5py.File(BytesIO(), "w") as file,
        anndata.settings.override(allow_write_nullable_strings=True),
    ):
        anndata.io.write_elem(file, "x", texts)
        assert encoding.read_column(file["x"]).tolist() == ["a", ""]


@given(st.lists(TEXT, max_size=6), st.data())
def test_rows_are_taken_in_order(values: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.permutations(range(len(values))))
    table = Table(strings(values), {"c": Categorical.of(values), "t": strings(values)})
    taken = table.take(np.array(rows, int))
    wanted = [values[row] for row in rows]
    assert taken.strings("c").tolist() == taken.strings("t").tolist() == wanted
    assert taken.strings("id").tolist() == wanted
