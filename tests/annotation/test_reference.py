"""``annotate --reference``: a reader trained for the query, and then what any reader does."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from running import invoke
from small_files import SYMBOLS, counts, expression

import screader
from screader_lib.annotation import reference
from screader_lib.exchange.opening import open_exchange

SHARED = 30  # of the 40 genes of the reference, that the query has
ONE_OF = "give one of --reader, --reference, --examples and --types."
OTHERS = ["ACTB", "GAPDH", "EEF1A1", "TPT1", "FTL"]  # of the query, that the reference lacks


def cells(seed: int, genes: list[str], width: int, **obs: object) -> anndata.AnnData:
    """90 cells of three types, their first ``width`` genes by these names."""
    values, types = counts(seed)
    more = np.random.default_rng(seed).poisson(1.0, (len(values), len(genes) - width))
    adata = expression(values[:, :width], types, **obs)
    adata = anndata.AnnData(np.hstack([adata.X.toarray(), more]).astype(np.float32), adata.obs)
    adata.var_names = genes
    return adata


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference of four donors, and a query with most of its genes and some of its own."""
    folder = tmp_path_factory.mktemp("files")
    donors = [f"d{number % 4}" for number in range(90)]
    reference = cells(0, SYMBOLS, len(SYMBOLS), patient=donors)
    reference.write_h5ad(folder / "reference.h5ad")
    query = cells(5, [*SYMBOLS[:SHARED], *OTHERS], SHARED)
    query.obs = query.obs.rename(columns={"cell_type": "truth"})
    query.write_h5ad(folder / "query.h5ad")
    words = ("--reference", folder / "reference.h5ad", "--label", "cell_type")
    done = invoke(
        "annotate", folder / "query.h5ad", *words, "--donor", "patient",
        "--shared-genes", "--keep-reader", folder / "kept.h5", "-o", folder / "out.h5ad",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert (
        "a reader was trained on 90 cells of the reference, at most 1,000 of each label."
        in done.stderr
    )
    assert "tested on held-out donors" in done.stderr
    assert "in the choice of genes: over 4 folds: accuracy 1.000" in done.stderr
    return folder


def test_so_many_cells_of_a_label_are_learnt_from(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screader_tools.annotate.CELLS_OF_REFERENCE", 15)
    words = ("--reference", files / "reference.h5ad", "--label", "cell_type")
    kept = tmp_path / "kept.h5"
    done = invoke(
        "annotate", files / "query.h5ad", *words, "--keep-reader", kept,
        "-o", tmp_path / "out.h5ad",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "of the reference, at most 15 of each label." in done.stderr
    with open_exchange(kept, "reader") as opened:
        assert opened.file["labels/count"][()].tolist() == [15, 15, 15]
    right = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert (right["screader_label"].astype(str) == right["truth"]).mean() > 0.9


@pytest.mark.parametrize("words", [("--label", "cell_typ"), ("--clusters", "leidn")])
def test_a_column_that_is_not_there_is_told_before_the_work(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(reference, "_embed", None)  # which would be the first step
    label = () if "--label" in words else ("--label", "cell_type")
    done = invoke(
        "annotate", files / "query.h5ad", "--reference", files / "reference.h5ad", *label, *words,
        "-o", tmp_path / "out.h5ad",
    )  # fmt: skip
    assert done.exit_code == 1 and f"the cells have no column {words[1]!r}" in done.stderr


def test_labels_are_right_and_genes_those_that_both_have(files: Path) -> None:
    obs = anndata.read_h5ad(files / "out.h5ad").obs
    assert (obs["screader_label"].astype(str) == obs["truth"].astype(str)).all()
    assert genes_of(files / "kept.h5") == {symbol.replace(".", "-") for symbol in SYMBOLS[:SHARED]}


def genes_of(reader: Path) -> set[str]:
    """The symbols that it knows."""
    with open_exchange(reader, "reader") as opened:
        return set(opened.file["genes/symbol"].asstr()[()])


def test_the_kept_reader_calls_the_same(files: Path, tmp_path: Path) -> None:
    arguments = [files / "query.h5ad", "-r", files / "kept.h5", "-o", tmp_path / "o.h5ad"]
    done = invoke("annotate", *arguments)
    assert done.exit_code == 0, done.stderr
    both = [anndata.read_h5ad(path).obs for path in (files / "out.h5ad", tmp_path / "o.h5ad")]
    pandas.testing.assert_frame_equal(*both, check_exact=True)


def test_without_the_option_all_genes_are_learnt(files: Path, tmp_path: Path) -> None:
    words = ("--reference", files / "reference.h5ad", "--label", "cell_type")
    words = (*words, "--keep-reader", tmp_path / "kept.h5", "--calls", tmp_path / "calls.csv")
    done = invoke("annotate", files / "query.h5ad", *words)
    assert done.exit_code == 0, done.stderr
    assert genes_of(tmp_path / "kept.h5") == {symbol.replace(".", "-") for symbol in SYMBOLS}
    calls = pandas.read_csv(tmp_path / "calls.csv")
    truth = anndata.read_h5ad(files / "query.h5ad").obs["truth"].astype(str)
    assert (calls["screader_label"].to_numpy() == truth.to_numpy()).all()


def test_from_python_the_same_genes_are_learnt(files: Path, tmp_path: Path) -> None:
    reference = anndata.read_h5ad(files / "reference.h5ad")
    query = anndata.read_h5ad(files / "query.h5ad")
    settings = {"warm_start_epochs": 1, "calibrate_on": "cells"}
    reader = screader.train(reference, embeddings="tfidf", genes_of=query, **settings)
    labels = screader.annotate(query, reader).obs["screader_label"]
    assert (labels.astype(str) == query.obs["truth"].astype(str)).all()
    reader.save(tmp_path / "reader.h5")
    assert genes_of(tmp_path / "reader.h5") == genes_of(files / "kept.h5")


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        ((), ONE_OF, 2),
        (
            ("-r", "human-blood", "--reference", "R"),
            ONE_OF,
            2,
        ),
        (("--reference", "R"), "--reference needs --label.", 2),
        (("-r", "human-blood", "--label", "cell_type"), "go with --reference.", 2),
        (("-r", "human-blood", "--shared-genes"), "go with --reference.", 2),
        (("--reference", "R", "--label", "type"), "no column 'type'", 1),
        (
            ("--reference", "R", "--label", "cell_type", "--shared-genes"),
            "shares no embedded gene with",
            1,
        ),
    ],
)
def test_what_is_refused(
    words: tuple[str, ...], message: str, status: int, files: Path, tmp_path: Path
) -> None:
    query = files / "query.h5ad"
    if "shares" in message:
        query = tmp_path / "other.h5ad"
        cells(5, OTHERS, 0).write_h5ad(query)
    given = [str(files / "reference.h5ad") if word == "R" else word for word in words]
    done = invoke("annotate", query, *given, "-o", tmp_path / "o.h5ad")
    assert done.exit_code == status
    assert message in done.stderr
    assert not (tmp_path / "o.h5ad").exists()
