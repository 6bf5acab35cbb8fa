"""Every element of every schema: missing, of another type or shape, with a wrong value."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import anndata
import h5py
import made_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.exchange import validation
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.schema import KINDS, Element, load

Change = Callable[[h5py.File, Element], None]


def replace(file: h5py.File, path: str, values: object) -> None:
    attributes = dict(file[path].attrs)
    del file[path]
    file[path] = values
    file[path].attrs.update(attributes)


def data_path(element: Element) -> str:
    return element.path + {"category": "/codes", "group": "/a"}.get(element.type, "")


def data(change: Callable[[np.ndarray], object]) -> Change:
    """The element's data replaced by what ``change`` makes of them."""

    def changed(file: h5py.File, element: Element) -> None:
        replace(file, data_path(element), change(file[data_path(element)][()]))

    return changed


def categories(values: object) -> Change:
    return lambda file, element: replace(file, f"{element.path}/categories", values)


def entry(index: object, value: object, path: str = "") -> Change:
    """One entry, or those of a slice, of the element's data or of an array in it."""

    def changed(file: h5py.File, element: Element) -> None:
        file[element.path + path if path else data_path(element)][index] = value

    return changed


def missing(file: h5py.File, element: Element) -> None:
    del file[element.path]


def other_layout(file: h5py.File, element: Element) -> None:
    """An array for a group or categorical, a group for an array."""
    del file[element.path]
    if element.type in ("category", "group"):
        file[element.path] = np.zeros(made_files.shape_of(element), np.int8)
    else:
        file.create_group(element.path)


def not_listed(file: h5py.File, element: Element) -> None:
    attributes = file[element.frame].attrs
    listed = attributes["column-order"]
    attributes["column-order"] = [name for name in listed if name != element.column]


def repeated(file: h5py.File, element: Element) -> None:
    file[element.path][1] = file[element.path][0]


SIBLING = {"f4": "f8", "f8": "f4", "i4": "i8", "i8": "i4", "i1": "u8", "b1": "u1"}
LAST = (..., -1)


def changes(element: Element) -> Iterator[tuple[str, Change]]:
    """The changes that the element's schema entry forbids, by name."""
    if element.required:
        yield "missing", missing
    yield "other layout", other_layout
    yield "other type", data(lambda values: np.zeros(np.shape(values), np.complex64))
    if element.type in ("string", "text"):
        yield "not UTF-8", entry(..., b"\xff\xfe")
    elif element.type != "json":
        yield "sibling type", data(lambda values: values.astype(SIBLING[values.dtype.str[1:]]))
    if element.type != "group":
        yield "more dimensions", data(lambda v: np.broadcast_to(v, (1, *np.shape(v))))
    if element.shape:
        yield "one entry more", data(lambda values: np.concatenate([values, values[:1]]))
    if element.finite:
        yield from (("NaN", entry(LAST, np.nan)), ("infinite", entry(LAST, np.inf)))
    if element.minimum is not None:
        yield "too small", entry(..., element.minimum - 1)
    if element.maximum is not None or element.below:
        yield "too large", entry(..., element.maximum + 1 if element.maximum else 3)
    if element.unique:
        yield "repeated", repeated
    if element.values:
        yield "other category", entry(0, "something else", "/categories")
    if element.frame in ("obs", "var") and element.column != "id":
        yield "not listed", not_listed
    if element.type == "category":
        yield "repeated category", categories(["a", "a"])
        yield "numbers as categories", categories(np.arange(3))
        yield "categories of two dimensions", categories([["a"], ["b"]])
        yield from (("code too high", entry(0, 99)), ("code too low", entry(0, -2)))
    if element.type == "json":
        for name, text in (("not JSON", "{"), ("a list", "[1]"), ("too deep", "[" * 100_000)):
            yield name, data(lambda _, text=text: text)


CASES = [
    pytest.param(kind, element, change, id=f"{kind}-{element.path}-{name}")
    for kind in KINDS
    for element in load(kind).elements
    for name, change in changes(element)
]


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    folder = tmp_path_factory.mktemp("valid")
    return cache(lambda kind: made_files.write(kind, folder / kind).read_bytes())


def problems(content: bytes, kind: str, change: Callable[[h5py.File], None]) -> list[str]:
    with h5py.File(BytesIO(content), "r+") as file:
        change(file)
        return validation.problems(file, load(kind), values_up_to=None)


@pytest.mark.parametrize(("kind", "element", "change"), CASES)
def test_a_wrong_element_is_named(
    valid: Callable[[str], bytes], kind: str, element: Element, change: Change
) -> None:
    lines = problems(valid(kind), kind, lambda file: change(file, element))
    named = [text for text in lines if text.startswith((f"{element.path}:", f"{element.path}/"))]
    assert named or [text for text in lines if f"but {element.path} has" in text], lines


@pytest.mark.parametrize("kind", KINDS)
def test_valid_files(valid: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    assert problems(valid(kind), kind, lambda file: None) == []
    (tmp_path / "x").write_bytes(valid(kind))
    with open_exchange(tmp_path / "x", kind) as opened:
        assert opened.kind == kind
    if load(kind).is_anndata:
        assert anndata.read_h5ad(tmp_path / "x").obs_names[0] == "n0"


@pytest.mark.parametrize("kind", KINDS)
def test_each_optional_element_may_be_missing(valid: Callable[[str], bytes], kind: str) -> None:
    def removed(file: h5py.File, element: Element) -> None:
        if element.frame in ("obs", "var"):
            not_listed(file, element)
        missing(file, element)

    for element in load(kind).elements:
        if not element.required:
            lines = problems(valid(kind), kind, partial(removed, element=element))
            assert lines == [], element.path


NAME = Element("obs/id", "string", "", ("cells",), unique=True)
REPEATED = ["obs/id: values are not unique"]


def name_problems(values: Sequence[str | bytes], element: Element = NAME) -> list[str]:
    """What is found in blocks of three names."""
    with (
        h5py.File("memory", "w", driver="core", backing_store=False) as file,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("screader_lib.exchange.table.ROWS_AT_ONCE", 3)
        column = np.array(values, object)
        dataset = file.create_dataset("names", data=column, dtype=h5py.string_dtype())
        return list(validation._string_problems(element, dataset))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=2)))
def test_repeated_names_are_found(values: list[str]) -> None:
    assert name_problems(values) == (REPEATED if len(set(values)) < len(values) else [])


def test_other_columns_may_repeat_but_must_be_utf8() -> None:
    column = Element("obs/symbol", "string", "", ("cells",))
    assert name_problems(list("aaaaaaaa"), column) == []
    assert name_problems([b"a", b"a", b"a", b"\xc3\x28"], column) == ["obs/symbol: is not UTF-8"]
    assert name_problems([b"a", b"b", b"c", b"d", b"\xff"]) == ["obs/id: is not UTF-8"]


def test_strings_of_one_hash_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "hash", len, raising=False)
    assert name_problems(["a", "b", "cc", "d", "ee", "f"]) == []
    assert name_problems(["a", "b", "cc", "d", "ee", "b"]) == REPEATED


def test_memory_is_a_hash_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of 45 letters takes over 90 bytes; its hash 8, three times while they are sorted."""
    monkeypatch.setattr("screader_lib.exchange.table.ROWS_AT_ONCE", 1000)
    names = np.array([f"cell-{number:040}" for number in range(40_000)], object)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("names", data=names, dtype=h5py.string_dtype())
        assert not list(validation._string_problems(NAME, dataset))  # loads what is loaded once
        tracemalloc.start()
        try:
            assert not list(validation._string_problems(NAME, dataset))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 32 * len(names)
