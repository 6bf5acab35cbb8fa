"""What ``build-cells`` makes of labels, of options that ``--like`` decides, of useless genes."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas
import pytest
from scipy import sparse
from small_files import (
    CELLS,
    call,
    counts,
    expression,
    fail,
    genes,
    succeed,
    write_embeddings,
    write_expression,
)

sys.path.insert(0, str(Path(__file__).parent))

from test_build_cells import sequences_of
from test_build_cells_inputs import built

from screader_lib.exchange import encoding


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("embeddings") / "e.h5ad")


def test_what_like_decides_is_not_asked_for(tmp_path: Path, embeddings: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    like = built(tmp_path, embeddings, source, name="like.h5ad")
    words = ["build-cells", source, "-e", embeddings, "--like", like, "-o", tmp_path / "c"]
    for option in (["-k", 10], ["--weight", "rank"], ["--medians", "m.tsv"]):
        result = call(*words, *option)
        assert result.exit_code == 2 and "cannot be combined with --like" in result.stderr
    assert "selected genes carry" in succeed(*words).stderr


def test_labels_that_say_unknown(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    types[:7] = "unknown"
    data = expression(values, types, cell_type_ontology_term_id="CL:0000001", nobody="nan")
    data.obs.loc[data.obs["cell_type"] == "unknown", "cell_type_ontology_term_id"] = "unknown"
    data.write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", "--label", "cell_type"]
    kept = anndata.read_h5ad(built(tmp_path, embeddings, *words)).obs
    assert kept["label_ontology_id"].isna().sum() == kept["label"].isna().sum() == 7
    dropped = anndata.read_h5ad(built(tmp_path, embeddings, *words, "--drop-labels", "unknown"))
    assert dropped.n_obs == CELLS - 7
    words = [tmp_path / "x.h5ad", "--label", "nobody", "-e", embeddings, "-o", tmp_path / "d"]
    assert "no cell has a known label" in succeed("build-cells", *words).stderr


def test_ids_of_something_else_are_not_taken_for_the_labels(
    tmp_path: Path, embeddings: Path
) -> None:
    source = write_expression(tmp_path / "x.h5ad")  # its ids belong to cell_type
    made = anndata.read_h5ad(built(tmp_path, embeddings, source, "--label", "donor"))
    assert "label_ontology_id" not in made.obs


@pytest.mark.parametrize("columns", [False, True], ids=["by-rows", "by-columns"])
def test_weights_that_are_the_counts_as_they_are(
    tmp_path: Path, embeddings: Path, columns: bool
) -> None:
    values, types = counts()
    data = expression(values, types)
    data.X = sparse.csc_matrix(values) if columns else sparse.csr_matrix(values)
    data.var_names = [*genes()[:39], "GENE00"]  # two columns that are added up
    data.write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", "--select", "all", "--weight", "expression"]
    made = sequences_of(built(tmp_path, embeddings, *words))
    values[:, 0] += values[:, 39]
    for row, (ranked, weights) in zip(values, made.values(), strict=True):
        wanted = {name: count for name, count in zip(genes()[:39], row, strict=False) if count}
        assert dict(zip(ranked, weights, strict=True)) == wanted


def test_log_values_have_no_counts_to_weigh_by(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    logs = np.log1p(values / values.sum(1, keepdims=True) * 1e4)
    expression(logs, types).write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", "-e", embeddings, "-o", tmp_path / "c.h5ad"]
    assert "--layer" in fail("build-cells", *words, "--weight", "expression")
    like = built(tmp_path, embeddings, write_expression(tmp_path / "y.h5ad"),
                 "--weight", "expression", name="like.h5ad")  # fmt: skip
    assert "needs counts" in fail("build-cells", *words, "--like", like)


@pytest.mark.parametrize("what", ["select", "rank_by", "weight"])
def test_a_construction_that_is_not_known(tmp_path: Path, embeddings: Path, what: str) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    like = built(tmp_path, embeddings, source, name="like.h5ad")
    with h5py.File(like, "r+") as file:
        content = encoding.read_json(file["uns"], "construction") | {what: "new"}
        del file["uns/construction"]
        encoding.write_json(file["uns"], "construction", content)
    words = ["-e", embeddings, "--like", like, "-o", tmp_path / "c.h5ad"]
    assert f"{what} 'new', wanted" in fail("build-cells", source, *words)


def test_share_of_expression_by_input(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    expression(values, types).write_h5ad(tmp_path / "a.h5ad")
    values[:, 39] = 9 * values[:, :39].sum(1)  # by far the most, and of no known gene
    poor = expression(values, types)
    poor.var_names = [*genes()[:39], "OTHER"]
    poor.write_h5ad(tmp_path / "b.h5ad")
    inputs = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    words = ["-e", embeddings, "--select", "all", "-o", tmp_path / "c.h5ad"]
    done = succeed("build-cells", *inputs, *words, "--min-mapped", 0.05)
    told = f"55.0% ({inputs[0]} 100.0%, {inputs[1]} 10.0%)"
    assert f"embedded genes carry {told} of the counts." in done.stderr
    assert f"the 40 selected genes carry {told} of the counts." in done.stderr
    for path in inputs:
        assert f"{path}: values are read as raw counts." in done.stderr
    line = fail("build-cells", *inputs, *words, "--min-mapped", 0.2)
    assert str(inputs[1]) in line and "only 10.0% of the counts" in line


def test_a_condition_of_truth_values_with_gaps(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    data = expression(values, types)
    flags = [[True, False, None][number % 3] for number in range(CELLS)]
    data.obs["primary"] = pandas.array(flags, dtype="boolean")
    data.write_h5ad(tmp_path / "x.h5ad")
    source = tmp_path / "x.h5ad"
    for value, expected in (("primary=true", [0]), ("primary=False", [1]), ("primary!=1", [1, 2])):
        made = anndata.read_h5ad(built(tmp_path, embeddings, source, "--where", value))
        names = [name for n, name in enumerate(data.obs_names) if n % 3 in expected]
        assert made.obs_names.tolist() == names


def test_genes_that_hold_next_to_nothing(tmp_path: Path) -> None:
    values, types = counts()
    values[:, :30] = 0
    values[:, 30] = 500
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad", [*genes()[:30], "GENE31"])
    line = fail("build-cells", tmp_path / "x.h5ad", "-e", tmp_path / "e.h5ad",
                "-o", tmp_path / "c.h5ad")  # fmt: skip
    assert "carry only" in line and "--min-mapped" in line
