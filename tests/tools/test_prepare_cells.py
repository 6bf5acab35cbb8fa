"""``prepare-cells`` as its users type it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from scipy import sparse
from small_files import fail, succeed, write_embeddings

sys.path.insert(0, str(Path(__file__).parents[1] / "preparation"))
sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from real_data import real
from test_clusters import CELLS, GENES, counts, types

from screader_lib.preparation import clustering

TOOL = "prepare-cells"
SMALL = ("--min-genes", 10, "--variable-genes", 100)
NAMES = ("alpha", "beta", "delta")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepare")
    data = counts()
    data.obs["donor"] = ["d1", "d2"] * (CELLS // 2)
    data.write_h5ad(folder / "x.h5ad")
    rows = [
        f"{NAMES[number // 20]},GENE{number:03},CL:000000{number // 20}" for number in range(60)
    ]
    (folder / "m.csv").write_text("cell_type,gene,ontology_id\n" + "\n".join(rows) + "\n")
    succeed(TOOL, folder / "x.h5ad", "--markers", folder / "m.csv", *SMALL,
            "--evidence", folder / "e.tsv", "-o", folder / "p.h5ad")  # fmt: skip
    return folder


def test_output(folder: Path, tmp_path: Path) -> None:
    made = anndata.read_h5ad(folder / "p.h5ad")
    assert made.obs["label"].tolist() == [NAMES[kind] for kind in types()]
    assert set(made.obs["label_status"]) == {"assigned"}
    assert set(made.obs["label_ontology_id"]) == {"CL:0000000", "CL:0000001", "CL:0000002"}
    assert made.obs["label_score"].dtype == np.float32 and (made.obs["label_score"] > 0).all()
    assert made.obs["donor"].tolist()[:2] == ["d1", "d2"]
    assert made.obsm["X_pca"].shape == (CELLS, 10) and made.obsm["X_umap"].shape == (CELLS, 2)
    assert int(made.var["highly_variable"].sum()) == 100
    assert (made.X != counts()[:, made.var_names].X).nnz == 0
    assert (folder / "e.tsv").read_text() == made.uns["prepare_cells"]["evidence"]
    assert '"tool": "prepare-cells"' in made.uns["prepare_cells"]["record"]
    assert str(folder) not in made.uns["prepare_cells"]["record"]
    words = [folder / "x.h5ad", "--markers", folder / "m.csv", *SMALL]
    succeed(TOOL, *words, "-o", tmp_path / "p.h5ad")
    assert (tmp_path / "p.h5ad").read_bytes() == (folder / "p.h5ad").read_bytes()


def test_build_cells_takes_it(folder: Path, tmp_path: Path) -> None:
    names = [f"GENE{number:03}" for number in range(GENES)]
    write_embeddings(tmp_path / "e.h5ad", names)
    words = ["-e", tmp_path / "e.h5ad", "--label", "label", "-o", tmp_path / "c.h5ad"]
    succeed("build-cells", folder / "p.h5ad", *words)
    labels = anndata.read_h5ad(tmp_path / "c.h5ad").obs["label"]
    assert labels.value_counts().to_dict() == {"alpha": 75, "beta": 45, "delta": 30}


def test_corrected_labels(folder: Path, tmp_path: Path) -> None:
    edited = (folder / "e.tsv").read_text().replace("delta\tCL:0000002", "epsilon\t")
    (tmp_path / "e.tsv").write_text(edited)
    words = [folder / "x.h5ad", "--markers", folder / "m.csv", *SMALL]
    succeed(TOOL, *words, "--labels", tmp_path / "e.tsv", "-o", tmp_path / "p.h5ad")
    made = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    assert set(made["label"]) == {"alpha", "beta", "epsilon"}
    assert set(made.loc[made["label"] == "epsilon", "label_status"]) == {"corrected"}


def test_quality_control_is_reported_and_no_markers_mean_no_labels(tmp_path: Path) -> None:
    data = counts()
    data.X = data.X.multiply(np.arange(CELLS)[:, None] >= 5).tocsr()
    data.write_h5ad(tmp_path / "x.h5ad")
    done = succeed(TOOL, tmp_path / "x.h5ad", *SMALL, "-o", tmp_path / "p.h5ad")
    assert "5 cells with fewer than 10 genes removed" in done.stderr
    assert "145 of 150 cells" in done.stderr
    assert "clusters are not labelled: give --markers or --labels" in done.stderr
    made = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    assert len(made) == 145 and made["cluster"].nunique() == 3
    assert set(made["label"]) == {"unknown"} and "label_score" not in made


@pytest.mark.slow
def test_real_cells_blind_to_their_labels(tmp_path: Path) -> None:
    anndata.read_h5ad(real("baron_human.h5ad"))[::3].copy().write_h5ad(tmp_path / "x.h5ad")
    words = ["--markers", real("PanglaoDB_markers_27_Mar_2020.tsv.gz"), "--tissue", "Pancreas"]
    succeed(TOOL, tmp_path / "x.h5ad", *words, "-o", tmp_path / "p.h5ad")
    obs = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    for published, label in (("beta", "Beta cells"), ("alpha", "Alpha cells"),
                             ("ductal", "Ductal cells"), ("acinar", "Acinar cells")):  # fmt: skip
        labels = obs.loc[obs["cell_type1"] == published, "label"]
        assert np.mean(labels == label) > 0.75  # other versions find other clusters


def with_last(values: sparse.csr_matrix, last: float) -> sparse.csr_matrix:
    """Counts whose last value, which is in a late block, is another one."""
    values.data[-1] = last
    return values


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        pytest.param(lambda x: x.log1p(), [], "raw counts are required", id="log"),
        pytest.param(lambda x: x.toarray() - 1, [], "negative values", id="scaled"),
        pytest.param(lambda x: np.ones(x.shape, np.float32), [], "vary too little", id="constant"),
        pytest.param(lambda x: with_last(x, 1.5), [], "others fractions", id="late-fraction"),
        pytest.param(lambda x: with_last(x, np.nan), [], "NaN or infinite", id="late-nan"),
        pytest.param(None, ["--components", 999], "too few to cluster", id="few-genes"),
        pytest.param(None, ["--min-genes", 9999], "passes quality control", id="none-left"),
        pytest.param(None, ["--markers", "none.csv"], "none.csv", id="no-markers"),
        pytest.param(None, ["--labels", "none.csv"], "none.csv", id="no-labels"),
        pytest.param(None, ["--layer", "counts"], "no matrix layers/counts", id="no-layer"),
    ],
)
def test_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, words: list, message: str
) -> None:
    monkeypatch.setattr("screader_lib.cells.formats.expression.VALUES_PER_BLOCK", 5_000)
    data, output, evidence = counts(), tmp_path / "p.h5ad", tmp_path / "e.tsv"
    data.X = data.X if change is None else change(data.X)
    data.write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", *SMALL, *words, "-o", output, "--evidence", evidence]
    assert message in fail(TOOL, *words)
    assert not output.exists() and not evidence.exists()


def test_symbols_beside_ensembl_ids_and_columns_of_the_input(folder: Path, tmp_path: Path) -> None:
    data = counts()
    data.var["feature_name"] = list(data.var_names)
    data.var_names = [f"ENSG{number:011}" for number in range(data.n_vars)]
    data.obs["label"], data.obs["cluster"], data.obs["cluster_input"] = "theirs", "new", "old"
    data.write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", "--markers", folder / "m.csv", *SMALL, "-o", tmp_path / "p.h5ad"]
    assert "by the symbols in column feature_name" in succeed(TOOL, *words).stderr
    made = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    assert set(made["label"]) == set(NAMES)
    assert set(made["label_input"]) == {"theirs"} and set(made["cluster_input"]) == {"old"}


def test_markers_are_checked_before_clustering(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("clustered all the same")

    monkeypatch.setattr(clustering, "cluster", never)
    table, output = tmp_path / "m.csv", tmp_path / "p.h5ad"
    words = [folder / "x.h5ad", "--markers", table, *SMALL, "-o", output]
    table.write_text("cell_type,gene\nbeta,INS\n")
    assert "none of the marker genes" in fail(TOOL, *words)


def test_some_markers_of_other_genes_or_another_species(folder: Path, tmp_path: Path) -> None:
    data = anndata.read_h5ad(folder / "x.h5ad")
    data.var_names = data.var_names.str.capitalize()
    data.write_h5ad(tmp_path / "x.h5ad")
    (tmp_path / "m.csv").write_text("cell_type,gene\nbeta,INS\nbeta,Gene001\nalpha,GENE002\n")
    words = [tmp_path / "x.h5ad", "--markers", tmp_path / "m.csv", *SMALL]
    lines = succeed(TOOL, *words, "-o", tmp_path / "p.h5ad").stderr.splitlines()
    for message in (
        "2 of 3 marker genes are among the genes of the cells.",
        "check --species",
        "has no species column",
    ):
        assert sum(message in line for line in lines) == 1


def test_clusters_of_single_cells(folder: Path, tmp_path: Path) -> None:
    words = [folder / "x.h5ad", *SMALL, "--resolution", 500, "-o", tmp_path / "p.h5ad"]
    succeed(TOOL, *words)
    assert anndata.read_h5ad(tmp_path / "p.h5ad").obs["cluster"].value_counts().min() == 1
