"""``build-cells`` of several files, chosen cells, other species, raw matrices and zarr stores."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas
import pytest
from scipy import sparse
from small_files import (
    CELLS,
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


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("embeddings") / "e.h5ad")


def built(folder: Path, embeddings: Path, *words: object, name: str = "c.h5ad") -> Path:
    succeed("build-cells", *words, "-e", embeddings, "-o", folder / name)
    return folder / name


def pieces(folder: Path, *cuts: int) -> list[Path]:
    whole = anndata.read_h5ad(write_expression(folder / "whole.h5ad"))
    bounds = [0, *cuts, CELLS]
    paths = []
    for number, start in enumerate(bounds[:-1]):
        part = whole[start : bounds[number + 1]].copy()
        part = part[:, np.asarray(part.X.sum(0)).ravel() > 0].copy()  # each its own genes
        part.write_h5ad(folder / f"part{number}.h5ad")
        paths.append(folder / f"part{number}.h5ad")
    return paths


@pytest.mark.parametrize("cuts", [(45,), (1, 2), (30, 31, 60)])
def test_files_of_a_split_are_the_whole(
    tmp_path: Path, embeddings: Path, cuts: tuple[int, ...]
) -> None:
    parts = pieces(tmp_path, *cuts)
    together = built(tmp_path, embeddings, *parts, "--label", "cell_type", name="t.h5ad")
    whole = built(tmp_path, embeddings, tmp_path / "whole.h5ad", "--label", "cell_type")
    assert sequences_of(together) == sequences_of(whole)
    obs = anndata.read_h5ad(together).obs
    assert obs["batch"].tolist()[:: CELLS - 1] == ["part0", f"part{len(parts) - 1}"]
    assert obs["donor"].tolist() == anndata.read_h5ad(whole).obs["donor"].tolist()


def test_columns_that_one_file_lacks_and_names_that_two_have(
    tmp_path: Path, embeddings: Path
) -> None:
    values, types = counts()
    expression(values, types, age=list(range(CELLS)), batch="mine").write_h5ad(tmp_path / "a.h5ad")
    expression(values, types, tissue="islet").write_h5ad(tmp_path / "b.h5ad")
    made = anndata.read_h5ad(built(tmp_path, embeddings, tmp_path / "a.h5ad", tmp_path / "b.h5ad"))
    assert made.obs_names.is_unique and made.n_obs == 2 * CELLS
    assert made.obs["age"].isna().sum() == CELLS and made.obs["age"].iloc[5] == 5
    assert made.obs["tissue"].isna().sum() == CELLS and set(made.obs["tissue"][CELLS:]) == {"islet"}
    assert made.obs["input"].tolist()[:: 2 * CELLS - 1] == ["a", "b"]
    assert made.obs["batch"].isna().sum() == CELLS and set(made.obs["batch"][:CELLS]) == {"mine"}


def test_threads_and_blocks_leave_no_trace(
    tmp_path: Path, embeddings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    one = built(tmp_path, embeddings, source, "--threads", 1, name="one.h5ad")
    monkeypatch.setattr("screader_lib.cells.formats.expression.VALUES_PER_BLOCK", 100)
    four = built(tmp_path, embeddings, source, "--threads", 4, name="four.h5ad")
    assert one.read_bytes() == four.read_bytes()


def test_genes_and_medians_come_from_a_sample_of_many_cells(
    tmp_path: Path, embeddings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screader_lib.cells.cell_builder.MAX_SAMPLED", 50)
    parts = pieces(tmp_path, 20)
    whole = sequences_of(built(tmp_path, embeddings, tmp_path / "whole.h5ad", name="w.h5ad"))
    assert len(whole) == CELLS
    assert sequences_of(built(tmp_path, embeddings, *parts[::-1])) == whole


@pytest.mark.parametrize(
    ("words", "left"),
    [
        pytest.param(["--where", "donor=donor1"], 23, id="where"),
        pytest.param(
            ["--where", "donor!=donor2", "--where", "cell_type=alpha,beta"], 46, id="two wheres"
        ),
        pytest.param(["--drop-labels", "alpha"], 60, id="drop"),
        pytest.param(["--drop-labels", "alpha", "--drop-labels", "beta"], 30, id="drop two"),
        pytest.param(
            ["--where", "donor=donor1,donor2", "--min-cells-per-label", 15], 45, id="rare"
        ),
    ],
)
def test_chosen_cells(tmp_path: Path, embeddings: Path, words: list[object], left: int) -> None:
    source = anndata.read_h5ad(write_expression(tmp_path / "x.h5ad"))
    if "--min-cells-per-label" in words:  # 45 cells of two donors: 8 of a rare type
        obs = source.obs.copy()
        obs["cell_type"] = ["alpha"] * CELLS
        pair = np.flatnonzero(obs["donor"].isin(["donor1", "donor2"]).to_numpy())
        obs.loc[obs.index[pair[:1]], "cell_type"] = "rare"
        source.obs = obs
        source.write_h5ad(tmp_path / "x.h5ad")
        left = len(pair) - 1
    words = [*words, "--label", "cell_type"]
    assert len(sequences_of(built(tmp_path, embeddings, tmp_path / "x.h5ad", *words))) == left


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["--drop-labels", "alpha"], "Give --label", id="drop without label"),
        pytest.param(
            ["--drop-labels", "gamma", "--label", "cell_type"],
            "no cell has the label",
            id="no label",
        ),
        pytest.param(["--where", "donor=x"], "no cell matches", id="nothing left"),
        pytest.param(
            ["--label", "cell_type", "--min-cells-per-label", 31],
            "no cells are left",
            id="all rare",
        ),
        pytest.param(["--medians", "none.tsv"], "none.tsv", id="no medians"),
        pytest.param(["--orthologs", "none.csv"], "none.csv", id="no orthologs"),
    ],
)
def test_wrong_choice(tmp_path: Path, embeddings: Path, words: list[object], told: str) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    line = fail("build-cells", source, "-e", embeddings, *words, "-o", tmp_path / "c.h5ad")
    assert told in line
    assert not (tmp_path / "c.h5ad").exists()


def test_an_input_without_a_chosen_cell_is_passed_over(tmp_path: Path, embeddings: Path) -> None:
    parts = pieces(tmp_path, 45)
    made = built(tmp_path, embeddings, *parts, "--where", "batch=part1")
    assert len(sequences_of(made)) == 45


def test_raw_counts_behind_scaled_values(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    plain = expression(values, types)
    plain.write_h5ad(tmp_path / "plain.h5ad")
    wanted = sequences_of(built(tmp_path, embeddings, tmp_path / "plain.h5ad", name="p.h5ad"))
    for kind, shown in (
        ("scaled", plain.X.toarray() - 3),
        ("log", np.log1p(plain.X.toarray() / 7)),
    ):
        data = expression(values, types)
        data.raw = data.copy()
        data = data[:, :10].copy()
        data.X = shown[:, :10]
        path = tmp_path / f"{kind}.h5ad"
        data.write_h5ad(path)
        done = succeed("build-cells", path, "-e", embeddings, "-o", tmp_path / "c.h5ad")
        assert "X does not hold counts, so raw is read" in done.stderr
        assert sequences_of(tmp_path / "c.h5ad") == wanted
    line = fail("build-cells", tmp_path / "scaled.h5ad", "-e", embeddings, "--layer", "X",
                "-o", tmp_path / "d.h5ad")  # fmt: skip
    assert "negative values" in line


def cellxgene(path: Path, taxon: str, *, in_uns: bool) -> Path:
    """As CELLxGENE has it: Ensembl ids, feature_name, counts in raw, labels with ids."""
    values, types = counts()
    data = expression(values, types, cell_type_ontology_term_id="CL:0000001")
    data.var["feature_name"] = genes()
    data.var_names = [f"ENSG{number:011}" for number in range(len(genes()))]
    data.raw = data.copy()
    data.X = sparse.csr_matrix(np.log1p(data.X.toarray() / 5))
    if in_uns:
        data.uns["organism_ontology_term_id"] = taxon
    else:
        data.obs["organism_ontology_term_id"] = pandas.Categorical([taxon] * CELLS)
    data.write_h5ad(path)
    return path


def with_species(path: Path, tax_id: int) -> Path:
    import h5py

    write_embeddings(path)
    with h5py.File(path, "a") as file:
        file["obs/tax_id"] = np.full(len(genes()), tax_id, np.int32)
        file["obs/tax_id"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        order = [*file["obs"].attrs["column-order"], "tax_id"]
        file["obs"].attrs["column-order"] = np.array(order, dtype=object)
    return path


@pytest.mark.parametrize("in_uns", [True, False])
def test_cellxgene_conventions(tmp_path: Path, in_uns: bool) -> None:
    path = cellxgene(tmp_path / "x.h5ad", "NCBITaxon:9606", in_uns=in_uns)
    human = with_species(tmp_path / "human.h5ad", 9606)
    done = succeed("build-cells", path, "-e", human, "--label", "cell_type", "-o", tmp_path / "c")
    assert "40 of 40 genes have an embedding (40 by id of feature_name)" in done.stderr
    assert "raw is read" in done.stderr and "values are read as raw counts" in done.stderr
    assert set(anndata.read_h5ad(tmp_path / "c").obs["label_ontology_id"]) == {"CL:0000001"}
    mouse = with_species(tmp_path / "mouse.h5ad", 10090)
    line = fail("build-cells", path, "-e", mouse, "-o", tmp_path / "d")
    assert "cells are of NCBITaxon:9606, the gene embeddings of NCBITaxon:10090" in line


def test_orthologs(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    data = expression(values, types)
    data.var_names = [name.capitalize() for name in genes()]
    data.write_h5ad(tmp_path / "mouse.h5ad")
    pairs = [f"{name},{name.capitalize()}" for name in genes()[:35]]
    (tmp_path / "o.csv").write_text("human,mouse\n" + "\n".join(pairs) + "\n")
    words = [tmp_path / "mouse.h5ad", "--orthologs", tmp_path / "o.csv", "-e", embeddings]
    done = succeed("build-cells", *words, "--select", "all", "-o", tmp_path / "c.h5ad")
    assert "35 of 40 genes have a one-to-one ortholog" in done.stderr
    ranked = {gene for row, _ in sequences_of(tmp_path / "c.h5ad").values() for gene in row}
    assert ranked == set(genes()[:35])


def test_medians_of_a_table(tmp_path: Path, embeddings: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    own = built(tmp_path, embeddings, source, name="own.h5ad")
    medians = anndata.read_h5ad(own).var["median"]
    table = tmp_path / "m.tsv"
    lines = [f"{gene}\t{value!r}" for gene, value in medians.items()]
    table.write_text("gene\tmedian\n" + "\n".join(lines) + "\n")
    same = built(tmp_path, embeddings, source, "--medians", table, name="same.h5ad")
    assert sequences_of(same) == sequences_of(own)
    table.write_text("GENE00,1e9\nGENE01,0.001\n")
    other = built(tmp_path, embeddings, source, "--medians", table, name="other.h5ad")
    ranked = [row for row, _ in sequences_of(other).values() if {"GENE00", "GENE01"} <= set(row)]
    assert ranked and all((row[0], row[-1]) == ("GENE01", "GENE00") for row in ranked)
    for content, told in (("GENE00\t-1\nx\t-1\n", "line 2"), ("OTHER\t1\n", "none of the genes")):
        table.write_text(content)
        words = ["-e", embeddings, "--medians", table, "-o", tmp_path / "x"]
        assert told in fail("build-cells", source, *words)


@pytest.mark.parametrize(
    "matrix",
    [
        pytest.param(sparse.csr_matrix, id="csr"),
        pytest.param(sparse.csc_matrix, id="csc"),
        pytest.param(lambda values: values.toarray(), id="dense"),
    ],
)
def test_zarr(tmp_path: Path, embeddings: Path, matrix: Any) -> None:
    data = anndata.read_h5ad(write_expression(tmp_path / "x.h5ad"))
    wanted = sequences_of(built(tmp_path, embeddings, tmp_path / "x.h5ad", name="w.h5ad"))
    data.X = matrix(data.X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_zarr(tmp_path / "x.zarr")
    made = built(tmp_path, embeddings, tmp_path / "x.zarr", "--label", "cell_type")
    assert sequences_of(made) == wanted
    (tmp_path / "x.zarr" / "zarr.json").unlink(missing_ok=True)
    (tmp_path / "x.zarr" / ".zgroup").write_text("?")
    assert "x.zarr" in fail(
        "build-cells", tmp_path / "x.zarr", "-e", embeddings, "-o", tmp_path / "d"
    )


def test_raw_and_species_of_a_zarr_store(tmp_path: Path) -> None:
    path = cellxgene(tmp_path / "x.h5ad", "NCBITaxon:10090", in_uns=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        anndata.read_h5ad(path).write_zarr(tmp_path / "x.zarr")
    human = with_species(tmp_path / "human.h5ad", 9606)
    words = [tmp_path / "x.zarr", "-o", tmp_path / "c"]
    assert "cells are of NCBITaxon:10090" in fail("build-cells", *words, "-e", human)
    mouse = with_species(tmp_path / "mouse.h5ad", 10090)
    assert "raw is read" in succeed("build-cells", *words, "-e", mouse).stderr
