"""Everything that was in the user's file is found again in the annotated one, and the calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas
import pytest
import zarr
from kinds_of_h5ad import CELLS, KINDS, stored, write_wide
from recording_reporter import RecordingReporter

from screader_lib.annotation import zarr_copy
from screader_lib.annotation.annotated_file import add_calls, write_annotated
from screader_lib.annotation.calls import Calls
from screader_lib.errors import ScReaderError
from screader_lib.exchange import provenance
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.reporting import SILENT

PROVENANCE = provenance.make("annotate", {"reader": "test"}, {}, [])
CONTENT: dict[str, bytes] = {}
LABELS = ("B cell", "T cell, CD4\N{GREEK SMALL LETTER ALPHA}/β", "unused")


def calls(rows: np.ndarray | None = None, cells: int = CELLS) -> Calls:
    """Calls of all cells or some."""
    count = cells if rows is None else len(rows)
    numbers = np.arange(count)
    labels = Categorical(np.where(numbers % 3 == 2, -1, numbers % 3).astype(np.int32), LABELS)
    obs = {
        "screader_label": labels,
        "screader_confidence": np.linspace(0.5, 1, count, dtype=np.float32),
        "screader_status": Categorical.of(["assigned", "low confidence"] * (count // 2)),
        "screader_label_1": Categorical.of(["lymphocyte"] * count),
        "screader_genes": numbers,
        "screader_ontology_id": strings(f"CL:{number:07}" for number in numbers),
    }
    vectors = np.random.default_rng(0).standard_normal((count, 4)).astype(np.float32)
    table = Table(strings(["0", "1"]), {"votes": np.array([3, 4])})
    uns = {"reader": "test", "reader_version": 3, "labels": strings(LABELS), "clusters": table,
           "figures": {"accuracy": 0.5, "matrix": np.eye(2)}}  # fmt: skip
    return Calls(cells, obs, {"X_screader": vectors}, uns, rows)


def annotate(
    source: Path, output: Path, given: Calls | None = None, reporter: Any = SILENT
) -> Path:
    """Write the annotated file, which is returned."""
    write_annotated(source, output, given or calls(), PROVENANCE, reporter=reporter)
    return output


def made(kind: str, folder: Path) -> Path:
    """A file of this kind, whose content is made once."""
    path = folder / f"{kind}.h5ad"
    if kind not in CONTENT:
        KINDS[kind](path)
        CONTENT[kind] = path.read_bytes()
    path.write_bytes(CONTENT[kind])
    return path


def order(content: dict[str, Any]) -> list[str]:
    """Take the order of columns out of what is stored of obs."""
    value = content["/obs"][1].pop("column-order")[1]
    return value[1] if isinstance(value[1], list) else []


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"before_0_7", "hostile_names"}))
def test_all_that_was_there_is_there_unchanged(kind: str, tmp_path: Path) -> None:
    source = made(kind, tmp_path)
    before, content = stored(source), source.read_bytes()
    after = stored(annotate(source, tmp_path / "out.h5ad"))
    assert order(after) == [*order(before), *calls().obs]
    assert {path: after[path] for path in before} == before
    assert source.read_bytes() == content
    own = {f"/obs/{name}" for name in calls().obs} | {"/obsm/X_screader", "/uns/screader"}
    new = {path for path in after if path not in before}
    assert own <= new
    allowed = (*own, "/obsm", "/uns")
    assert all(path.startswith(allowed) for path in new)


@pytest.mark.parametrize(
    ("kind", "backed"),
    [
        *((kind, None) for kind in sorted(set(KINDS) - {"unknown_parts"})),
        *((kind, "r") for kind in ("present_day", "by_columns", "dense", "of_version_0_7")),
    ],
)
def test_anndata_reads_the_same_and_the_calls(kind: str, backed: Any, tmp_path: Path) -> None:
    source = made(kind, tmp_path)
    output = annotate(source, tmp_path / "out.h5ad")
    old, new = anndata.read_h5ad(source, backed=backed), anndata.read_h5ad(output, backed=backed)
    names = list(old.obs)
    renamed = [f"{n}_previous_3" if is_earlier(n) else n for n in names]
    pandas.testing.assert_frame_equal(new.obs[renamed].set_axis(list(old.obs), axis=1), old.obs)
    assert list(new.obs)[-6:] == list(calls().obs)
    assert (new.X is None) == (old.X is None)
    same(new.X, old.X)
    for part in ("layers", "varm", "obsp", "varp", "obsm", "uns"):
        was, now = getattr(old, part), getattr(new, part)
        for key in was:
            moved = f"{key}_previous_3" if key in ("X_screader", "screader") else key
            same(now[moved.replace("label_colors", "label_previous_3_colors")], was[key])
    pandas.testing.assert_frame_equal(new.var, old.var)
    if old.raw is not None:
        same(new.raw.X, old.raw.X)
        pandas.testing.assert_frame_equal(new.raw.var, old.raw.var)
    check_calls(new, np.arange(CELLS))


@pytest.mark.parametrize(("kind", "version"), [("present_day", 2), ("dense", 3)])
def test_a_zarr_store_becomes_an_h5ad(kind: str, version: int, tmp_path: Path) -> None:
    store = tmp_path / "x.zarr"
    data = anndata.read_h5ad(made(kind, tmp_path))
    data.uns["nothing"] = None
    data.uns["long"] = np.arange(5000, dtype=">i4").reshape(-1, 2)
    data.uns["no"] = np.zeros((1 << 13, 0))
    data.uns["texts"] = np.array([["a", "ö"], ["", "d"]], object)
    settings = {"allow_write_nullable_strings": True, "zarr_write_format": version}
    with anndata.settings.override(**settings):
        data.write_zarr(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr_copy, "BYTES_AT_ONCE", 1 << 10)
        output = annotate(store, tmp_path / "out.h5ad")
    old, new = anndata.read_zarr(store), anndata.read_h5ad(output)
    check_calls(new, np.arange(CELLS))
    own = list(calls().obs)
    pandas.testing.assert_frame_equal(new.obs.drop(columns=own), old.obs)
    same(new.X, old.X)
    pandas.testing.assert_frame_equal(new.var, old.var)
    for part in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        for key, value in getattr(old, part).items():
            same(getattr(new, part)[key], value)
    same(new.raw.X, old.raw.X)
    assert new.uns["nothing"] is None


def test_what_hdf5_has_no_type_for_is_told(tmp_path: Path) -> None:
    store = tmp_path / "x.zarr"
    anndata.AnnData(np.ones((CELLS, 3))).write_zarr(store)
    dates = np.array(["2026-01-01"], "datetime64[D]")
    zarr.open_group(store / "uns").create_array("date", data=dates)
    zarr.consolidate_metadata(store)
    reporter = RecordingReporter()
    output = annotate(store, tmp_path / "out.h5ad", reporter=reporter)
    assert len(reporter.warnings) == 1
    assert "uns/date" in reporter.warnings[0] or " date is left out" in reporter.warnings[0]
    assert list(anndata.read_h5ad(output).uns) == ["screader"]


def is_earlier(name: str) -> bool:
    return name.startswith("screader_") and not name.endswith("_previous")


def same(one: Any, other: Any) -> None:
    """Two elements of an AnnData are equal."""
    if isinstance(other, pandas.DataFrame):
        pandas.testing.assert_frame_equal(one, other)
    elif hasattr(other, "items") and not hasattr(other, "dtype"):
        assert set(one) == set(other)
        for key in other:
            same(one[key], other[key])
    elif hasattr(other, "to_memory"):
        same(one.to_memory(), other.to_memory())
    elif hasattr(other, "tocsr"):
        assert one.dtype == other.dtype and type(one) is type(other)
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    elif getattr(other, "dtype", np.dtype(int)).names:
        assert one.tolist() == other.tolist() and one.dtype.names == other.dtype.names
    else:
        np.testing.assert_array_equal(one, other)
        kinds = [getattr(value, "dtype", None) for value in (one, other)]
        assert kinds[0] == kinds[1] or kinds[1].kind == "T"  # zarr's strings


def check_calls(data: anndata.AnnData, rows: np.ndarray) -> None:
    """The calls of ``rows`` are in the AnnData, and those of other cells are missing."""
    given, others = calls(rows), np.setdiff1d(np.arange(data.n_obs), rows)
    obs = data.obs
    label = given.obs["screader_label"]
    assert isinstance(label, Categorical)
    assert [x if isinstance(x, str) else "" for x in obs["screader_label"].iloc[rows]] == list(
        label.strings()
    )
    assert list(obs["screader_label"].cat.categories) == list(LABELS[:2])
    assert obs["screader_label"].iloc[others].isna().all()
    np.testing.assert_array_equal(
        obs["screader_confidence"].iloc[rows], given.obs["screader_confidence"]
    )
    assert obs["screader_confidence"].dtype == np.float32
    assert obs["screader_confidence"].iloc[others].isna().all()
    assert (obs["screader_status"].iloc[others] == "left out").all()
    assert list(obs["screader_status"].iloc[rows][:2]) == ["assigned", "low confidence"]
    np.testing.assert_array_equal(obs["screader_genes"].iloc[rows], np.arange(len(rows)))
    assert (obs["screader_ontology_id"].iloc[others] == "").all()
    vectors = np.asarray(data.obsm["X_screader"])
    np.testing.assert_array_equal(vectors[rows], given.obsm["X_screader"])
    assert np.isnan(vectors[others]).all()
    uns = data.uns["screader"]
    assert uns["tool"] == "annotate" and uns["reader"] == "test" and uns["reader_version"] == 3
    assert list(uns["labels"]) == list(LABELS) and uns["figures"]["accuracy"] == 0.5
    assert list(uns["clusters"]["votes"]) == [3, 4]


def test_more_columns_than_an_attribute_of_the_usual_format_can_list(tmp_path: Path) -> None:
    """HDF5 lists 4,093 at most, and forgets the attribute when that fails."""
    source = tmp_path / "wide.h5ad"
    write_wide(source, 4090)
    for _ in range(2):
        with h5py.File(source, "r+") as file:
            before = set(file["obs"]) - set(calls().obs)
            add_calls(file, calls(), PROVENANCE)
        with h5py.File(source) as file:
            obs, order = file["obs"], list(file["obs"].attrs["column-order"])
            assert before <= set(obs) == {"_index", *order}
            assert order[-6:] == list(calls().obs) and len(order) == len(set(order))
            assert obs.attrs["encoding-type"] == "dataframe" and obs.attrs["_index"] == "_index"
            np.testing.assert_array_equal(obs["s4000"], np.arange(CELLS))
            np.testing.assert_array_equal(obs["screader_genes"], np.arange(CELLS))


@pytest.mark.parametrize("rows", [[2, 3, 8, 9], list(range(12)), [0, 11]])
def test_some_of_the_cells(rows: list[int], tmp_path: Path) -> None:
    chosen = np.array(rows)
    output = annotate(made("present_day", tmp_path), tmp_path / "out.h5ad", calls(chosen))
    check_calls(anndata.read_h5ad(output), chosen)


def test_runs_one_after_the_other(tmp_path: Path) -> None:
    file = made("present_day", tmp_path)
    first, reporter = calls(), RecordingReporter()
    annotate(file, file, first)
    annotate(file, file, calls(np.arange(2)), reporter)
    assert len(reporter.messages) == 1 and "_previous:" in reporter.messages[0]
    annotate(file, file, calls(np.arange(4)))
    data = anndata.read_h5ad(file)
    check_calls(data, np.arange(4))
    for suffix, called in (("_previous", CELLS), ("_previous_2", 2)):
        assert data.obs[f"screader_confidence{suffix}"].notna().sum() == called
        assert f"screader{suffix}" in data.uns and f"X_screader{suffix}" in data.obsm


def test_names_that_are_no_columns(tmp_path: Path) -> None:
    """An index and a forgotten array that have names of ours."""
    file = made("present_day", tmp_path)
    with h5py.File(file, "r+") as content:
        content["obs"].move("_index", "screader_label")
        content["obs"].attrs["_index"] = "screader_label"
        content["obs/screader_status"] = np.arange(3)
    annotate(file, file)
    data = anndata.read_h5ad(file)
    check_calls(data, np.arange(CELLS))
    assert data.obs.index.name == "screader_label_previous" and data.obs_names[3] == "cell3"
    assert "screader_status_previous" not in data.obs
    with h5py.File(file) as content:
        np.testing.assert_array_equal(content["obs/screader_status_previous"], np.arange(3))


def test_an_empty_category_is_missing(tmp_path: Path) -> None:
    ids = {"screader_ontology_id": Categorical.of(["CL:0000001", "", "CL:0000002"] * 4)}
    output = annotate(made("dense", tmp_path), tmp_path / "out.h5ad", Calls(CELLS, ids))
    column = anndata.read_h5ad(output).obs["screader_ontology_id"]
    assert list(column.cat.categories) == ["CL:0000001", "CL:0000002"]
    assert column.isna().tolist() == [False, True, False] * 4


def test_values_of_uns(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "none": None, "yes": True, "half": np.float32(0.5), "numbers": [1, 2], "labels": ["a", "ö"],
        "no labels": [], "by label": {"T/NK": 1, "T": 2}, "by cluster": {"0": {"a": (0.5, 1)}},
    }  # fmt: skip
    labels = {"screader_label": Categorical.of(["x"] * CELLS)}
    output = annotate(
        made("dense", tmp_path), tmp_path / "out.h5ad", Calls(CELLS, labels, uns=given)
    )
    found = anndata.read_h5ad(output).uns["screader"]
    assert "none" not in found and found["yes"] == 1 and found["half"] == 0.5
    assert found["numbers"].tolist() == [1, 2] and found["labels"].tolist() == ["a", "ö"]
    assert len(found["no labels"]) == 0 and found["by label"] == '{"T": 2, "T/NK": 1}'
    assert found["by cluster"]["0"]["a"].tolist() == [0.5, 1]


def test_calls_of_another_length(tmp_path: Path) -> None:
    source, output = made("dense", tmp_path), tmp_path / "out.h5ad"
    labels = {"screader_label": Categorical.of(["x"] * CELLS)}
    for vectors in (np.ones((11, 2)), np.ones((13, 2)), iter([np.ones((6, 2)), np.ones((7, 2))])):
        with pytest.raises(ValueError, match="other than 12 rows of vectors"):
            annotate(source, output, Calls(CELLS, labels, {"X_screader": vectors}))
    with pytest.raises(ValueError, match="screader_label has not 2 rows"):
        annotate(source, output, Calls(CELLS, labels, rows=np.array([1, 2])))
    assert not output.exists()


def test_vectors_in_blocks_of_any_size(tmp_path: Path) -> None:
    rows, vectors = np.array([1, 2, 7, 8, 10]), np.arange(15.0).reshape(5, 3)
    blocks = (vectors[start:stop] for start, stop in ((0, 1), (1, 1), (1, 4), (4, 5)))
    given = Calls(CELLS, {"n": np.arange(5)}, {"X_screader": blocks}, rows=rows)
    output = annotate(made("dense", tmp_path), tmp_path / "out.h5ad", given)
    found = anndata.read_h5ad(output).obsm["X_screader"]
    np.testing.assert_array_equal(found[rows], vectors)
    assert np.isnan(np.delete(found, rows, 0)).all() and found.dtype == np.float64


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    source = made("present_day", tmp_path)
    content = source.read_bytes()
    for part in (content[:3000], b"", b"no file of HDF5"):
        source.write_bytes(part)
        with pytest.raises(ScReaderError, match=r"present_day\.h5ad: is"):
            annotate(source, tmp_path / "out.h5ad")
    source.write_bytes(content)
    for name, link in (("external", h5py.ExternalLink("x.h5", "/")), ("group", None)):
        with h5py.File(source, "r+") as file:
            if link is not None:
                file["uns"][name] = link
            else:
                del file["uns/external"], file["obs"].attrs["column-order"]
        with pytest.raises(ScReaderError, match=r"link into another file|not a data frame"):
            annotate(source, tmp_path / "out.h5ad")
    with pytest.raises(ScReaderError, match="has 12 cells, but there are calls of 14"):
        annotate(made("dense", tmp_path), tmp_path / "out.h5ad", calls(cells=14))
    assert not (tmp_path / "out.h5ad").exists()
