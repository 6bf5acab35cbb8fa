"""Tables: what is written comes back, from here and from anndata, whole and in blocks."""

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
from screader_lib.exchange.table import (
    Categorical,
    Column,
    LazyColumn,
    LazyTable,
    Table,
    as_strings,
    concatenated_columns,
    constant_column,
    stored_table,
    strings,
)

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
def columns(draw: st.DrawFn, rows: int) -> Column:
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
    rows = draw(st.integers(0, 9))
    index = draw(st.lists(TEXT, min_size=rows, max_size=rows))
    names = draw(st.lists(NAMES.filter(lambda name: name != "id"), unique=True, max_size=4))
    return Table(strings(index), {name: draw(columns(rows)) for name in names})


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, Categorical):
        assert isinstance(other, Categorical) and one.categories == other.categories
        np.testing.assert_array_equal(one.codes, other.codes)
    else:
        assert one.dtype.kind == other.dtype.kind
        np.testing.assert_array_equal(one, other)


def assert_same_table(one: Table, other: Table) -> None:
    assert one.index.tolist() == other.index.tolist()
    assert list(one.columns) == list(other.columns)
    for name, column in one.columns.items():
        assert_same(column, other.columns[name])


@FEW
@given(tables())
def test_a_table_comes_back_from_here_and_from_anndata(table: Table) -> None:
    with h5py.File(BytesIO(), "w") as file:
        encoding.write_table(file, "obs", table)
        assert_same_table(table, encoding.read_table(file["obs"]))
        frame = anndata.io.read_elem(file["obs"])
    assert list(frame.columns) == list(table.columns)
    assert frame.index.tolist() == table.index.tolist()
    for name, column in table.columns.items():
        if isinstance(column, Categorical):
            assert frame[name].cat.codes.tolist() == column.codes.tolist()
            assert tuple(frame[name].cat.categories) == column.categories
        else:
            np.testing.assert_array_equal(frame[name].to_numpy(), column)


def test_a_table_of_more_columns_than_a_plain_group_can_list() -> None:
    """Whose names take more than the 64 kB of an attribute there; columns may be added later."""
    table = Table(strings(["a", "b"]), {f"c{n}": np.array([n, -n]) for n in range(4_090)})
    with h5py.File(BytesIO(), "w") as file:
        encoding.write_table(file, "obs", table)
        for name in (new := [f"new{n}" for n in range(20)]):
            encoding.write_column(file["obs"], name, np.zeros(2))
        file["obs"].attrs["column-order"] = [*table.columns, *new]
        frame = anndata.io.read_elem(file["obs"])
    assert frame.shape == (2, 4_110) and frame["c4089"].tolist() == [4089, -4089]


@FEW
@given(tables(), st.data())
def test_lazy_tables_in_blocks_are_as_those_in_memory(table: Table, data: st.DataObject) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, max(0, len(table) - 1))))), np.int64)
    rows = rows[rows < len(table)]
    with pytest.MonkeyPatch.context() as patch, h5py.File(BytesIO(), "w") as file:
        patch.setattr("screader_lib.exchange.table.ROWS_AT_ONCE", 3)
        encoding.write_table(file, "obs", LazyTable.of(table))
        stored = stored_table(file["obs"])
        assert_same_table(table, stored.load())
        assert_same_table(table.take(rows), stored.take(rows).load())
        blocks = list(stored.blocks(table.columns))
        assert [len(block) for block in blocks[:-1]] == [3] * (len(blocks) - 1)
        for name, column in table.columns.items():
            lazy = stored.columns[name]
            twice = concatenated_columns([lazy, lazy.take(rows), LazyColumn.of(column)])
            every = np.concatenate([np.arange(len(table)), rows, np.arange(len(table))])
            assert_same(column.take(every), twice.load())
            texts = [text for block in twice.string_blocks() for text in block]
            assert texts == as_strings(column).take(every).tolist()
            mapped = lazy.map(as_strings, object)
            assert_same(as_strings(column).take(rows), mapped.take(rows).load())
    assert constant_column("x", object, 7).load().tolist() == ["x"] * 7


@FEW
@given(st.lists(TEXT, max_size=9), st.sampled_from(["", "é" * 600]), st.booleans())
def test_padded_strings_come_back(texts: list[str], long: str, many: bool) -> None:
    texts = [*texts, long, "ACTB"] * (900 if many else 1)
    with h5py.File(BytesIO(), "w") as file:
        encoding.write_padded_strings(file, "x", strings(texts))
        assert encoding.read_strings(file["x"]).tolist() == texts
        assert anndata.io.read_elem(file["x"]).tolist() == texts
        assert not many or (file["x"].compression is None) == bool(long)


@pytest.mark.parametrize("size", [1, 127, 128, 129, 32768, 32769])
def test_codes_reach_every_category(size: int) -> None:
    column = Categorical(np.arange(-1, size, dtype=np.int32), tuple(map(str, range(size))))
    with h5py.File(BytesIO(), "w") as file:
        encoding.write_column(file, "x", column)
        assert_same(column, encoding.read_column(file["x"]))


FRAME = {
    "nullable integer": (pandas.array([1, None, 3], dtype="Int64"), [1.0, np.nan, 3.0]),
    "nullable boolean": (pandas.array([True, None, False], dtype="boolean"), [True, False, False]),
    "nullable string": (pandas.array(["a", None, "ü"], dtype="string"), ["a", "", "ü"]),
    "category": (pandas.Categorical(["x", None, "y"]), ["x", "", "y"]),
    "ordered category": (pandas.Categorical(["x", "y", "x"], ["y", "x"], True), ["x", "y", "x"]),
    "float": (np.array([1.5, np.nan, 2]), [1.5, np.nan, 2.0]),
    "unsigned": (np.array([1, 2, 3], np.uint64), [1, 2, 3]),
}


@pytest.mark.parametrize("name", FRAME)
def test_columns_of_anndata_are_read(name: str) -> None:
    values, expected = FRAME[name]
    frame = pandas.DataFrame({name: values}, index=["a", "b", "c"])
    with (
        h5py.File(BytesIO(), "w") as file,
        anndata.settings.override(allow_write_nullable_strings=True),
    ):
        anndata.io.write_elem(file, "obs", frame)
        column = encoding.read_table(file["obs"]).columns[name]
    found = as_strings(column) if isinstance(column, Categorical) else column
    np.testing.assert_array_equal(found, np.array(expected, found.dtype))
