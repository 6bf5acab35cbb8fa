"""``prepare-cells`` as its users type it."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import fail, succeed, write_embeddings

sys.path.insert(0, str(Path(__file__).parents[1] / "preparation"))
sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from real_data import real
from test_clusters import CELLS, GENES, counts, types

from screader_lib.preparation import clustering

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
    succeed("prepare-cells", folder / "x.h5ad", "--markers", folder / "m.csv", *SMALL,
            "--evidence", folder / "e.tsv", "-o", folder / "p.h5ad")  # fmt: skip
    return folder


def test_output(folder: Path) -> None:
    made = anndata.read_h5ad(folder / "p.h5ad")
    assert made.obs["label"].tolist() == [NAMES[kind] for kind in types()]
    assert set(made.obs["label_status"]) == {"assigned"}
    assert set(made.obs["label_ontology_id"]) == {"CL:0000000", "CL:0000001", "CL:0000002"}
    assert made.obs["donor"].tolist()[:2] == ["d1", "d2"]
    assert made.obsm["X_pca"].shape == (CELLS, 10) and made.obsm["X_umap"].shape == (CELLS, 2)
    assert int(made.var["highly_variable"].sum()) == 100
    assert (made.X != counts()[:, made.var_names].X).nnz == 0
    assert (folder / "e.tsv").read_text() == made.uns["prepare_cells"]["evidence"]
    assert '"tool": "prepare-cells"' in made.uns["prepare_cells"]["record"]
    assert str(folder) not in made.uns["prepare_cells"]["record"]


def test_same_bytes_again(folder: Path, tmp_path: Path) -> None:
    words = [folder / "x.h5ad", "--markers", folder / "m.csv", *SMALL]
    succeed("prepare-cells", *words, "-o", tmp_path / "p.h5ad")
    assert (tmp_path / "p.h5ad").read_bytes() == (folder / "p.h5ad").read_bytes()


def test_build_cells_takes_it(folder: Path, tmp_path: Path) -> None:
    names = [f"GENE{number:03}" for number in range(GENES)]
    write_embeddings(tmp_path / "e.h5ad", names)
    words = ["-e", tmp_path / "e.h5ad", "--label", "label", "-o", tmp_path / "c.h5ad"]
    done = succeed("build-cells", folder / "p.h5ad", *words)
    assert "values are read as raw counts" in done.stderr
    assert anndata.read_h5ad(tmp_path / "c.h5ad").obs["label"].value_counts().to_dict() == {
        "alpha": 75,
        "beta": 45,
        "delta": 30,
    }


def test_a_persons_word(folder: Path, tmp_path: Path) -> None:
    edited = (folder / "e.tsv").read_text().replace("delta\tCL:0000002", "epsilon\t")
    (tmp_path / "e.tsv").write_text(edited)
    words = [folder / "x.h5ad", "--markers", folder / "m.csv", *SMALL]
    succeed("prepare-cells", *words, "--labels", tmp_path / "e.tsv", "-o", tmp_path / "p.h5ad")
    made = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    assert set(made["label"]) == {"alpha", "beta", "epsilon"}
    assert set(made.loc[made["label"] == "epsilon", "label_status"]) == {"corrected"}


def test_markers_of_another_species(folder: Path, tmp_path: Path) -> None:
    data = anndata.read_h5ad(folder / "x.h5ad")
    data.var_names = data.var_names.str.capitalize()
    data.write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", "--markers", folder / "m.csv", *SMALL, "-o", tmp_path / "p.h5ad"]
    lines = succeed("prepare-cells", *words).stderr.splitlines()
    assert sum("check --species" in line for line in lines) == 1
    assert sum("has no column of species" in line for line in lines) == 1


def test_without_markers_clusters_only(folder: Path, tmp_path: Path) -> None:
    done = succeed("prepare-cells", folder / "x.h5ad", *SMALL, "-o", tmp_path / "p.h5ad")
    assert "no labels: give --markers or --labels" in done.stderr
    made = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    assert set(made["label"]) == {"unknown"} and made["cluster"].nunique() == 3


def test_quality_control_is_told(folder: Path, tmp_path: Path) -> None:
    data = counts()
    data.X = data.X.multiply(np.arange(CELLS)[:, None] >= 5).tocsr()
    data.write_h5ad(tmp_path / "x.h5ad")
    done = succeed("prepare-cells", tmp_path / "x.h5ad", *SMALL, "-o", tmp_path / "p.h5ad")
    assert "5 cells have fewer than 10 genes" in done.stderr
    assert "145 of 150 cells" in done.stderr
    assert anndata.read_h5ad(tmp_path / "p.h5ad").n_obs == 145


def as_log(folder: Path) -> list[object]:
    data = counts()
    data.X = data.X.log1p()
    data.write_h5ad(folder / "x.h5ad")
    return []


def as_scaled(folder: Path) -> list[object]:
    data = counts()
    data.X = data.X.toarray() - 1
    data.write_h5ad(folder / "x.h5ad")
    return []


def as_few(folder: Path) -> list[object]:
    counts()[:12].copy().write_h5ad(folder / "x.h5ad")
    return []


def as_usual(*words: object) -> object:
    def write(folder: Path) -> list[object]:
        counts().write_h5ad(folder / "x.h5ad")
        return list(words)

    return write


@pytest.mark.parametrize(
    ("write", "told"),
    [
        pytest.param(as_log, "log-normalised, wanted counts", id="log"),
        pytest.param(as_scaled, "negative values", id="scaled"),
        pytest.param(as_few, "too few to cluster", id="few"),
        pytest.param(as_usual("--min-genes", 9999), "passes quality control", id="none-left"),
        pytest.param(as_usual("--markers", "none.csv"), "none.csv", id="no-markers"),
        pytest.param(as_usual("--labels", "none.csv"), "none.csv", id="no-labels"),
        pytest.param(as_usual("--layer", "counts"), "no matrix layers/counts", id="no-layer"),
    ],
)
def test_refused(tmp_path: Path, write: object, told: str) -> None:
    words = write(tmp_path)  # type: ignore[operator]
    line = fail("prepare-cells", tmp_path / "x.h5ad", *SMALL, *words, "-o", tmp_path / "p.h5ad",
                "--evidence", tmp_path / "e.tsv")  # fmt: skip
    assert told in line
    assert not (tmp_path / "p.h5ad").exists() and not (tmp_path / "e.tsv").exists()


@pytest.mark.slow
def test_real_cells_blind_to_their_labels(tmp_path: Path) -> None:
    words = [real("baron_human.h5ad"), "--markers", real("PanglaoDB_markers_27_Mar_2020.tsv.gz")]
    succeed("prepare-cells", *words, "--tissue", "Pancreas", "-o", tmp_path / "p.h5ad")
    obs = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    for published, label in (("beta", "Beta cells"), ("alpha", "Alpha cells"),
                             ("ductal", "Ductal cells"), ("acinar", "Acinar cells")):  # fmt: skip
        called = obs.loc[obs["cell_type1"] == published, "label"]
        assert np.mean(called == label) > 0.8


def changed(folder: Path, change: object) -> Path:
    data = counts()
    change(data)  # type: ignore[operator]
    data.write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad"


def all_alike(data: anndata.AnnData) -> None:
    data.X = np.ones(data.shape, np.float32)


def late_fraction(data: anndata.AnnData) -> None:
    data.X.data[-1] += 0.5


def late_nan(data: anndata.AnnData) -> None:
    data.X.data[-1] = np.nan


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (all_alike, "do not differ enough"),
        (late_fraction, "others have fractions"),
        (late_nan, "NaN or infinite"),
    ],
)
def test_odd_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object, told: str
) -> None:
    monkeypatch.setattr("screader_lib.cells.formats.expression.VALUES_PER_BLOCK", 5_000)
    line = fail("prepare-cells", changed(tmp_path, change), *SMALL, "-o", tmp_path / "p.h5ad")
    assert told in line
    assert not (tmp_path / "p.h5ad").exists()


def as_ensembl(data: anndata.AnnData) -> None:
    data.var["feature_name"] = list(data.var_names)
    data.var_names = [f"ENSG{number:011}" for number in range(data.n_vars)]
    data.obs["label"] = "theirs"


def test_symbols_beside_ensembl_ids_and_columns_of_the_input(folder: Path, tmp_path: Path) -> None:
    path = changed(tmp_path, as_ensembl)
    words = [path, "--markers", folder / "m.csv", *SMALL, "-o", tmp_path / "p.h5ad"]
    assert "genes are named by feature_name" in succeed("prepare-cells", *words).stderr
    made = anndata.read_h5ad(tmp_path / "p.h5ad").obs
    assert set(made["label"]) == set(NAMES)
    assert set(made["label_input"]) == {"theirs"}


def test_markers_of_other_genes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("cell_type,gene\nbeta,INS\n")
    words = [folder / "x.h5ad", "--markers", tmp_path / "m.csv", *SMALL, "-o", tmp_path / "p.h5ad"]
    assert "none of the marker genes" in fail("prepare-cells", *words)
    (tmp_path / "m.csv").write_text("cell_type,gene\nbeta,INS\nbeta,Gene001\nalpha,GENE002\n")
    done = succeed("prepare-cells", *words)
    assert "2 of 3 marker genes are among the genes of the cells." in done.stderr


def test_foreign_markers_are_told_before_the_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("clustered all the same")

    monkeypatch.setattr(clustering, "cluster", never)
    (tmp_path / "m.csv").write_text("cell_type,gene\nbeta,INS\n")
    words = [folder / "x.h5ad", "--markers", tmp_path / "m.csv", *SMALL, "-o", tmp_path / "p.h5ad"]
    assert "none of the marker genes" in fail("prepare-cells", *words)


def test_clusters_of_single_cells(folder: Path, tmp_path: Path) -> None:
    words = [folder / "x.h5ad", *SMALL, "--resolution", 500, "-o", tmp_path / "p.h5ad"]
    succeed("prepare-cells", *words)
    assert anndata.read_h5ad(tmp_path / "p.h5ad").obs["cluster"].value_counts().min() == 1
