"""What ``build-cells`` makes of labels, of options that ``--like`` decides, of useless genes."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import pytest
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

from test_build_cells_inputs import built


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("embeddings") / "e.h5ad")


def test_what_like_decides_is_not_asked_for(tmp_path: Path, embeddings: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    like = built(tmp_path, embeddings, source, name="like.h5ad")
    words = ["build-cells", source, "-e", embeddings, "--like", like, "-o", tmp_path / "c"]
    for option in (["-k", 10], ["--weight", "rank"], ["--medians", "m.tsv"]):
        result = call(*words, *option)
        assert result.exit_code == 2 and "--like brings its own" in result.stderr
    assert "genes of the sequences hold" in succeed(*words).stderr


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
    assert "no cell has a label" in succeed("build-cells", *words).stderr


def test_ids_of_something_else_are_not_taken_for_the_labels(
    tmp_path: Path, embeddings: Path
) -> None:
    source = write_expression(tmp_path / "x.h5ad")  # its ids belong to cell_type
    made = anndata.read_h5ad(built(tmp_path, embeddings, source, "--label", "donor"))
    assert "label_ontology_id" not in made.obs


def test_genes_that_hold_next_to_nothing(tmp_path: Path) -> None:
    values, types = counts()
    values[:, :30] = 0
    values[:, 30] = 500
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad", [*genes()[:30], "GENE31"])
    line = fail("build-cells", tmp_path / "x.h5ad", "-e", tmp_path / "e.h5ad",
                "-o", tmp_path / "c.h5ad")  # fmt: skip
    assert "hold only" in line and "--min-mapped" in line
