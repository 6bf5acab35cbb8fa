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

Change = Callable[[h5py.File], object]


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
    for other in set(KINDS) - {kind}:
        message = refusal(tmp_path / "x", other)
        assert f"is a {kind} file" in message
        assert f"expected {other} (from {load(other).written_by})" in message


NO_VERSIONS = [0, -1, 1.0, np.nan, "1", [1, 1], h5py.Empty("i8"), None]
NO_KINDS = ["nonsense", "cells\n", "c" * 50_000, "", 7, [1, 2], ["cells", "cells"], None]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((ROOT_VERSION, version, "newer scReader") for version in (2, 2**62)),
        *((ROOT_VERSION, version, "positive integer") for version in NO_VERSIONS),
        *((ROOT_KIND, kind, "expected") for kind in NO_KINDS),
    ],
    ids=map(str, range(2 + len(NO_VERSIONS) + len(NO_KINDS))),
)
def test_root_attributes(path: Path, name: str, value: object, message: str) -> None:
    with h5py.File(path, "a") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    assert message in refusal(path)


def test_files_of_others_are_recognised(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "tenx", "w") as file:
        file.create_group("matrix")
    with h5py.File(tmp_path / "loom", "w") as file:
        file["matrix"] = np.zeros((2, 2))
        file.create_group("row_attrs")
        file.create_group("col_attrs")
    with h5py.File(tmp_path / "other", "w") as file:
        file["x"] = 1
    anndata.AnnData(np.ones((2, 3), np.float32)).write_h5ad(tmp_path / "h5ad")
    for name, message in (
        ("tenx", "a 10x matrix"),
        ("loom", "a loom file"),
        ("other", "an HDF5 file that scReader did not write"),
        ("h5ad", "an AnnData file (h5ad) that scReader did not write"),
    ):
        assert message in refusal(tmp_path / name, "cells")


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


def removed(element: str) -> Change:
    return lambda file: file.__delitem__(element)


def text(element: str, value: str) -> Change:
    return lambda file: (removed(element)(file), file.__setitem__(element, value))


def attribute(name: str, value: object) -> Change:
    return lambda file: file["obs"].attrs.__setitem__(name, value)


FOUR, CODES = np.zeros(4), np.zeros(4, int)
CHANGES: dict[str, Change] = {
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
    "codes without categories": column(codes=CODES),
    "codes of floats": column(codes=FOUR, categories=["a"]),
    "categories of numbers": column(codes=CODES, categories=[1, 2]),
    "codes beyond the categories": column(codes=CODES + 1, categories=["a"]),
    "groups as codes": lambda file: (listed(file, "m"), file.create_group("obs/m/codes")),
    "columns listed as a number": attribute("column-order", 3),
    "index named by numbers": attribute("_index", [1, 2]),
    "index of another name": attribute("_index", "label"),
    "no obs": removed("obs"),
    "no var": removed("var"),
    "obs without an index": removed("obs/id"),
    "no mark of anndata": lambda file: file.attrs.pop("encoding-type"),
    "no provenance": removed("uns/screader"),
    "no tool": removed("uns/screader/tool"),
    "a step of unknown parts": text("uns/screader/history", '[{"x": 1}]'),
    "a step that is a word": text("uns/screader/history", '["x"]'),
    "history that is not JSON": text("uns/screader/history", "["),
    "history too deep": text("uns/screader/history", "[" * 100_000),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_not_in_the_schema_is_checked_too(path: Path, change: Change) -> None:
    with h5py.File(path, "a") as file:
        change(file)
    refusal(path)
    for tool in ("info", "validate"):
        result = call(tool, path)
        assert result.exit_code == 1
        assert "Traceback" not in result.stderr and "unexpected" not in result.stderr


def test_the_first_problem_and_the_number_of_problems(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["obsm/gene_index"], file["obsm/gene_weight"]
    assert "gene_index: missing, expected int16 or int32 (cells × k) (1 more)." in refusal(path)
    result = call("validate", path)
    assert "  obsm/gene_index: " in result.stdout and "  obsm/gene_weight: " in result.stdout
