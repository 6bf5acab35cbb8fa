"""``screader.annotate``: an AnnData object gets what the command writes into a file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from real_data import real
from scipy import sparse
from small_files import GENES, ONE_READER, counts, expression, genes, succeed, write_embeddings

import screader
from screader_lib.annotation import annotate as annotation
from screader_lib.cells.formats.open_expression import expression_of

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
CELLS = 70


def source() -> anndata.AnnData:
    """Cells with known types, of which one has too few counts."""
    values, types = counts(5, CELLS)
    values[10] = 0
    values[10, 3] = 2
    return expression(values, types)


@pytest.fixture(scope="module")
def annotated(reader: Path, tmp_path_factory: pytest.TempPathFactory) -> anndata.AnnData:
    """What the command writes."""
    folder = tmp_path_factory.mktemp("annotated")
    source().write_h5ad(folder / "cells.h5ad")
    words = ("-r", reader, "--min-counts", 10, "-o", folder / "out.h5ad")
    succeed("annotate", folder / "cells.h5ad", *words)
    return anndata.read_h5ad(folder / "out.h5ad")


def own(adata: anndata.AnnData) -> pandas.DataFrame:
    """The columns of calls."""
    return adata.obs.filter(like="screader_")


def assert_same_calls(adata: anndata.AnnData, expected: anndata.AnnData) -> None:
    """Equal to the last bit, and said to be from the same reader."""
    pandas.testing.assert_frame_equal(own(adata), own(expected), check_exact=True)
    np.testing.assert_array_equal(adata.obsm["X_screader"], expected.obsm["X_screader"])
    assert adata.obsm["X_screader"].dtype == expected.obsm["X_screader"].dtype
    about, same = adata.uns["screader"], expected.uns["screader"]
    assert set(about) == set(same)
    for name in ("tool", "version", "history", "created"):
        assert about[name] == same[name]
    assert list(about["labels"]) == list(same["labels"])
    assert about["consensus"] == same["consensus"]


def _as(kind: Callable, dtype: type) -> Callable[[anndata.AnnData, Path], anndata.AnnData]:
    def make(adata: anndata.AnnData, folder: Path) -> anndata.AnnData:
        adata.X = kind(adata.X.toarray().astype(dtype))
        return adata

    return make


def _layer(adata: anndata.AnnData, folder: Path) -> anndata.AnnData:
    adata.layers["counts"] = adata.X.tocsc()
    adata.X = sparse.csr_matrix(np.ones(adata.shape, np.float32))
    return adata


def _raw(adata: anndata.AnnData, folder: Path) -> anndata.AnnData:
    adata.raw = adata
    adata = adata[:, ::2].copy()
    adata.X = adata.X.toarray() - 1.5  # as if it were scaled
    return adata


def _view(adata: anndata.AnnData, folder: Path) -> anndata.AnnData:
    more = adata[[5, 9]].copy()
    more.obs_names = ["one", "another"]
    return anndata.concat([more, adata], merge="same")[2:]


def _backed(kind: Callable, mode: str = "r") -> Callable[[anndata.AnnData, Path], anndata.AnnData]:
    def make(adata: anndata.AnnData, folder: Path) -> anndata.AnnData:
        _as(kind, np.float32)(adata, folder).write_h5ad(folder / "b.h5ad")
        return anndata.read_h5ad(folder / "b.h5ad", backed=mode)

    return make


OBJECTS = {
    "csr": _as(sparse.csr_matrix, np.float32),
    "csr array of integers": _as(sparse.csr_array, np.int64),
    "csc": _as(sparse.csc_matrix, np.float32),
    "dense": _as(np.asarray, np.float64),
    "dense of half precision": _as(np.asarray, np.float16),
    "layer": _layer,
    "raw": _raw,
    "view": _view,
    "backed csr": _backed(sparse.csr_matrix),
    "backed csc": _backed(sparse.csc_matrix),
    "backed dense": _backed(np.asarray),
    "backed to be changed": _backed(sparse.csr_matrix, "r+"),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_python_and_the_command_give_equal_calls(
    kind: str, annotated: anndata.AnnData, reader: Path, tmp_path: Path
) -> None:
    adata = OBJECTS[kind](source(), tmp_path)
    before = adata.to_memory() if adata.isbacked else adata.copy()
    layer = "counts" if kind == "layer" else None
    result = screader.annotate(adata, reader, min_counts=10, layer=layer, threads=2)
    assert result is adata and not adata.is_view
    assert_same_calls(adata, annotated)
    assert adata.obs["screader_status"].iloc[10] == "left out"
    after = adata.to_memory() if adata.isbacked else adata
    assert type(after.X) is type(before.X) and after.X.dtype == before.X.dtype
    changed = after.X != before.X
    assert not (changed.nnz if sparse.issparse(changed) else changed.any())
    assert list(after.obs)[: before.obs.shape[1]] == list(before.obs)
    assert after.obs_names.equals(before.obs_names)


def test_nothing_of_a_matrix_is_sorted_or_summed(reader: Path) -> None:
    """Rows whose genes are not in order stay so, and are called all the same."""
    adata, mixed = source(), source()
    order = [
        np.arange(a, b)[::-1] for a, b in zip(mixed.X.indptr, mixed.X.indptr[1:], strict=False)
    ]
    order = np.concatenate(order)
    values = (mixed.X.data[order], mixed.X.indices[order], mixed.X.indptr)
    mixed.X = sparse.csr_matrix(values, mixed.shape)
    indices = mixed.X.indices.copy()
    first, second = (screader.annotate(a, reader, verbose=False) for a in (adata, mixed))
    assert (mixed.X.indices == indices).all()
    pandas.testing.assert_frame_equal(own(first), own(second), rtol=1e-4)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_blocks_are_copies(kind: Callable) -> None:
    adata = source()
    adata.X = kind(adata.X.toarray())
    found = expression_of(adata, "adata")
    block = found.read(*found.spans()[0])
    values = adata.X.data if sparse.issparse(adata.X) else adata.X
    assert not np.shares_memory(block.data, values)
    assert (block.toarray() == source().X.toarray()).all()


def test_an_earlier_run_is_kept_as_in_files(reader: Path, tmp_path: Path) -> None:
    adata = source()
    screader.annotate(adata, reader)
    adata.uns["screader_label_colors"] = ["#000000"] * 3
    adata.write_h5ad(tmp_path / "once.h5ad")
    for _ in range(2):
        succeed("annotate", tmp_path / "once.h5ad", "-r", reader, "--in-place")
        screader.annotate(adata, reader)
    expected = anndata.read_h5ad(tmp_path / "once.h5ad")
    assert list(adata.obs) == list(expected.obs)
    assert set(adata.obsm) == set(expected.obsm) and set(adata.uns) == set(expected.uns)
    assert "screader_label_previous_colors" in adata.uns
    pandas.testing.assert_frame_equal(own(adata), own(expected), check_exact=True)
    adata.write_h5ad(tmp_path / "again.h5ad")


def test_a_copy_leaves_the_object_alone(reader: Path, tmp_path: Path) -> None:
    adata = source()
    made = screader.annotate(adata, reader, in_place=False)
    assert "screader_label" in made.obs and "screader_label" not in adata.obs
    adata.write_h5ad(tmp_path / "cells.h5ad")
    content = (tmp_path / "cells.h5ad").read_bytes()
    view = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")[:60]
    with pytest.raises(screader.ScReaderError, match=r"view .* in_place=False"):
        screader.annotate(view, reader)
    few = screader.annotate(view, reader, in_place=False)
    assert not few.isbacked and few.n_obs == 60
    own_call = ["screader_label", "screader_status", "screader_confidence"]
    pandas.testing.assert_frame_equal(few.obs[own_call], made.obs[own_call].iloc[:60], rtol=1e-5)
    assert (tmp_path / "cells.h5ad").read_bytes() == content


def test_cells_may_have_one_name(reader: Path) -> None:
    adata, same = source(), source()
    same.obs_names = ["cell"] * CELLS
    screader.annotate(adata, reader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's, of names
        screader.annotate(same, reader)
    assert (same.obs["screader_label"].array == adata.obs["screader_label"].array).all()


def test_a_refusal_names_arguments_and_leaves_the_object_alone(
    reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = source()
    adata.var_names = [*genes()[:5], *(f"other{number}" for number in range(GENES - 5))]
    with pytest.raises(screader.ScReaderError, match=r"only 5 of the 40 .* force=True") as error:
        screader.annotate(adata, reader)
    assert "--" not in str(error.value) and str(error.value).startswith("adata: ")
    assert list(adata.obs) == ["cell_type"] and not adata.uns
    with pytest.warns(UserWarning, match="doubtful"):
        screader.annotate(adata, reader, force=True)
    assert set(adata.obs["screader_status"]) <= set(annotation.STATUSES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"reader": "no-such-reader"}, "no reader of this name"),
        ({"reader": None, "examples": "none.csv"}, "none.csv: No such file"),
        ({"reader": None, "types": "none.csv"}, "none.csv: No such file"),
        ({"markers": "none.csv"}, "none.csv: no such file"),
        ({"min_confidence": 50}, "min_confidence is 50"),
        ({"consensus": "all"}, "consensus is 'all', expected one of 'auto', 'none'"),
        ({"layer": "counts"}, "has no matrix counts. It has: X"),
        ({"layer": "raw"}, "has no matrix raw"),
        ({"gene_column": "symbol"}, "no column 'symbol'"),
        ({"clusters": "cell_typ"}, "no column 'cell_typ'. Did you mean: cell_type"),
        ({"adata": "cells.h5ad"}, "expected an AnnData object, not a str"),
    ],
)
def test_wrong_arguments(arguments: dict, words: str, reader: Path) -> None:
    with pytest.raises(screader.ScReaderError, match=re.escape(words)):
        screader.annotate(**{"adata": source(), "reader": reader, **arguments})


@pytest.mark.parametrize("matrix", [sparse.coo_matrix, lambda values: values.astype(str)])
def test_a_matrix_of_another_kind_is_refused(matrix: Callable, reader: Path) -> None:
    adata = source()
    adata._X = matrix(adata.X.toarray())
    with pytest.raises(screader.ScReaderError, match=r"adata: its matrix (is a coo|does not hold)"):
        screader.annotate(adata, reader)


def test_a_reader_is_loaded_asked_and_saved(
    reader: Path, annotated: anndata.AnnData, tmp_path: Path
) -> None:
    loaded, adata = screader.Reader.load(reader), source()
    assert sorted(loaded.labels) == ["alpha", "beta", "delta"] and loaded.card == {}
    loaded.save(tmp_path / "copy.h5")
    assert (tmp_path / "copy.h5").read_bytes() == reader.read_bytes()
    calls = screader.Reader(tmp_path / "copy.h5").predict(adata, min_counts=10)
    pandas.testing.assert_frame_equal(calls, own(annotated), check_exact=True)
    assert list(adata.obs) == ["cell_type"]
    assert "3 labels" in repr(loaded) and "alpha" in str(loaded)


def test_readers_are_listed() -> None:
    table = screader.readers()
    assert table.loc["human-pancreas", "known_from"] == "packaged"
    assert screader.Reader.load("human-pancreas").card["species"] == "Homo sapiens"


def test_messages_go_to_standard_error(reader: Path, capfd: pytest.CaptureFixture[str]) -> None:
    screader.annotate(source(), reader, verbose=False)
    assert capfd.readouterr() == ("", "")
    screader.annotate(source(), reader)  # no terminal, so no bars
    told = capfd.readouterr()
    assert "40 of 40 genes are genes of the reader" in told.err and not told.out
    assert "\x1b" not in told.err


def test_warnings_are_of_the_users_own_line(reader: Path) -> None:
    adata = source()
    adata.var_names = [*genes()[:5], *(f"other{number}" for number in range(GENES - 5))]
    with pytest.warns(UserWarning, match="doubtful") as told:
        screader.annotate(adata, reader, force=True, verbose=False)
    assert {one.filename for one in told} == {__file__}


def test_settings_of_torch_stay_as_they_are(reader: Path) -> None:
    import torch

    mode = torch.get_deterministic_debug_mode()
    try:
        torch.set_deterministic_debug_mode("default")
        screader.annotate(source(), reader)
        assert torch.get_deterministic_debug_mode() == 0
    finally:
        torch.set_deterministic_debug_mode(mode)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"warm_start_epochs": 1}, ("--method", "pooled", "--warm-start-epochs", 1)),
        (
            {"method": "logistic", "label_texts": "types.csv"},
            ("--method", "logistic", "--label-texts", "types.csv"),
        ),
    ],
)
def test_a_reader_is_trained_as_by_the_commands(
    settings: dict, words: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values, types = counts(0, 90)
    donors = [f"d{number % 3}" for number in range(90)]
    adata = expression(values, types, donor=donors)
    adata.write_h5ad("counts.h5ad")
    rows = (f"{kind},{name}" for kind, name in zip(sorted(set(types)), genes(), strict=False))
    Path("types.csv").write_text("\n".join(["type,text", *rows]))
    table = write_embeddings(tmp_path / "genes.h5ad")
    succeed("build-cells", "counts.h5ad", "-e", table, "--label", "cell_type", "-o", "cells.h5ad")
    succeed("train-reader", "cells.h5ad", *words, *ONE_READER, "-o", "reader.h5")
    reader = screader.train(adata, embeddings=table, calibrate_on="cells", **settings)
    assert list(adata.obs) == ["cell_type", "donor"]
    expected = screader.Reader("reader.h5")
    assert reader.labels == expected.labels
    calls = [one.predict(source(), min_counts=10) for one in (reader, expected)]
    pandas.testing.assert_frame_equal(*calls, check_exact=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label": "type"}, "the cells have no column 'type'"),
        ({"donor": "patient"}, "the cells have no column 'patient'"),
        ({"method": "best"}, "method is 'best', expected one of"),
        ({"epoch": 3}, "a setting is 'epoch', expected one of"),
        ({"embeddings": "none.h5ad"}, "none.h5ad"),
        ({"label_texts": "packaged"}, "method with label_texts is 'pooled', expected one of"),
        ({"label_texts": "none.csv", "method": "logistic"}, "none.csv"),
    ],
)
def test_what_cannot_be_trained(arguments: dict, words: str, tmp_path: Path) -> None:
    given = {"embeddings": write_embeddings(tmp_path / "genes.h5ad"), **arguments}
    with pytest.raises(screader.ScReaderError, match=re.escape(words)):
        screader.train(source(), **given)


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = anndata.read_h5ad(real("baron_human.h5ad"), backed="r")[:30].to_memory()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    *blocks, training = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    for code in blocks:
        exec(compile(code, str(PAGE), "exec"), names)
    obs = anndata.read_h5ad("annotated.h5ad").obs
    assert (obs["screader_label"].astype(str) == obs["cell_type1"].astype(str)).mean() > 0.9
    assert len(names["calls"]) == 30 and Path("reader.h5").is_file()
    values, types = counts(0, 90)
    names["adata"] = expression(values, types, donor=["d1", "d1", "d1", "d2", "d2", "d2"] * 15)
    names["adata"].obs["cell_type1"] = names["adata"].obs["cell_type"]
    names["adata"].var_names = cells.var_names[: 5 * GENES : 5]  # few, so that embedding is quick
    exec(compile(training, str(PAGE), "exec"), names)
    calls = screader.Reader.load("mine.h5").predict(names["adata"])
    assert (calls["screader_label"].astype(str) == types).mean() > 0.9
