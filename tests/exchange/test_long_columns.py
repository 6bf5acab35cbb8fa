"""Columns of strings are checked some at a time, and as well as at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.exchange import lazy_table, validation
from screader_lib.exchange.schema import Element

NAME = Element("obs/id", "string", ("cells",), unique=True)
TWICE = ["obs/id: values are not unique"]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_table, "ROWS_AT_ONCE", 3)


def found(values: Sequence[str | bytes], element: Element = NAME) -> list[str]:
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        kind = h5py.string_dtype()
        dataset = file.create_dataset("names", data=np.array(values, object), dtype=kind)
        return list(validation._string_problems(element, dataset))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        pytest.param(list("abcdefgh"), [], id="all different"),
        pytest.param(list("abacdefg"), TWICE, id="twice in a block"),
        pytest.param(list("abcdefga"), TWICE, id="first and last"),
        pytest.param(["", "a", "b", "c", ""], TWICE, id="two without a name"),
        pytest.param(["a"], [], id="one"),
        pytest.param([], [], id="none"),
        pytest.param([b"a", b"b", b"c", b"d", b"\xff"], ["obs/id: is not UTF-8"], id="bytes"),
    ],
)
def test_names(values: Sequence[str | bytes], wanted: list[str]) -> None:
    assert found(values) == wanted


@pytest.mark.usefixtures("small_blocks")
def test_other_columns_may_repeat_but_not_be_broken() -> None:
    column = Element("obs/symbol", "string", ("cells",))
    assert found(list("aaaaaaaa"), column) == []
    assert found([b"a", b"a", b"a", b"\xc3\x28"], column) == ["obs/symbol: is not UTF-8"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=2)))
def test_as_a_set_would_say(values: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy_table, "ROWS_AT_ONCE", 3)
        assert found(values) == (TWICE if len(set(values)) < len(values) else [])


@pytest.mark.usefixtures("small_blocks")
def test_strings_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "hash", len, raising=False)
    assert found(["a", "b", "cc", "d", "ee", "f"]) == []
    assert found(["a", "b", "cc", "d", "ee", "b"]) == TWICE


@pytest.fixture
def long_column(tmp_path: Path) -> Iterator[h5py.Dataset]:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        values = np.array([f"cell-{number:040}" for number in range(40_000)], object)
        yield file.create_dataset("names", data=values, dtype=h5py.string_dtype())


def test_memory_is_a_hash_a_name(
    long_column: h5py.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of 45 letters takes over 90 bytes; its hash 8, three times while they are sorted."""
    monkeypatch.setattr(lazy_table, "ROWS_AT_ONCE", 1000)
    assert not list(validation._string_problems(NAME, long_column))  # loads what is loaded once
    tracemalloc.start()
    try:
        assert not list(validation._string_problems(NAME, long_column))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * len(long_column)
