"""Every element of a schema is checked: missing, wrong type, wrong shape, wrong value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, provenance, validation
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.schema import KINDS, ROOT_KIND, ROOT_VERSION, load
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.exchange.writing import create

CELLS = load("cells")


@pytest.fixture
def copy(cells: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.h5ad"
    path.write_bytes(cells.read_bytes())
    return path


def found(path: Path) -> list[str]:
    with h5py.File(path) as file:
        return validation.problems(file, CELLS, values_up_to=None)


def replace(file: h5py.File, path: str, values: object) -> None:
    attributes = dict(file[path].attrs)
    del file[path]
    file[path] = values
    file[path].attrs.update(attributes)


def test_all_is_well(copy: Path) -> None:
    assert found(copy) == []


@pytest.mark.parametrize("path", [e.path for e in CELLS.elements if e.required])
def test_missing(copy: Path, path: str) -> None:
    with h5py.File(copy, "a") as file:
        del file[path]
    assert any(problem.startswith(f"{path}:") for problem in found(copy))


@pytest.mark.parametrize("path", [e.path for e in CELLS.elements if e.type != "category"])
def test_wrong_type(copy: Path, path: str) -> None:
    with h5py.File(copy, "a") as file:
        replace(file, path, np.zeros(file[path].shape, np.complex64))
    assert any(problem.startswith(f"{path}:") for problem in found(copy))


@pytest.mark.parametrize("path", [e.path for e in CELLS.elements if e.type == "category"])
def test_category_that_is_none(copy: Path, path: str) -> None:
    with h5py.File(copy, "a") as file:
        size = file[f"{path}/codes"].shape
        del file[path]
        file[path] = np.zeros(size, np.int8)
    assert any(problem.startswith(f"{path}:") for problem in found(copy))


@pytest.mark.parametrize(
    "path", [e.path for e in CELLS.elements if e.shape and e.type in ("float32", "int32")]
)
def test_wrong_shape(copy: Path, path: str) -> None:
    with h5py.File(copy, "a") as file:
        replace(file, path, file[path][:-1])
    assert any(path in problem for problem in found(copy))


def set_value(path: str, value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[path][(2,) * file[path].ndim] = value

    return change


def same_names(file: h5py.File) -> None:
    file["obs/id"][1] = file["obs/id"][0]


def code_without_category(file: h5py.File) -> None:
    file["obs/label/codes"][0] = 99


def no_json(file: h5py.File) -> None:
    replace(file, "uns/embedding", "{")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param(set_value("obsm/gene_index", 40), "obsm/gene_index", id="index too high"),
        pytest.param(set_value("obsm/gene_index", -2), "obsm/gene_index", id="index too low"),
        pytest.param(set_value("obsm/gene_weight", np.nan), "obsm/gene_weight", id="NaN"),
        pytest.param(set_value("varm/embedding", np.inf), "varm/embedding", id="infinite"),
        pytest.param(set_value("var/median", -1), "var/median", id="negative"),
        pytest.param(same_names, "obs/id", id="repeated names"),
        pytest.param(code_without_category, "obs/label", id="code"),
        pytest.param(no_json, "uns/embedding", id="JSON"),
    ],
)
def test_wrong_value(copy: Path, change: Callable[[h5py.File], None], path: str) -> None:
    with h5py.File(copy, "a") as file:
        change(file)
    assert any(problem.startswith(f"{path}:") for problem in found(copy))


def refusal(path: Path, *kinds: str) -> str:
    with pytest.raises(ScReaderError) as error, open_exchange(path, *kinds):
        pass
    return str(error.value)


def test_wrong_kind_names_both(copy: Path) -> None:
    told = refusal(copy, "gene-embeddings")
    assert "is a cells file" in told and "gene-embeddings (from embed-genes)" in told


@pytest.mark.parametrize(
    ("version", "told"),
    [(99, "newer scReader"), ("one", "whole number"), (np.nan, "whole number")],
)
def test_version(copy: Path, version: object, told: str) -> None:
    with h5py.File(copy, "a") as file:
        file.attrs[ROOT_VERSION] = version
    assert told in refusal(copy)


@pytest.mark.parametrize("mark", ["nonsense", 7, None], ids=str)
def test_mark(copy: Path, mark: object) -> None:
    with h5py.File(copy, "a") as file:
        del file.attrs[ROOT_KIND]
        if mark is not None:
            file.attrs[ROOT_KIND] = mark
    assert "wanted" in refusal(copy)


def test_a_file_of_anndata_is_told_apart(tmp_path: Path) -> None:
    anndata.AnnData(np.ones((2, 3), np.float32)).write_h5ad(tmp_path / "x.h5ad")
    assert "that scReader did not write" in refusal(tmp_path / "x.h5ad", "cells")


def test_every_schema_is_complete() -> None:
    for kind in KINDS:
        schema = load(kind)
        assert schema.name == kind and schema.version >= 1
        for element in schema.elements:
            assert element.description.endswith("."), element.path
            assert set(element.shape) <= set(schema.dimensions), element.path


def test_tables_come_back_and_anndata_reads_them(tmp_path: Path) -> None:
    columns = {
        "label": Categorical.of(["b", "a", "b"]),
        "missing": Categorical(np.array([0, -1, 0], np.int32), ("x",)),
        "text": strings(["ü", "", "a\tb"]),
        "number": np.array([1.5, 2.5, np.nan]),
        "flag": np.array([True, False, True]),
    }
    table = Table(strings(["c1", "c2", "c3"]), columns)
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        encoding.begin_anndata(file, table, Table(strings([])))
        back = encoding.read_table(file["obs"])
    for name in columns:
        assert back.strings(name).tolist() == table.strings(name).tolist()
    frame = anndata.read_h5ad(tmp_path / "x.h5ad").obs
    assert frame.index.tolist() == ["c1", "c2", "c3"]
    assert frame["label"].tolist() == ["b", "a", "b"]
    assert frame["missing"].isna().tolist() == [False, True, False]
    assert frame["text"].tolist() == ["ü", "", "a\tb"]
    assert frame["flag"].tolist() == [True, False, True]


def test_columns_of_anndata_are_read(tmp_path: Path) -> None:
    import pandas

    frame = pandas.DataFrame(
        {
            "whole": pandas.array([1, None, 3], dtype="Int64"),
            "flag": pandas.array([True, None, False], dtype="boolean"),
            "kind": pandas.Categorical(["x", None, "y"]),
        },
        index=["a", "b", "c"],
    )
    anndata.AnnData(np.ones((3, 1), np.float32), frame).write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad") as file:
        table = encoding.read_table(file["obs"])
    assert np.isnan(table.columns["whole"][1]) and table.columns["whole"][2] == 3
    assert table.columns["flag"].tolist() == [True, False, False]
    assert table.strings("kind").tolist() == ["x", "", "y"]


def made(path: Path) -> bytes:
    steps = provenance.make("test", {"a": 1, "b": np.float64(2)}, {"x": {"sha256": "0"}}, [])
    with create("descriptions", path, steps) as file:
        names = [e.path.split("/")[1] for e in load("descriptions").elements if e.type == "string"]
        columns: dict = {name: strings(["x", "y"]) for name in names if name != "id"}
        columns |= {
            "tax_id": np.array([9606, 0], np.int32),
            "source": Categorical.of(["ncbi", "none"]),
            "matched_by": Categorical.of(["symbol", "none"]),
        }
        encoding.begin_anndata(file, Table(strings(["a", "b"]), columns), Table(strings([])))
    return path.read_bytes()


def test_source_date_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(tmp_path / "one") == made(tmp_path / "two")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert made(tmp_path / "three") == made(tmp_path / "four")
    with open_exchange(tmp_path / "three") as opened:
        assert opened.provenance.record.created == "1970-01-02T00:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    with pytest.raises(ScReaderError, match="SOURCE_DATE_EPOCH"):
        made(tmp_path / "five")


def test_steps_of_the_inputs_come_first_and_once(cells: Path) -> None:
    with open_exchange(cells) as opened:
        steps = opened.steps
        assert [step.tool for step in steps] == ["test", "build-cells"]
        assert set(steps[-1].inputs) == {"expression", "embeddings"}
        assert "counts-0" not in str(steps) and str(cells.parent) not in str(steps)
    assert provenance.merge_histories([steps, steps]) == steps
