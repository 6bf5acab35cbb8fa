"""``build-cells --like`` with cells or a reader of another species, known by the genes' texts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from small_files import (
    DIM,
    ONE_READER,
    counts,
    expression,
    fail,
    genes,
    succeed,
    write_cells,
    write_embeddings,
    write_expression,
)
from test_build_cells import sequences_of, with_species

from screader_lib.exchange import encoding
from screader_lib.exchange.provenance import Record

ORDER = np.random.default_rng(7).permutation(len(genes()))
NAME = {gene: f"Mus{gene[4:]}" for gene in genes()}  # human → mouse
HUMAN = {mouse: human for human, mouse in NAME.items()}
UNKNOWN = ["Only1", "Only2", "Only3"]
SEED = 5


def mouse_files(folder: Path, missing: int = 0, **identity: object) -> tuple[Path, Path]:
    """The cells of seed ``SEED`` and their genes' embeddings by mouse names, in another order.

    Each mouse gene has the vector of its human gene; the last ``missing`` have none. Genes of mouse
    only are added.
    """
    values, types = counts(SEED)
    order = [index for index in ORDER if index < len(genes()) - missing]
    names = [*(NAME[genes()[index]] for index in order), *UNKNOWN]
    more = np.full((len(values), len(UNKNOWN)), 2)
    table = np.hstack([values[:, order], more]).astype(np.float32)
    data = anndata.AnnData(table, expression(values, types).obs)
    data.var_names = names
    data.write_h5ad(folder / "mouse.h5ad")
    with h5py.File(write_embeddings(folder / "human-vectors.h5ad")) as file:
        vectors = file["X"][()][order]
    others = np.random.default_rng(3).standard_normal((len(UNKNOWN), DIM))
    with h5py.File(write_embeddings(folder / "mouse-genes.h5ad", names, **identity), "a") as file:
        if file["X"].shape[1] == DIM:
            file["X"][...] = np.vstack([vectors, others]).astype(np.float32)
    return folder / "mouse.h5ad", folder / "mouse-genes.h5ad"


def human_cells(folder: Path, like: Path) -> Path:
    """The same cells by their human names, with as many counts that are of no known gene."""
    values, types = counts(SEED)
    extra = np.full((len(values), 1), 2 * len(UNKNOWN))
    data = anndata.AnnData(
        np.hstack([values, extra]).astype(np.float32), expression(values, types).obs
    )
    data.var_names = [*genes(), "no gene"]
    data.write_h5ad(folder / "human.h5ad")
    embeddings = write_embeddings(folder / "human-genes.h5ad")
    words = ["-e", embeddings, "--label", "cell_type", "--like", like]
    succeed("build-cells", folder / "human.h5ad", *words, "-o", folder / "human-cells.h5ad")
    return folder / "human-cells.h5ad"


def words_for(folder: Path, like: Path, missing: int = 0, **identity: object) -> list[object]:
    source, embeddings = mouse_files(folder, missing, **identity)
    output = folder / "mouse-cells.h5ad"
    words = ["-e", embeddings, "--label", "cell_type", "--like", like, "-o", output]
    return ["build-cells", source, *words]


@pytest.mark.parametrize("kind", ["cells", "reader"])
def test_a_cell_is_built_and_called_as_in_the_other_species(
    tmp_path: Path, cells: Path, kind: str
) -> None:
    like = cells
    if kind == "reader":
        like = tmp_path / "reader.h5"
        succeed("train-reader", cells, "--method", "genept-w", *ONE_READER, "-o", like)
    messages = succeed(*words_for(tmp_path, like)).stderr
    assert f"match 40 of the 40 genes of {like} by text and carry 9" in messages
    human, mouse = human_cells(tmp_path, like), tmp_path / "mouse-cells.h5ad"
    expected = sequences_of(human)
    for cell, (ranked, weights) in sequences_of(mouse).items():
        weight_of = dict(zip((HUMAN[gene] for gene in ranked), weights, strict=True))
        assert weight_of == dict(zip(*expected[cell], strict=True))
    own, other = (anndata.read_h5ad(path).var["median"] for path in (cells, mouse))
    assert np.allclose(own[[HUMAN[gene] for gene in other.index]], other, rtol=1e-3)
    assert other.index.tolist() == [NAME[genes()[index]] for index in ORDER]
    construction = [h5py.File(path)["uns/construction"][()] for path in (cells, mouse)]
    assert construction[0] == construction[1]
    if kind == "reader":
        probabilities = []
        for path in (human, mouse):
            succeed("predict", path, "-r", like, "-o", tmp_path / "p.h5ad")
            calls = anndata.read_h5ad(tmp_path / "p.h5ad")
            probabilities.append(calls.obsm["probability"])
        assert np.allclose(*probabilities, atol=0.02)
        assert (calls.obs["predicted_label"] == calls.obs["true_label"]).mean() > 0.95


def test_genes_that_one_species_lacks(tmp_path: Path, cells: Path) -> None:
    words = words_for(tmp_path, cells, missing=10)
    assert f"match 30 of the 40 genes of {cells} by text" in succeed(*words).stderr
    made = anndata.read_h5ad(tmp_path / "mouse-cells.h5ad")
    assert set(made.var_names) == {NAME[gene] for gene in genes()[:30]}
    line = fail(*words, "--min-mapped", 0.8)
    assert f"match only 30 of the 40 genes of {cells} (--min-mapped requires 80%)" in line
    with h5py.File(tmp_path / "mouse-genes.h5ad", "a") as file:
        file["X"][...] = np.random.default_rng(9).standard_normal(file["X"].shape)
    assert "only 0 of the 40 genes" in fail(*words, "--min-mapped", 0)


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        pytest.param({"model": "other"}, "by other (24 dimensions)", id="model"),
        pytest.param({"dim": 12}, "by test (12 dimensions)", id="width"),
    ],
)
def test_texts_embedded_by_another_model(
    tmp_path: Path, cells: Path, identity: dict, message: str
) -> None:
    line = fail(*words_for(tmp_path, cells, **identity))
    assert message in line and f"those of {cells} by test (24 dimensions)" in line
    assert "mouse-genes.h5ad" in line and not (tmp_path / "mouse-cells.h5ad").exists()


def fetched(fields: str, organism: str = "human") -> tuple[Record, ...]:
    return (Record("fetch-descriptions", "0", {"fields": fields, "organism": organism}),)


def test_texts_of_other_fields(tmp_path: Path) -> None:
    """Between species they are refused, with the commands that make the right ones."""
    write_embeddings(tmp_path / "embeddings.h5ad", steps=fetched("symbol,full_name"))
    like = write_cells(tmp_path)
    words = words_for(tmp_path, like, steps=fetched("symbol,summary", "mouse"))
    line = fail(*words)
    assert f"fields symbol,summary, those of {like} from symbol,full_name" in line
    mouse = tmp_path / "mouse.h5ad"
    assert f"fetch-descriptions --genes {mouse} --organism mouse --fields symbol,full_name" in line
    assert f"| embed-genes -o {tmp_path / 'mouse-genes.h5ad'}" in line
    assert not (tmp_path / "mouse-cells.h5ad").exists()
    same = words_for(tmp_path, like, steps=fetched("symbol,full_name", "mouse"))
    assert "match 40 of the 40 genes" in succeed(*same).stderr


@pytest.mark.parametrize(
    ("tax_id", "orthologs", "by_text"),
    [
        pytest.param(9606, False, False, id="same"),
        pytest.param(9544, False, True, id="other-with-the-same-ids"),
        pytest.param(9544, True, False, id="orthologs-win"),
    ],
)
def test_taxonomy_ids_come_first(
    tmp_path: Path, tax_id: int, orthologs: bool, by_text: bool
) -> None:
    human = write_embeddings(tmp_path / "human-genes.h5ad")
    with h5py.File(human, "a") as file:
        del file["uns/screader/history"]
        step = asdict(Record("fetch-descriptions", "0", {"organism": "human"}))
        encoding.write_json(file["uns/screader"], "history", [step])
    like = write_cells(tmp_path, "-e", human, name="human-cells.h5ad")
    source = anndata.read_h5ad(write_expression(tmp_path / "x.h5ad"))
    words: list[object] = ["--like", like, "-o", tmp_path / "c.h5ad"]
    if orthologs:
        pairs = [f"{gene},{gene}x" for gene in genes()]
        (tmp_path / "pairs.csv").write_text("one,other\n" + "\n".join(pairs) + "\n")
        words += ["--orthologs", tmp_path / "pairs.csv"]
        source.var_names = [f"{gene}x" for gene in source.var_names]
    source.write_h5ad(tmp_path / "x.h5ad")
    embeddings = with_species(tmp_path / "e.h5ad", tax_id)
    messages = succeed("build-cells", tmp_path / "x.h5ad", "-e", embeddings, *words).stderr
    assert ("genes of rhesus macaque match" in messages) is by_text
    assert ("are in this sample and carry" in messages) is not by_text
    made = sequences_of(tmp_path / "c.h5ad")
    assert {gene for ranked, _ in made.values() for gene in ranked} == set(genes())
