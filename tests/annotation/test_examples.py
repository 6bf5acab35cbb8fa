"""``annotate --examples``: all cells called from a few that a person has named."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from running import invoke
from small_files import TYPES, call, counts, expression, fail, succeed

from screader_lib.annotation.few_labels.example_table import learnt_from
from screader_lib.annotation.few_labels.spreading import Spreading

CELLS = 150
VALUES, KINDS = counts(3, CELLS)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three types in equal parts, and a column that tells them apart."""
    path = tmp_path_factory.mktemp("examples") / "cells.h5ad"
    groups = [f"g{TYPES.index(kind)}" for kind in KINDS]
    expression(VALUES, KINDS, group=groups).write_h5ad(path)
    return path


ONE_OF = "give one of --reader, --reference, --examples and --types."


def table(folder: Path, text: str, name: str = "examples.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def annotated(folder: Path, source: Path, examples: Path, *words: object) -> pandas.DataFrame:
    succeed("annotate", source, "--examples", examples, "-o", folder / "out.h5ad", *words)
    return anndata.read_h5ad(folder / "out.h5ad").obs


def test_one_cell_of_each_type_names_all(tmp_path: Path, source: Path) -> None:
    named = "cell,label\ncell000,alpha\ncell001,beta\ncell002,delta\ncell003,unknown\n"
    obs = annotated(tmp_path, source, table(tmp_path, named), "--calls", tmp_path / "calls.tsv")
    assert (obs["screader_label"].astype(str) == KINDS).mean() > 0.98
    assert obs["screader_status"].value_counts()["example"] == 3
    whole = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert (whole.X.toarray() == VALUES).all()
    assert whole.uns["screader"]["examples"] == {"alpha": 1, "beta": 1, "delta": 1}
    assert whole.obsm["X_screader"].shape[0] == CELLS
    calls = pandas.read_csv(tmp_path / "calls.tsv", sep="\t", index_col=0)
    assert calls["screader_label"].tolist() == obs["screader_label"].tolist()


def test_cells_of_a_type_without_example_get_no_label(tmp_path: Path, source: Path) -> None:
    obs = annotated(tmp_path, source, table(tmp_path, "cell\tlabel\ncell000\tA\ncell001\tB\n"))
    without = KINDS == "delta"
    assert obs["screader_label"][without].isna().mean() > 0.9
    assert obs["screader_label"][~without].isna().mean() < 0.1
    assert set(obs["screader_status"][without]) <= {"unfamiliar", "low confidence", "assigned"}


def test_order_of_cells_and_rows_does_not_matter(tmp_path: Path, source: Path) -> None:
    text = "label,cell\nalpha,cell000\nbeta,cell001\ndelta,cell002\n"
    first = annotated(tmp_path, source, table(tmp_path, text))
    mixed = np.random.default_rng(0).permutation(CELLS)
    anndata.read_h5ad(source)[mixed].write_h5ad(tmp_path / "mixed.h5ad")
    lines = text.splitlines()
    backwards = table(tmp_path, "\n".join([lines[0], *lines[:0:-1]]) + "\n", "again.csv")
    second = annotated(tmp_path, tmp_path / "mixed.h5ad", backwards).loc[first.index]
    assert (first["screader_label"].astype(str) == second["screader_label"].astype(str)).all()
    near = second["screader_confidence"].to_numpy()
    assert first["screader_confidence"].to_numpy() == pytest.approx(near, abs=1e-3)


def test_named_clusters(tmp_path: Path, source: Path) -> None:
    text = "cluster,label\ng0,alpha\ng1,beta\ng2,\n"
    obs = annotated(tmp_path, source, table(tmp_path, text), "--clusters", "group")
    assert (obs["screader_label"][KINDS == "beta"] == "beta").all()
    assert obs["screader_status"].value_counts()["example"] == 100
    assert obs["screader_label"][KINDS == "delta"].isna().mean() > 0.9


def test_a_wrong_example_is_told(tmp_path: Path, source: Path) -> None:
    rows = [f"cell{number:03},{KINDS[number]}" for number in range(12)]
    text = "cell,label\n" + "\n".join(rows) + "\ncell012,beta\n"  # it is alpha
    done = succeed(
        "annotate", source, "--examples", table(tmp_path, text), "--calls", tmp_path / "c.csv"
    )
    assert "1 of the 13 examples look like another of the labels" in done.stderr
    assert "'cell012' (alpha): a mistake?" in done.stderr


def test_several_inputs_and_orders_of_genes(tmp_path: Path, source: Path) -> None:
    cells = anndata.read_h5ad(source)
    cells[:80].write_h5ad(tmp_path / "one.h5ad")
    cells[80:, ::-1].write_h5ad(tmp_path / "two.h5ad")
    examples = table(tmp_path, "cell,label\ncell000,alpha\ncell001,beta\ncell083,delta\n")
    words = ("--examples", examples, "-o", tmp_path / "both.h5ad")
    succeed("annotate", tmp_path / "one.h5ad", tmp_path / "two.h5ad", *words)
    obs = anndata.read_h5ad(tmp_path / "both.h5ad").obs
    assert (obs["screader_label"].astype(str) == KINDS).mean() > 0.98


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("cell,label\nx,alpha\ncell001,beta\n", (), "1 of its 2 cells are not among those of the"),
        ("cell,label\ncell000,alpha\n", (), "has 1 label in its column 'label'"),
        ("cell\ncell000\n", (), "is no table of examples"),
        ("cell,label\ncell000,a\ncell000,b\n", (), "gives cell 'cell000' two labels, 'a' and 'b'"),
        ("cluster,label\ng0,a\ng1,b\n", (), "Say which column of obs these are: --clusters COLUMN"),
        ("cluster,label\ng0,a\ng9,b\n", ("--clusters", "group"), "the first is 'g9'"),
        ("cluster,label\ng0,a\ng1,b\n", ("--clusters", "none"), "none"),
    ],
)
def test_wrong_tables(
    tmp_path: Path, source: Path, text: str, words: tuple[str, ...], message: str
) -> None:
    examples = table(tmp_path, text)
    output = tmp_path / "out.h5ad"
    assert message in fail("annotate", source, "--examples", examples, "-o", output, *words)
    assert not output.exists()


def test_too_few_cells(tmp_path: Path) -> None:
    expression(VALUES[:12], KINDS[:12]).write_h5ad(tmp_path / "few.h5ad")
    examples = table(tmp_path, "cell,label\ncell000,alpha\ncell001,beta\n")
    words = (tmp_path / "few.h5ad", "--examples", examples, "--calls", tmp_path / "c.csv")
    assert "has 12 cells, fewer than 20" in fail("annotate", *words)


def test_options_that_need_a_reader(tmp_path: Path, source: Path) -> None:
    examples = table(tmp_path, "cell,label\ncell000,alpha\ncell001,beta\n")
    for words, message in (
        ((), ONE_OF),
        (("--examples", examples, "-r", "human-blood"), ONE_OF),
        (("--examples", examples, "--report", tmp_path / "r.html"), "--report needs --reader"),
        (("--examples", examples, "--clusters", "auto"), "--clusters auto needs --reader"),
    ):
        done = call("annotate", source, *words, "-o", tmp_path / "o.h5ad")
        assert done.exit_code == 2 and message in done.stderr
    done = invoke("annotate", source, "--examples", examples, "--in-place")
    assert done.exit_code == 0, done.stderr
    assert "screader_label" in anndata.read_h5ad(source).obs


def test_cells_outside_the_sketch_are_called_by_their_neighbours() -> None:
    random = np.random.default_rng(0)
    centres = np.eye(3, 6, dtype=np.float32)[np.arange(300) % 3]
    places = centres + random.normal(0, 0.2, (300, 6)).astype(np.float32)
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    spreading = Spreading(places, np.arange(0, 300, 2))
    rows = np.array([1, 2, 3])  # of both kinds
    called = spreading.probability(rows, rows % 3, 3).argmax(1)
    assert (called == np.arange(300) % 3).mean() > 0.97
    assert np.allclose(spreading.averaged(np.ones((300, 2), np.float32), 0.8), 1, atol=1e-5)


def test_large_groups_of_examples_are_thinned_evenly() -> None:
    kept = learnt_from(np.arange(1000), np.repeat([0, 1], [990, 10]), 100)
    assert (kept[:990].sum(), kept[990:].sum()) == (100, 10)
    assert np.diff(np.flatnonzero(kept[:990])).max() <= 11
