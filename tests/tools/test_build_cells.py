"""``build-cells`` as its users type it."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import (
    CELLS,
    counts,
    expression,
    fail,
    genes,
    succeed,
    write_cells,
    write_embeddings,
    write_expression,
)

from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange


def sequences_of(path: Path) -> dict[str, tuple[list, list]]:
    """Cell name → (gene names, weights)."""
    with open_exchange(path, "cells") as opened:
        names = encoding.read_table(opened.file["obs"]).index
        vocabulary = encoding.read_table(opened.file["var"]).index
        index, weight = opened.file["obsm/gene_index"][()], opened.file["obsm/gene_weight"][()]
    return {
        name: (vocabulary[row[row >= 0]].tolist(), weights[row >= 0].tolist())
        for name, row, weights in zip(names, index, weight, strict=True)
    }


def test_anndata_opens_it(cells: Path) -> None:
    made = anndata.read_h5ad(cells)
    assert made.obs["label"].value_counts().to_dict() == {"alpha": 30, "beta": 30, "delta": 30}
    assert set(made.obs["label_ontology_id"]) == {"CL:0000000", "CL:0000001", "CL:0000002"}
    assert made.obs["donor"].nunique() == 4
    assert made.obsm["gene_index"].shape == (CELLS, 40)
    values, _ = counts()
    assert made.obs["total_counts"].tolist() == values.sum(1).tolist()


def test_marker_genes_come_first(cells: Path) -> None:
    types = anndata.read_h5ad(cells).obs["label"]
    for name, (ranked, _) in sequences_of(cells).items():
        own = {"alpha": 0, "beta": 1, "delta": 2}[types[name]]
        markers = {f"GENE{number:02}" for number in range(10 * own, 10 * own + 10)}
        assert len(markers & set(ranked)) >= 9


def test_like_makes_a_cell_independent_of_the_cells_beside_it(tmp_path: Path, cells: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    embeddings = write_embeddings(tmp_path / "e.h5ad")
    whole = sequences_of(cells)
    names = ["cell004", "cell050", "cell051"]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(reversed(names)) + "\n")
    output = tmp_path / "some.h5ad"
    words = ["-e", embeddings, "--cells", listed, "--like", cells, "-o", output]
    succeed("build-cells", source, *words)
    some = sequences_of(output)
    assert list(some) == names
    assert all(some[name] == whole[name] for name in names)


def test_order_of_the_cells_does_not_matter(tmp_path: Path, cells: Path) -> None:
    source = anndata.read_h5ad(write_expression(tmp_path / "x.h5ad"))
    source[::-1].copy().write_h5ad(tmp_path / "backwards.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    output = tmp_path / "c.h5ad"
    succeed("build-cells", tmp_path / "backwards.h5ad", "-e", tmp_path / "e.h5ad", "-o", output)
    assert sequences_of(output) == sequences_of(cells)


def test_same_inputs_same_bytes(tmp_path: Path, cells: Path) -> None:
    assert write_cells(tmp_path).read_bytes() == cells.read_bytes()


def test_unknown_labels_are_missing(tmp_path: Path) -> None:
    values, types = counts()
    types[:3] = ["unknown", "nan", ""]
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    output = tmp_path / "c.h5ad"
    words = ["-e", tmp_path / "e.h5ad", "--label", "cell_type", "-o", output]
    succeed("build-cells", tmp_path / "x.h5ad", *words)
    assert anndata.read_h5ad(output).obs["label"].isna().sum() == 3


def test_cells_without_genes_are_kept_and_told(tmp_path: Path) -> None:
    values, types = counts()
    values[5] = 0
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    output = tmp_path / "c.h5ad"
    done = succeed("build-cells", tmp_path / "x.h5ad", "-e", tmp_path / "e.h5ad", "-o", output)
    assert "left unassigned: 1." in done.stderr
    assert sequences_of(output)["cell005"] == ([], [])


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        pytest.param(0, "holds no cells", id="no-cells"),
        pytest.param(9, "all values of the selected cells are 0", id="no-counts"),
    ],
)
def test_nothing_to_see(tmp_path: Path, cells: int, told: str) -> None:
    values, types = counts()
    expression(values[:cells] * 0, types[:cells]).write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    words = ["-e", tmp_path / "e.h5ad", "-o", tmp_path / "c.h5ad"]
    assert told in fail("build-cells", tmp_path / "x.h5ad", *words)
    assert not (tmp_path / "c.h5ad").exists()


def test_repeated_cell_names_are_told_apart(tmp_path: Path) -> None:
    values, types = counts()
    data = expression(values, types)
    data.obs_names = ["cell"] * 3 + ["cell-1"] + [f"c{number}" for number in range(CELLS - 4)]
    data.write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    output = tmp_path / "c.h5ad"
    succeed("build-cells", tmp_path / "x.h5ad", "-e", tmp_path / "e.h5ad", "-o", output)
    assert len(sequences_of(output)) == CELLS


def test_repeated_genes_are_added_up(tmp_path: Path) -> None:
    values, types = counts()
    data = expression(values, types)
    data.var_names = [*genes()[:39], "GENE00"]
    data.write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    output = tmp_path / "c.h5ad"
    words = ["--select", "all", "--weight", "normalised", "-o", output]
    succeed("build-cells", tmp_path / "x.h5ad", "-e", tmp_path / "e.h5ad", *words)
    ranked, weights = sequences_of(output)["cell000"]
    both = (values[0, 0] + values[0, 39]) / values[0].sum() * 1e4
    assert weights[ranked.index("GENE00")] == pytest.approx(both, rel=1e-5)


def test_one_gene(tmp_path: Path) -> None:
    values, types = counts()
    expression(values[:, :1], types).write_h5ad(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    output = tmp_path / "c.h5ad"
    words = ["-e", tmp_path / "e.h5ad", "--select", "all", "-o", output]
    succeed("build-cells", tmp_path / "x.h5ad", *words)
    assert all(ranked in ([], ["GENE00"]) for ranked, _ in sequences_of(output).values())


@pytest.mark.parametrize(
    ("words", "names", "told"),
    [
        pytest.param(["--label", "celltype"], None, "Did you mean: cell_type", id="near miss"),
        pytest.param(["--layer", "raw"], None, "It has: X", id="no such layer"),
        pytest.param(["--gene-column", "symbols"], None, "no column", id="no gene column"),
        pytest.param([], ["OTHER1", "OTHER2"], "0 of 40 genes", id="no gene in common"),
        pytest.param([], [f"gene{n:02}" for n in range(40)], "species", id="mouse's case"),
    ],
)
def test_wrong_input(tmp_path: Path, words: list[str], names: list[str] | None, told: str) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad", names)
    line = fail("build-cells", source, "-e", tmp_path / "e.h5ad", *words, "-o", tmp_path / "c.h5ad")
    assert told in line
    assert not (tmp_path / "c.h5ad").exists()


def test_listed_cell_that_is_not_there(tmp_path: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    (tmp_path / "list.txt").write_text("cell001\nnobody\n")
    words = ["-e", tmp_path / "e.h5ad", "--cells", tmp_path / "list.txt", "-o", tmp_path / "c.h5ad"]
    assert "'nobody'" in fail("build-cells", source, *words)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"\n\n", "lists no cells", id="blank"),
        pytest.param(b"\x89HDF\r\n\x1a\n\xff", "is not a text file", id="binary"),
    ],
)
def test_list_that_is_none(tmp_path: Path, content: bytes, told: str) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    (tmp_path / "list.txt").write_bytes(content)
    words = ["-e", tmp_path / "e.h5ad", "--cells", tmp_path / "list.txt", "-o", tmp_path / "c.h5ad"]
    assert told in fail("build-cells", source, *words)


def test_like_a_reader_is_like_its_cells(tmp_path: Path, cells: Path) -> None:
    reader = tmp_path / "r.h5"
    succeed("train-reader", cells, "--method", "majority", "-o", reader)
    like_cells = write_cells(tmp_path, "--like", cells, seed=3, name="like-cells.h5ad")
    like_reader = write_cells(tmp_path, "--like", reader, seed=3, name="like-reader.h5ad")
    assert sequences_of(like_cells) == sequences_of(like_reader)


def test_like_with_genes_that_have_no_embedding(tmp_path: Path, cells: Path) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad", genes()[:20])
    words = ["-e", tmp_path / "e.h5ad", "--like", cells, "-o", tmp_path / "c.h5ad"]
    assert "have no embedding" in fail("build-cells", source, *words)


def test_weights_of_all_kinds_keep_the_order(tmp_path: Path, cells: Path) -> None:
    wanted = {name: ranked for name, (ranked, _) in sequences_of(cells).items()}
    for weight in ("median-ratio", "normalised", "expression", "rank", "none"):
        found = sequences_of(write_cells(tmp_path, "--weight", weight, name=f"{weight}.h5ad"))
        assert {name: ranked for name, (ranked, _) in found.items()} == wanted
    assert np.allclose(found["cell000"][1], 1)
