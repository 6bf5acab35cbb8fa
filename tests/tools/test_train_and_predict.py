"""``train-reader`` and ``predict`` as their users type them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from fold_files import built
from small_files import (
    CELLS,
    GENES,
    ONE_READER,
    call,
    counts,
    expression,
    fail,
    succeed,
    write_cells,
    write_embeddings,
    write_llama,
)

from screader_lib import label_metrics
from screader_lib.exchange import encoding
from screader_lib.option_values import METHODS

QUICK = ["--warm-start-epochs", "8", "--epochs", "1", "--precision", "float32"]
TEXT_MODEL_METHODS = ("genept-s",)  # tests/reader/test_genept_s.py
ABLE = {"screader": QUICK, "screader-random": QUICK, "pooled": [], "genept-w": [], "logistic": []}


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory, cells: Path) -> Path:
    """Ninety other cells of the same types, built like the training cells."""
    return write_cells(tmp_path_factory.mktemp("test"), "--like", cells, seed=1)


@pytest.fixture(scope="module")
def readers(
    tmp_path_factory: pytest.TempPathFactory, cells: Path, llama: Path
) -> Callable[[str], Path]:
    """Gives a method's reader, trained once."""
    folder = tmp_path_factory.mktemp("readers")

    @cache
    def reader(method: str) -> Path:
        return trained(folder, cells, llama, method)

    return reader


def trained(folder: Path, cells: Path, llama: Path, method: str, *words: object) -> Path:
    reader = folder / f"{method}.h5"
    options = ABLE.get(method, [])
    llm = ["--llm", llama] if method.startswith("screader") else []
    words = (*ONE_READER, *words)
    succeed("train-reader", cells, "--method", method, *options, *llm, *words, "-o", reader)
    return reader


def predicted(folder: Path, cells: Path, reader: Path, *words: object) -> anndata.AnnData:
    output = folder / f"{reader.stem}.h5ad"
    succeed("predict", cells, "-r", reader, *words, "-o", output)
    succeed("validate", output, reader)
    return anndata.read_h5ad(output)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in TEXT_MODEL_METHODS])
def test_method(
    tmp_path: Path, held_out: Path, readers: Callable[[str], Path], method: str
) -> None:
    made = predicted(tmp_path, held_out, readers(method))
    right = (made.obs["true_label"].astype(str) == made.obs["predicted_label"].astype(str)).mean()
    if method in ABLE:
        assert right >= 0.95
    elif method == "majority":
        assert right == pytest.approx(1 / 3) and made.obs["predicted_label"].nunique() == 1
    assert list(made.uns["labels"]) == ["alpha", "beta", "delta"]
    assert made.obsm["probability"].sum(1) == pytest.approx(np.ones(CELLS), abs=1e-5)
    best = made.obsm["probability"].max(1)
    assert made.obs["confidence"].to_numpy() == pytest.approx(best)
    assert set(made.obs["status"]) == {"assigned"}
    called = made.obs["predicted_label"].astype(str)
    assert (made.obs["second_label"].astype(str) != called).all()
    ids = {"alpha": "CL:0000000", "beta": "CL:0000001", "delta": "CL:0000002"}
    assert made.obs["predicted_ontology_id"].tolist() == [ids[label] for label in called]
    metrics = json.loads(made.uns["metrics"])
    scores = label_metrics.scores(made.obs["true_label"].to_numpy(), called.to_numpy())
    assert {name: metrics[name] for name in scores} == scores and metrics["cells"] == CELLS


def test_same_bytes_twice(tmp_path: Path, cells: Path, held_out: Path, llama: Path) -> None:
    outputs = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        reader = trained(folder, cells, llama, "screader", "--seed", 4)
        predicted(folder, held_out, reader)
        outputs.append((reader.read_bytes(), (folder / "screader.h5ad").read_bytes()))
    assert outputs[0] == outputs[1]
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_empty_cells_are_unassigned(
    tmp_path: Path, cells: Path, readers: Callable[[str], Path]
) -> None:
    values, types = counts(seed=1)
    values[7] = 0
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    empty = tmp_path / "c.h5ad"
    words = ["-e", tmp_path / "e.h5ad", "--like", cells, "-o", empty]
    succeed("build-cells", tmp_path / "x.h5ad", *words)
    made = predicted(tmp_path, empty, readers("screader"))
    assert made.obs["status"].eq("unassigned").to_numpy().nonzero()[0].tolist() == [7]


def test_the_llm_may_have_moved_but_not_changed(
    tmp_path: Path, cells: Path, held_out: Path, llama: Path
) -> None:
    reader = trained(tmp_path, cells, llama, "screader", "--validation", 0)  # the LLM has weight
    moved = shutil.copytree(llama, tmp_path / "moved")
    predicted(tmp_path, held_out, reader, "--llm", moved)
    other = write_llama(tmp_path / "other", seed=9)
    line = fail("predict", held_out, "-r", reader, "--llm", other, "-o", tmp_path / "p.h5ad")
    assert "not the one that the reader was trained with" in line


def test_a_reader_whose_llm_has_no_weight_needs_none(
    tmp_path: Path, cells: Path, held_out: Path, llama: Path
) -> None:
    llm, reader = shutil.copytree(llama, tmp_path / "llm"), tmp_path / "r.h5"
    words = ["--llm", llm, *QUICK, "--learning-rate", "1e-9"]
    trained = succeed("train-reader", cells, *words, "-o", reader)
    shutil.rmtree(llm)
    result = succeed("predict", held_out, "-r", reader, "-o", tmp_path / "p.h5ad")
    told = succeed("screader", "info", reader).stdout
    assert "predict neither needs nor loads it" in trained.stderr
    assert "the LLM is not loaded" in result.stderr and "predict does not load it" in told
    made = anndata.read_h5ad(tmp_path / "p.h5ad")
    assert made.uns["latent"] == "pool" and made.obsm["X_screader"].shape == (CELLS, 32)
    assert json.loads(made.uns["metrics"])["accuracy"] >= 0.95
    again = succeed("predict", held_out, "-r", reader, "--llm", llama, "-o", tmp_path / "p.h5ad")
    assert "--llm has no effect" in again.stderr


@pytest.mark.parametrize("method", ["pooled", "genept-w", "logistic", "majority"])
def test_a_recipe_is_not_ignored(tmp_path: Path, cells: Path, method: str) -> None:
    words = ["--method", method, "--recipe", "paper", "-o", tmp_path / "r.h5"]
    result = call("train-reader", cells, *words)
    assert result.exit_code == 2 and "--recipe paper only applies to" in result.stderr
    assert not (tmp_path / "r.h5").exists()


def test_genept_by_the_papers_recipe(tmp_path: Path, cells: Path) -> None:
    reader, words = tmp_path / "r.h5", ["--method", "genept", "--recipe", "paper", *ONE_READER]
    told = succeed("train-reader", cells, *words, "-o", reader).stderr
    assert "warm start has 20 steps" in told and told.index("warm-up") < told.index("loss")
    with h5py.File(reader) as file:
        recorded = json.loads(file["configuration"].asstr()[()])
        assert (recorded["scaling"], recorded["warm_up_steps"]) == ("none", 1000)
        assert (file["tensors/standardise.pool.spread"][()] == 1).all()


@pytest.mark.parametrize("method", ["pooled", "logistic", "genept-w"])
def test_genes_known_by_name_need_no_text(
    tmp_path: Path, held_out: Path, readers: Callable[[str], Path], method: str
) -> None:
    """Cells of the same species, whose genes another model embedded, get the same labels."""
    reader = readers(method)
    expected = predicted(tmp_path, held_out, reader).obsm["probability"]
    other = shutil.copy(held_out, tmp_path / "other.h5ad")
    with h5py.File(other, "a") as file:
        del file["varm/embedding"]
        vectors = np.random.default_rng(4).standard_normal((GENES, 8)).astype(np.float32)
        encoding.write_array(file["varm"], "embedding", vectors)
        del file["uns/embedding"]
        encoding.write_json(file["uns"], "embedding", {"model": "another", "dim": 8})
    assert np.array_equal(predicted(tmp_path, other, reader).obsm["probability"], expected)


@pytest.mark.parametrize(("label", "message"), [("one", "1 labels"), ("nan", "0 labels")])
def test_labels_that_cannot_be_learnt(tmp_path: Path, label: str, message: str) -> None:
    cells, reader = built(tmp_path, [label] * CELLS), tmp_path / "r.h5"
    assert message in fail("train-reader", cells, "--method", "pooled", "-o", reader)
    assert not reader.exists()


def test_a_file_that_is_no_checkpoint_is_not_overwritten(tmp_path: Path, cells: Path) -> None:
    other = tmp_path / "r.h5.checkpoint"
    other.write_bytes(cells.read_bytes())
    line = fail("train-reader", cells, "--method", "pooled", "-o", tmp_path / "r.h5")
    assert "not a checkpoint" in line
    assert other.read_bytes() == cells.read_bytes()


def with_labels(path: Path, *names: str) -> Path:
    """The cells of ``path`` with other names for alpha, beta and delta."""
    with h5py.File(path, "a") as file:
        file["obs/label/categories"][...] = np.array(names, object)
    return path


def test_labels_that_the_reader_does_not_have(tmp_path: Path, cells: Path) -> None:
    reader = tmp_path / "r.h5"
    succeed("train-reader", cells, "--method", "logistic", *ONE_READER, "-o", reader)
    some = with_labels(Path(shutil.copy(cells, tmp_path / "some.h5ad")), "alpha", "beta", "D cell")
    words = ["-r", reader, "-o", tmp_path / "p.h5ad"]
    messages = succeed("predict", some, *words).stderr
    assert "accuracy 1.000" in messages
    assert "Left out: 30 cells whose labels the reader does not have, 0.0% of them" in messages
    assert "unassigned: D cell (30)." in messages
    metrics = json.loads(anndata.read_h5ad(tmp_path / "p.h5ad").uns["metrics"])
    assert metrics["cells"] == 60 and metrics["accuracy"] == 1 == metrics["other_labels_assigned"]
    assert metrics["other_labels"] == {"D cell": 30}
    none = with_labels(Path(shutil.copy(cells, tmp_path / "none.h5ad")), "A cell", "B", "D cell")
    messages = succeed("predict", none, *words).stderr
    assert "no label in common with the reader; not measured." in messages
    assert "accuracy" not in messages and "A cell (30), B (30), D cell (30)" in messages
    metrics = json.loads(anndata.read_h5ad(tmp_path / "p.h5ad").uns["metrics"])
    assert metrics["cells"] == 0 and "accuracy" not in metrics
    report = tmp_path / "report.html"
    succeed("plot", "report", tmp_path / "p.h5ad", "-o", report)
    assert "None of their true labels is one that the reader has" in report.read_text("utf-8")
    line = fail("plot", "metrics", tmp_path / "p.h5ad", "-o", tmp_path / "m.png")
    assert "none in common" in line and "--label-map" in line
    table = tmp_path / "map.csv"
    table.write_text('theirs,ours\n"A cell",alpha\nD cell , delta\n')
    messages = succeed("predict", none, *words, "--label-map", table).stderr
    assert "accuracy 1.000" in messages and "unassigned: B (30)." in messages
    obs = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    assert dict(zip(obs["label"], obs["true_label"], strict=True)) == {
        "A cell": "alpha", "B": "B", "D cell": "delta",
    }  # fmt: skip
    succeed("validate", tmp_path / "p.h5ad")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha\tbeta\tdelta\n", "line 1 is not two labels"),
        ("alpha\tbeta\n\nbeta\t\n", "line 3 is not two labels"),
        ("theirs\tours\nalpha\tgamma\n", "line 2: the reader has no label 'gamma'. It has: alpha"),
        ("alpha,gamma\n", "line 1: the reader has no label 'gamma'"),
        ("alpha,beta\nalpha,delta\n", "line 2 gives 'alpha' a second label"),
        ("x,beta\n", "translates none of the cells' labels. They are: alpha, beta, delta."),
        ('alpha,"beta\n', "line 1: unexpected end of data"),
        ("", "is empty"),
    ],
)
def test_a_wrong_table_of_labels(tmp_path: Path, cells: Path, text: str, message: str) -> None:
    succeed("train-reader", cells, "--method", "majority", *ONE_READER, "-o", tmp_path / "r.h5")
    (tmp_path / "map.txt").write_text(text)
    words = ["-r", tmp_path / "r.h5", "--label-map", tmp_path / "map.txt"]
    assert message in fail("predict", cells, *words, "-o", tmp_path / "p.h5ad")
    assert not (tmp_path / "p.h5ad").exists()
