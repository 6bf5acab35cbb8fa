"""What is asked of a file on opening: kind, version, provenance, columns beside the schema's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import made_files
import numpy as np
import pytest
from small_files import call

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.schema import KINDS, ROOT_KIND, ROOT_VERSION, load

Change = Callable[[h5py.File], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made_files.write("cells", tmp_path / "x.h5ad")


def refusal(path: Path, *kinds: str) -> str:
    with pytest.raises(ScReaderError) as error, open_exchange(path, *kinds):
        pass
    text = str(error.value)
    assert path.name in text and "\n" not in text and len(text) < 600
    return text


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_kind_names_both(tmp_path: Path, kind: str) -> None:
    made_files.write(kind, tmp_path / "x")
    for wanted in set(KINDS) - {kind}:
        told = refusal(tmp_path / "x", wanted)
        assert f"is a {kind} file" in told
        assert f"expected {wanted} (from {load(wanted).written_by})" in told


@pytest.mark.parametrize(
    ("version", "told"),
    [
        pytest.param(2, "newer scReader", id="newer"),
        pytest.param(2**62, "newer scReader", id="huge"),
        pytest.param(0, "positive integer", id="none was ever 0"),
        pytest.param(-1, "positive integer", id="negative"),
        pytest.param(1.0, "positive integer", id="float"),
        pytest.param(np.nan, "positive integer", id="NaN"),
        pytest.param("1", "positive integer", id="text"),
        pytest.param([1, 1], "positive integer", id="list"),
        pytest.param(h5py.Empty("i8"), "positive integer", id="empty"),
        pytest.param(None, "positive integer", id="missing"),
    ],
)
def test_versions(path: Path, version: object, told: str) -> None:
    with h5py.File(path, "a") as file:
        del file.attrs[ROOT_VERSION]
        if version is not None:
            file.attrs[ROOT_VERSION] = version
    assert told in refusal(path)


@pytest.mark.parametrize(
    "mark",
    ["nonsense", "cells\n", "c" * 50_000, "", 7, [1, 2], ["cells", "cells"], None],
    ids=["word", "newline", "long", "blank", "number", "numbers", "words", "missing"],
)
def test_marks(path: Path, mark: object) -> None:
    with h5py.File(path, "a") as file:
        del file.attrs[ROOT_KIND]
        if mark is not None:
            file.attrs[ROOT_KIND] = mark
    assert "expected" in refusal(path)


def ten_x(file: h5py.File) -> None:
    file.create_group("matrix")


def loom(file: h5py.File) -> None:
    file["matrix"] = np.zeros((2, 2))
    file.create_group("row_attrs")
    file.create_group("col_attrs")


def something(file: h5py.File) -> None:
    file["x"] = 1


@pytest.mark.parametrize(
    ("make", "told"),
    [(ten_x, "a 10x matrix"), (loom, "a loom file"), (something, "an HDF5 file that scReader")],
)
def test_files_of_others_are_told_apart(tmp_path: Path, make: Change, told: str) -> None:
    with h5py.File(tmp_path / "x", "w") as file:
        make(file)
    assert told in refusal(tmp_path / "x", "cells")


def test_a_file_of_anndata_is_told_apart(tmp_path: Path) -> None:
    anndata.AnnData(np.ones((2, 3), np.float32)).write_h5ad(tmp_path / "x.h5ad")
    assert "that scReader did not write" in refusal(tmp_path / "x.h5ad", "cells")


def listed(file: h5py.File, name: str) -> None:
    file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], name]


def column(**parts: object) -> Change:
    """A further column of obs: a group of ``parts``, or the array ``all``."""

    def change(file: h5py.File) -> None:
        listed(file, "more")
        for name, values in parts.items():
            file["obs/more" if name == "all" else f"obs/more/{name}"] = values
        file["obs"].require_group("more") if not parts else None

    return change


def without(element: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[element]

    return change


def text(element: str, value: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[element]
        file[element] = value

    return change


def attribute(element: str, name: str, value: object) -> Change:
    def change(file: h5py.File) -> None:
        file[element].attrs[name] = value

    return change


FOUR = np.zeros(4)
SPOILED = {
    "a column that is not there": lambda file: listed(file, "more"),
    "a column outside": lambda file: listed(file, "../var/id"),
    "a column by its whole path": lambda file: listed(file, "/uns"),
    "an empty group as column": column(),
    "a matrix as column": column(all=np.zeros((4, 2))),
    "a scalar as column": column(all=1),
    "a column too short": column(all=np.zeros(3)),
    "values without a mask": column(values=FOUR),
    "a mask of numbers": column(values=FOUR, mask=FOUR),
    "a mask too short": column(values=FOUR, mask=np.zeros(3, bool)),
    "codes without categories": column(codes=np.zeros(4, int)),
    "codes of floats": column(codes=FOUR, categories=["a"]),
    "categories of numbers": column(codes=np.zeros(4, int), categories=[1, 2]),
    "codes beyond the categories": column(codes=np.ones(4, int), categories=["a"]),
    "groups as codes": lambda file: (listed(file, "m"), file.create_group("obs/m/codes")),
    "columns listed as a number": attribute("obs", "column-order", 3),
    "index named by numbers": attribute("obs", "_index", [1, 2]),
    "index of another name": attribute("obs", "_index", "label"),
    "no obs": without("obs"),
    "no var": without("var"),
    "obs without an index": without("obs/id"),
    "no mark of anndata": lambda file: file.attrs.pop("encoding-type"),
    "no provenance": without("uns/screader"),
    "no tool": without("uns/screader/tool"),
    "parameters that are a number": text("uns/screader/parameters", "3"),
    "inputs that are a list": text("uns/screader/inputs", "[1]"),
    "inputs without a sum": text("uns/screader/inputs", '{"a": {}}'),
    "sums that are numbers": text("uns/screader/inputs", '{"a": {"sha256": 1}}'),
    "a step of unknown parts": text("uns/screader/history", '[{"x": 1}]'),
    "a step that is a word": text("uns/screader/history", '["x"]'),
    "history that is no JSON": text("uns/screader/history", "["),
    "history too deep": text("uns/screader/history", "[" * 100_000),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_what_is_not_in_the_schema_is_checked_too(path: Path, spoil: Change) -> None:
    with h5py.File(path, "a") as file:
        spoil(file)
    refusal(path)
    for tool in ("info", "validate"):
        result = call(tool, path)
        assert result.exit_code == 1
        assert "Traceback" not in result.stderr and "unexpected" not in result.stderr


def test_the_first_problem_and_their_number_are_told(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["obsm/gene_index"], file["obsm/gene_weight"]
    told = refusal(path)
    assert "obsm/gene_index: missing, expected int16 or int32 (cells × k) (1 more)." in told
    result = call("validate", path)
    assert "  obsm/gene_index: " in result.stdout and "  obsm/gene_weight: " in result.stdout
