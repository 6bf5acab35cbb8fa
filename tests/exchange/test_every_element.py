"""Every element of every schema: missing, of another type or shape, with a wrong value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import anndata
import h5py
import made_files
import numpy as np
import pytest

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
    within = {"category": "/codes", "group": "/a"}
    return element.path + within.get(element.type, "")


def missing(file: h5py.File, element: Element) -> None:
    del file[element.path]


def group_for_array(file: h5py.File, element: Element) -> None:
    del file[element.path]
    file.create_group(element.path)


def array_for_group(file: h5py.File, element: Element) -> None:
    del file[element.path]
    file[element.path] = np.zeros(made_files.shape_of(element), np.int8)


def other_type(file: h5py.File, element: Element) -> None:
    path = data_path(element)
    replace(file, path, np.zeros(file[path].shape, np.complex64))


def sibling_type(file: h5py.File, element: Element) -> None:
    path = data_path(element)
    other = {"f4": "f8", "f8": "f4", "i4": "i8", "i8": "i4", "i1": "u8"}
    replace(file, path, file[path][()].astype(other[file[path].dtype.str[1:]]))


def more_dimensions(file: h5py.File, element: Element) -> None:
    path = data_path(element)
    replace(file, path, np.broadcast_to(file[path][()], (1, *file[path].shape)))


def one_entry_more(file: h5py.File, element: Element) -> None:
    path = data_path(element)
    replace(file, path, np.concatenate([file[path][()], file[path][:1]]))


def no_number(file: h5py.File, element: Element) -> None:
    file[data_path(element)][..., -1] = np.nan


def infinite(file: h5py.File, element: Element) -> None:
    file[data_path(element)][..., -1] = np.inf


def too_small(file: h5py.File, element: Element) -> None:
    assert element.minimum is not None
    file[element.path][...] = element.minimum - 1


def too_large(file: h5py.File, element: Element) -> None:
    file[element.path][...] = element.maximum + 1 if element.maximum else 3


def repeated(file: h5py.File, element: Element) -> None:
    file[element.path][1] = file[element.path][0]


def no_utf8(file: h5py.File, element: Element) -> None:
    file[element.path][...] = b"\xff\xfe"


def another_word(file: h5py.File, element: Element) -> None:
    file[element.path]["categories"][0] = "something else"


def repeated_category(file: h5py.File, element: Element) -> None:
    replace(file, f"{element.path}/categories", ["a", "a"])


def numbers_as_categories(file: h5py.File, element: Element) -> None:
    replace(file, f"{element.path}/categories", np.arange(3))


def categories_of_two_dimensions(file: h5py.File, element: Element) -> None:
    replace(file, f"{element.path}/categories", [["a"], ["b"]])


def code_too_high(file: h5py.File, element: Element) -> None:
    file[element.path]["codes"][0] = 99


def code_too_low(file: h5py.File, element: Element) -> None:
    file[element.path]["codes"][0] = -2


def no_json(file: h5py.File, element: Element) -> None:
    replace(file, element.path, "{")


def json_but_a_list(file: h5py.File, element: Element) -> None:
    replace(file, element.path, "[1]")


def json_too_deep(file: h5py.File, element: Element) -> None:
    replace(file, element.path, "[" * 100_000)


def not_listed(file: h5py.File, element: Element) -> None:
    frame, column = element.path.split("/")
    attributes = file[frame].attrs
    attributes["column-order"] = [name for name in attributes["column-order"] if name != column]


def changes(element: Element, index: str) -> Iterator[Change]:
    """The changes that the element's schema entry forbids."""
    if element.required:
        yield missing
    yield {"category": array_for_group, "group": array_for_group}.get(element.type, group_for_array)
    yield other_type
    if element.type in ("string", "text"):
        yield no_utf8
    else:
        yield from () if element.type == "json" else (sibling_type,)
    if element.type != "group":
        yield more_dimensions
    if element.shape:
        yield one_entry_more
    if element.finite:
        yield from (no_number, infinite)
    if element.minimum is not None:
        yield too_small
    if element.maximum is not None or element.below:
        yield too_large
    if element.unique:
        yield repeated
    if element.values:
        yield another_word
    if element.path.startswith(("obs/", "var/")) and element.path != index:
        yield not_listed
    if element.type == "category":
        yield from (repeated_category, numbers_as_categories, categories_of_two_dimensions)
        yield from (code_too_high, code_too_low)
    if element.type == "json":
        yield from (no_json, json_but_a_list, json_too_deep)


CASES = [
    pytest.param(kind, element, change, id=f"{kind}-{element.path}-{change.__name__}")
    for kind in KINDS
    for element in load(kind).elements
    for change in changes(element, f"{element.path.split('/')[0]}/id")
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    return {kind: made_files.write(kind, folder / kind).read_bytes() for kind in KINDS}


def found(content: bytes, kind: str, change: Callable[[h5py.File], None]) -> list[str]:
    with h5py.File(BytesIO(content), "r+") as file:
        change(file)
        return validation.problems(file, load(kind), values_up_to=None)


@pytest.mark.parametrize(("kind", "element", "change"), CASES)
def test_a_wrong_element_is_named(
    sound: dict[str, bytes], kind: str, element: Element, change: Change
) -> None:
    problems = found(sound[kind], kind, lambda file: change(file, element))
    named = [text for text in problems if text.startswith((f"{element.path}:", f"{element.path}/"))]
    sharing = [text for text in problems if f"but {element.path} has" in text]
    assert named or sharing, problems


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_file_is_sound(sound: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    assert found(sound[kind], kind, lambda file: None) == []
    (tmp_path / "x").write_bytes(sound[kind])
    with open_exchange(tmp_path / "x", kind) as opened:
        assert opened.kind == kind
    if load(kind).is_anndata:
        assert anndata.read_h5ad(tmp_path / "x").obs_names[0] == "n0"


OPTIONAL = [(kind, e) for kind in KINDS for e in load(kind).elements if not e.required]


@pytest.mark.parametrize(
    ("kind", "element"), OPTIONAL, ids=[f"{kind}-{e.path}" for kind, e in OPTIONAL]
)
def test_an_optional_element_may_be_missing(
    sound: dict[str, bytes], kind: str, element: Element
) -> None:
    def without(file: h5py.File) -> None:
        if element.path.startswith(("obs/", "var/")):
            not_listed(file, element)
        missing(file, element)

    assert found(sound[kind], kind, without) == []
