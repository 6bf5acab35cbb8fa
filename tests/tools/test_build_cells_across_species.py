"""``build-cells --like`` with cells or a reader of another species, known by the genes' texts."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from small_files import (
    DIM,
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
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.table import Categorical

sys.path.insert(0, str(Path(__file__).parent))

from test_build_cells import sequences_of, with_species

ORDER = np.random.default_rng(7).permutation(len(genes()))
NAME = {gene: f"Mus{gene[4:]}" for gene in genes()}  # human → mouse
HUMAN = {mouse: human for human, mouse in NAME.items()}
UNKNOWN = ["Only1", "Only2", "Only3"]
SEED = 5


def mouse_counts(path: Path, lacking: int = 0) -> Path:
    """The cells of seed ``SEED`` with mouse names in another order, and genes of mouse only."""
    values, types = counts(SEED)
    order = [place for place in ORDER if place < len(genes()) - lacking]
    more = np.full((len(values), len(UNKNOWN)), 2)
    whole = np.hstack([values[:, order], more]).astype(np.float32)
    made = anndata.AnnData(whole, expression(values, types).obs)
    made.var_names = [*(NAME[genes()[place]] for place in order), *UNKNOWN]
    made.write_h5ad(path)
    return path


def mouse_embeddings(path: Path, lacking: int = 0, **given: object) -> Path:
    """Of each mouse gene the vector of its human gene; others of the genes of mouse only."""
    order = [place for place in ORDER if place < len(genes()) - lacking]
    names = [*(NAME[genes()[place]] for place in order), *UNKNOWN]
    human = path.with_name("human-vectors.h5ad")
    with h5py.File(write_embeddings(human)) as file:
        vectors = file["X"][()][order]
    write_embeddings(path, names, **given)
    others = np.random.default_rng(3).standard_normal((len(UNKNOWN), DIM))
    with h5py.File(path, "a") as file:
        if file["X"].shape[1] == DIM:
            file["X"][...] = np.vstack([vectors, others]).astype(np.float32)
    return path


def built(folder: Path, like: Path, *words: object, lacking: int = 0) -> tuple[Path, str]:
    source = mouse_counts(folder / "mouse.h5ad", lacking)
    embeddings = mouse_embeddings(folder / "mouse-genes.h5ad", lacking)
    words = (source, "-e", embeddings, "--label", "cell_type", "--like", like, *words)
    done = succeed("build-cells", *words, "-o", folder / "mouse-cells.h5ad")
    return folder / "mouse-cells.h5ad", done.stderr


def human_cells(folder: Path, like: Path) -> Path:
    """The same cells by their human names, with as many counts that are of no known gene."""
    values, types = counts(SEED)
    extra = np.full((len(values), 1), 2 * len(UNKNOWN))
    table = np.hstack([values, extra]).astype(np.float32)
    whole = anndata.AnnData(table, expression(values, types).obs)
    whole.var_names = [*genes(), "no gene"]
    whole.write_h5ad(folder / "human.h5ad")
    embeddings = write_embeddings(folder / "human-genes.h5ad")
    words = ["-e", embeddings, "--label", "cell_type", "--like", like]
    succeed("build-cells", folder / "human.h5ad", *words, "-o", folder / "human-cells.h5ad")
    return folder / "human-cells.h5ad"


@pytest.mark.parametrize("like", ["cells", "reader"])
def test_a_cell_is_built_as_in_the_other_species(tmp_path: Path, cells: Path, like: str) -> None:
    known = cells
    if like == "reader":
        known = tmp_path / "reader.h5"
        succeed("train-reader", cells, "--method", "majority", "-o", known)
    made, told = built(tmp_path, known)
    assert f"match 40 of the 40 genes of {known} by text and carry 9" in told
    wanted, found = sequences_of(human_cells(tmp_path, known)), sequences_of(made)
    for cell, (ranked, weights) in found.items():
        weight_of = dict(zip((HUMAN[gene] for gene in ranked), weights, strict=True))
        assert weight_of == dict(zip(*wanted[cell], strict=True))
    own, other = (anndata.read_h5ad(path).var["median"] for path in (cells, made))
    assert np.allclose(own[[HUMAN[gene] for gene in other.index]], other, rtol=1e-3)
    assert other.index.tolist() == [NAME[genes()[place]] for place in ORDER]
    construction = [h5py.File(path)["uns/construction"][()] for path in (cells, made)]
    assert construction[0] == construction[1]


def test_a_reader_calls_cells_of_another_species(tmp_path: Path, cells: Path) -> None:
    reader = tmp_path / "reader.h5"
    succeed("train-reader", cells, "--method", "pooled", "-o", reader)
    made, _ = built(tmp_path, reader)
    calls = []
    for number, path in enumerate((human_cells(tmp_path, reader), made)):
        succeed("predict", path, "-r", reader, "-o", tmp_path / f"p{number}.h5ad")
        calls.append(anndata.read_h5ad(tmp_path / f"p{number}.h5ad"))
    human, mouse = (table.obsm["probability"] for table in calls)
    assert np.allclose(human, mouse, atol=0.02)
    assert (calls[1].obs["predicted_label"] == calls[1].obs["true_label"]).mean() > 0.95


def test_genes_that_one_species_lacks(tmp_path: Path, cells: Path) -> None:
    made, told = built(tmp_path, cells, lacking=10)
    assert f"match 30 of the 40 genes of {cells} by text" in told
    assert set(anndata.read_h5ad(made).var_names) == {NAME[gene] for gene in genes()[:30]}


def test_too_few_are_known(tmp_path: Path, cells: Path) -> None:
    built(tmp_path, cells, "--min-mapped", 0.75, lacking=10)
    words = [tmp_path / "mouse.h5ad", "-e", tmp_path / "mouse-genes.h5ad", "--like", cells]
    line = fail("build-cells", *words, "--min-mapped", 0.8, "-o", tmp_path / "c.h5ad")
    assert f"match only 30 of the 40 genes of {cells} (--min-mapped requires 80%)" in line
    with h5py.File(tmp_path / "mouse-genes.h5ad", "a") as file:
        file["X"][...] = np.random.default_rng(9).standard_normal(file["X"].shape)
    line = fail("build-cells", *words, "--min-mapped", 0, "-o", tmp_path / "c.h5ad")
    assert "only 0 of the 40 genes" in line
    assert not (tmp_path / "c.h5ad").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({"model": "other"}, "by other (24 dimensions)", id="model"),
        pytest.param({"dim": 12}, "by test (12 dimensions)", id="width"),
    ],
)
def test_texts_embedded_by_another_model(
    tmp_path: Path, cells: Path, given: dict, told: str
) -> None:
    source = mouse_counts(tmp_path / "mouse.h5ad")
    embeddings = mouse_embeddings(tmp_path / "mouse-genes.h5ad", **given)
    words = [source, "-e", embeddings, "--like", cells, "-o", tmp_path / "c.h5ad"]
    line = fail("build-cells", *words)
    assert told in line and f"those of {cells} by test (24 dimensions)" in line
    assert "mouse-genes.h5ad" in line and not (tmp_path / "c.h5ad").exists()
    own = write_embeddings(tmp_path / "e.h5ad", **given)  # of the same species, as ever
    write_cells(tmp_path, "--like", cells, "-e", own)


@pytest.fixture
def human(tmp_path: Path) -> Path:
    """Cells whose genes' texts were fetched as human ones."""
    embeddings = write_embeddings(tmp_path / "human-genes.h5ad")
    with h5py.File(embeddings, "a") as file:
        del file["uns/screader/history"]
        step = asdict(Record("fetch-descriptions", "0", {"organism": "human"}))
        encoding.write_json(file["uns/screader"], "history", [step])
    return write_cells(tmp_path, "-e", embeddings, name="human-cells.h5ad")


@pytest.mark.parametrize(
    ("tax_id", "words", "by_texts"),
    [
        pytest.param(9606, [], False, id="same"),
        pytest.param(9544, [], True, id="other-with-the-same-ids"),
        pytest.param(9544, ["--orthologs", "pairs.csv"], False, id="orthologs-win"),
        pytest.param(0, [], False, id="not-told-same-ids"),
    ],
)
def test_taxonomy_ids_come_first(
    tmp_path: Path, human: Path, tax_id: int, words: list[str], by_texts: bool
) -> None:
    pairs = [f"{gene},{gene}x" for gene in genes()]
    (tmp_path / "pairs.csv").write_text("one,other\n" + "\n".join(pairs) + "\n")
    words = [str(tmp_path / word) if word.endswith(".csv") else word for word in words]
    source = anndata.read_h5ad(write_expression(tmp_path / "x.h5ad"))
    source.var_names = [f"{gene}x" if words else gene for gene in source.var_names]
    source.write_h5ad(tmp_path / "x.h5ad")
    embeddings = with_species(tmp_path / "e.h5ad", tax_id)
    words = ["-e", embeddings, "--like", human, *words, "-o", tmp_path / "c.h5ad"]
    done = succeed("build-cells", tmp_path / "x.h5ad", *words)
    assert ("genes of rhesus macaque match" in done.stderr) is by_texts
    assert ("the 40 selected genes carry" in done.stderr) is not by_texts
    made = sequences_of(tmp_path / "c.h5ad")
    assert {gene for ranked, _ in made.values() for gene in ranked} == set(genes())


def test_a_filled_vector_stands_for_no_gene(tmp_path: Path, cells: Path) -> None:
    source = mouse_counts(tmp_path / "mouse.h5ad")
    embeddings = mouse_embeddings(tmp_path / "mouse-genes.h5ad")
    with h5py.File(embeddings, "a") as file:
        file["X"][-1] = file["X"][0]  # a mean vector may come to be near that of another species
        sources = ["user"] * (len(file["X"]) - 1)
        del file["obs/source"]
        encoding.write_column(file["obs"], "source", Categorical.of([*sources, "none"]))
    words = [source, "-e", embeddings, "--like", cells, "-o", tmp_path / "c.h5ad"]
    assert f"match 40 of the 40 genes of {cells} by text" in succeed("build-cells", *words).stderr
    assert UNKNOWN[-1] not in anndata.read_h5ad(tmp_path / "c.h5ad").var_names
