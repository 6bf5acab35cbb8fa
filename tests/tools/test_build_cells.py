"""``build-cells`` as its users type it."""

from __future__ import annotations

import warnings
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

from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embeddings(tmp_path_factory.mktemp("embeddings") / "e.h5ad")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_expression(tmp_path / "x.h5ad")


def built(folder: Path, embeddings: Path, *words: object, name: str = "c.h5ad") -> Path:
    succeed("build-cells", *words, "-e", embeddings, "-o", folder / name)
    return folder / name


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


def test_only_genes_that_a_query_has_are_used_and_counted(
    embeddings: Path, source: Path, tmp_path: Path
) -> None:
    """As if the file had no others: weights are those of its other genes alone."""
    values, types = counts()
    own = np.arange(40) % 3 != 0
    query = expression(values, types)[:5, ::-1][:, np.r_[own[::-1]]].copy()
    query.write_h5ad(tmp_path / "query.h5ad")
    expression(values, types)[:, own].copy().write_h5ad(tmp_path / "only.h5ad")
    words = ("--genes-of", tmp_path / "query.h5ad")
    done = succeed("build-cells", source, *words, "-e", embeddings, "-o", tmp_path / "c.h5ad")
    assert "left out: 14 genes that" in done.stderr
    expected = sequences_of(built(tmp_path, embeddings, tmp_path / "only.h5ad", name="o.h5ad"))
    assert sequences_of(tmp_path / "c.h5ad") == expected
    query.var_names = [f"other{number}" for number in range(query.n_vars)]
    query.write_h5ad(tmp_path / "query.h5ad")
    words = (source, "-e", embeddings, *words, "-o", tmp_path / "n.h5ad")
    assert "shares no embedded gene with" in fail("build-cells", *words)
    assert call("build-cells", *words, "--like", tmp_path / "c.h5ad").exit_code == 2
    assert not (tmp_path / "n.h5ad").exists()


def with_species(path: Path, tax_id: int) -> Path:
    write_embeddings(path)
    with h5py.File(path, "a") as file:
        file["obs/tax_id"] = np.full(len(genes()), tax_id, np.int32)
        file["obs/tax_id"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        order = [*file["obs"].attrs["column-order"], "tax_id"]
        file["obs"].attrs["column-order"] = np.array(order, dtype=object)
    return path


def test_anndata_opens_it(cells: Path) -> None:
    made = anndata.read_h5ad(cells)
    assert made.obs["label"].value_counts().to_dict() == {"alpha": 30, "beta": 30, "delta": 30}
    assert set(made.obs["label_ontology_id"]) == {"CL:0000000", "CL:0000001", "CL:0000002"}
    assert made.obs["donor"].nunique() == 4
    assert made.obsm["gene_index"].shape == (CELLS, 40)
    assert made.obs["total_counts"].tolist() == counts()[0].sum(1).tolist()


def test_like_makes_a_cell_independent_of_the_cells_beside_it(
    tmp_path: Path, cells: Path, source: Path, embeddings: Path
) -> None:
    names = ["cell004", "cell050", "cell051"]
    (tmp_path / "list.txt").write_text("\n".join(reversed(names)) + "\n")
    words = [source, "--cells", tmp_path / "list.txt", "--like", cells]
    whole, some = sequences_of(cells), sequences_of(built(tmp_path, embeddings, *words))
    assert list(some) == names
    assert all(some[name] == whole[name] for name in names)


def test_threads_and_blocks_do_not_change_a_byte(
    tmp_path: Path, source: Path, embeddings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = built(tmp_path, embeddings, source, "--threads", 1, name="one.h5ad")
    monkeypatch.setattr("screader_lib.cells.formats.expression.VALUES_PER_BLOCK", 100)
    four = built(tmp_path, embeddings, source, "--threads", 4, name="four.h5ad")
    assert one.read_bytes() == four.read_bytes()


def test_empty_cells_and_repeated_names(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    values[5] = 0
    data = expression(values, types)
    data.obs_names = ["cell"] * 3 + ["cell-1"] + [f"c{number}" for number in range(CELLS - 4)]
    data.write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", "-e", embeddings, "-o", tmp_path / "c.h5ad"]
    message = succeed("build-cells", *words).stderr
    assert "cells without an embedded gene, to be left unassigned: 1." in message
    assert "2 repeated cell names get a suffix" in message
    made = sequences_of(tmp_path / "c.h5ad")
    assert list(made)[:4] == ["cell", "cell-2", "cell-3", "cell-1"]
    assert made["c1"] == ([], [])
    (tmp_path / "list.txt").write_text("cell\nc5\n")
    line = fail(
        "build-cells", *words[:3], "--cells", tmp_path / "list.txt", "-o", tmp_path / "d.h5ad"
    )
    assert "list.txt: lists names of several cells of" in line and "such as 'cell'" in line


def parts_of(folder: Path, *cuts: int) -> list[Path]:
    whole = anndata.read_h5ad(write_expression(folder / "whole.h5ad"))
    bounds = [0, *cuts, CELLS]
    paths = []
    for number, start in enumerate(bounds[:-1]):
        part = whole[start : bounds[number + 1]].copy()
        part = part[:, np.asarray(part.X.sum(0)).ravel() > 0].copy()  # each its own genes
        part.write_h5ad(folder / f"part{number}.h5ad")
        paths.append(folder / f"part{number}.h5ad")
    return paths


def test_parts_are_the_whole(tmp_path: Path, embeddings: Path) -> None:
    parts = parts_of(tmp_path, 30, 31, 60)
    together = built(tmp_path, embeddings, *parts, "--label", "cell_type", name="t.h5ad")
    whole = built(tmp_path, embeddings, tmp_path / "whole.h5ad", "--label", "cell_type")
    assert sequences_of(together) == sequences_of(whole)
    obs = anndata.read_h5ad(together).obs
    assert obs["batch"].tolist()[:: CELLS - 1] == ["part0", "part3"]
    assert obs["donor"].tolist() == anndata.read_h5ad(whole).obs["donor"].tolist()
    some = built(tmp_path, embeddings, *parts, "--where", "batch=part3", name="s.h5ad")
    assert len(sequences_of(some)) == 30


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


def test_genes_and_medians_come_from_a_sample_of_many_cells(
    tmp_path: Path, embeddings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screader_lib.cells.cell_builder.MAX_SAMPLED", 50)
    parts = parts_of(tmp_path, 20)
    whole = sequences_of(built(tmp_path, embeddings, tmp_path / "whole.h5ad", name="w.h5ad"))
    assert len(whole) == CELLS
    assert sequences_of(built(tmp_path, embeddings, *parts[::-1])) == whole


@pytest.mark.parametrize(
    ("words", "left"),
    [
        pytest.param(["--where", "donor=donor1"], 23, id="where"),
        pytest.param(
            ["--where", "donor!=donor2", "--where", "cell_type=alpha,beta"], 46, id="two-wheres"
        ),
        pytest.param(["--drop-labels", "alpha", "--drop-labels", "beta"], 30, id="drop"),
        pytest.param(["--where", "donor=donor0", "--min-cells-per-label", 8], 16, id="rare"),
    ],
)
def test_selected_cells(
    tmp_path: Path, source: Path, embeddings: Path, words: list[object], left: int
) -> None:
    words = [*words, "--label", "cell_type"]
    assert len(sequences_of(built(tmp_path, embeddings, source, *words))) == left


def test_a_condition_on_truth_values_with_gaps(tmp_path: Path, embeddings: Path) -> None:
    data = expression(*counts())
    flags = [[True, False, None][number % 3] for number in range(CELLS)]
    data.obs["primary"] = pandas.array(flags, dtype="boolean")
    data.write_h5ad(tmp_path / "x.h5ad")
    for value, expected in (("primary=true", [0]), ("primary=False", [1]), ("primary!=1", [1, 2])):
        made = built(tmp_path, embeddings, tmp_path / "x.h5ad", "--where", value)
        names = [name for n, name in enumerate(data.obs_names) if n % 3 in expected]
        assert list(sequences_of(made)) == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--label", "celltype"], "Did you mean: cell_type", id="near-miss"),
        pytest.param(["--layer", "raw"], "It has: X", id="layer"),
        pytest.param(["--gene-column", "symbols"], "no column", id="gene-column"),
        pytest.param(["--cells", "nobody.txt"], "'nobody'", id="listed-cell"),
        pytest.param(["--cells", "blank.txt"], "lists no cells", id="blank-list"),
        pytest.param(["--cells", "binary.txt"], "is not text", id="binary-list"),
        pytest.param(["--where", "donor=x"], "no cells match", id="where"),
        pytest.param(["--drop-labels", "alpha"], "Give --label", id="drop-without-label"),
        pytest.param(
            ["--drop-labels", "gamma", "--label", "cell_type"], "no cell has the label", id="label"
        ),
        pytest.param(
            ["--label", "cell_type", "--min-cells-per-label", 31], "no cells are left", id="rare"
        ),
        pytest.param(["--medians", "none.tsv"], "none.tsv", id="medians"),
        pytest.param(["--medians", "negative.tsv"], "line 2", id="negative-medians"),
        pytest.param(["--medians", "other.tsv"], "none of the genes", id="other-medians"),
        pytest.param(["--orthologs", "none.csv"], "none.csv", id="orthologs"),
        pytest.param(["-e", "other.h5ad"], "0 of 40 genes", id="no-gene-in-common"),
        pytest.param(["-e", "mouse.h5ad"], "embeddings of another species?", id="case"),
        pytest.param(["-e", "half.h5ad", "--like", "like.h5ad"], "have no embedding", id="like"),
    ],
)
def test_wrong_options(
    tmp_path: Path,
    source: Path,
    embeddings: Path,
    cells: Path,
    words: list[object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nobody.txt").write_text("cell001\nnobody\n")
    Path("blank.txt").write_bytes(b"\n\n")
    Path("binary.txt").write_bytes(b"\x89HDF\r\n\x1a\n\xff")
    Path("negative.tsv").write_text("GENE00\t-1\nx\t-1\n")
    Path("other.tsv").write_text("OTHER\t1\n")
    Path("like.h5ad").write_bytes(cells.read_bytes())
    if "-e" in words:
        write_embeddings(Path("other.h5ad"), ["OTHER1", "OTHER2"])
        write_embeddings(Path("mouse.h5ad"), [name.lower() for name in genes()])
        write_embeddings(Path("half.h5ad"), genes()[:20])
    assert message in fail("build-cells", source, "-e", embeddings, *words, "-o", "c.h5ad")
    assert not Path("c.h5ad").exists()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        pytest.param(0, "holds no cells", id="no-cells"),
        pytest.param(9, "all values of the selected cells are 0", id="no-counts"),
    ],
)
def test_nothing_to_see(tmp_path: Path, embeddings: Path, cells: int, message: str) -> None:
    values, types = counts()
    expression(values[:cells] * 0, types[:cells]).write_h5ad(tmp_path / "x.h5ad")
    words = ["-e", embeddings, "-o", tmp_path / "c.h5ad"]
    assert message in fail("build-cells", tmp_path / "x.h5ad", *words)


def test_options_that_like_sets(
    tmp_path: Path, cells: Path, source: Path, embeddings: Path
) -> None:
    words = ["build-cells", source, "-e", embeddings, "--like", cells, "-o", tmp_path / "c"]
    for option in (["-k", 10], ["--weight", "rank"], ["--medians", "m.tsv"]):
        result = call(*words, *option)
        assert result.exit_code == 2 and "cannot be combined with --like" in result.stderr
    assert f"40 of the 40 genes of {cells} are in this sample" in succeed(*words).stderr


def test_labels_that_say_unknown(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    types[:7] = ["unknown", "nan", "", *["unknown"] * 4]
    data = expression(values, types, cell_type_ontology_term_id="CL:0000001", nobody="nan")
    data.obs.loc[data.obs["cell_type"] == "unknown", "cell_type_ontology_term_id"] = "unknown"
    data.write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "x.h5ad", "--label", "cell_type"]
    obs = anndata.read_h5ad(built(tmp_path, embeddings, *words)).obs
    assert obs["label"].isna().sum() == 7 and obs["label_ontology_id"].isna().sum() == 5
    dropped = anndata.read_h5ad(built(tmp_path, embeddings, *words, "--drop-labels", "unknown"))
    assert dropped.n_obs == CELLS - 5
    words = [tmp_path / "x.h5ad", "--label", "nobody", "-e", embeddings, "-o", tmp_path / "d"]
    assert "no cell has a known label" in succeed("build-cells", *words).stderr


def test_ids_of_something_else_are_not_taken_for_the_labels(
    tmp_path: Path, source: Path, embeddings: Path
) -> None:
    made = built(tmp_path, embeddings, source, "--label", "donor")  # the ids are of cell_type
    assert "label_ontology_id" not in anndata.read_h5ad(made).obs


def test_weights_that_are_the_counts_as_stored(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    data = expression(values, types)
    data.var_names = [*genes()[:39], "GENE00"]  # two columns that are added up
    data.write_h5ad(tmp_path / "x.h5ad")
    words = ["--select", "all", "--weight", "expression"]
    made = built(tmp_path, embeddings, tmp_path / "x.h5ad", *words)
    values[:, 0] += values[:, 39]
    for row, (ranked, weights) in zip(values, sequences_of(made).values(), strict=True):
        expected = {name: count for name, count in zip(genes()[:39], row, strict=False) if count}
        assert dict(zip(ranked, weights, strict=True)) == expected
    logs = np.log1p(values / values.sum(1, keepdims=True) * 1e4)
    expression(logs, types).write_h5ad(tmp_path / "log.h5ad")
    log = [tmp_path / "log.h5ad", "-e", embeddings, "-o", tmp_path / "d.h5ad"]
    assert "--layer" in fail("build-cells", *log, "--weight", "expression")
    assert "needs counts" in fail("build-cells", *log, "--like", made)


def written(path: Path, values: np.ndarray, types: list[str], names: list[str]) -> Path:
    data = expression(np.hstack([values, values * 0])[:, : len(genes())], types)
    data = data[:, : len(names)].copy()
    data.var_names = names
    data.write_h5ad(path)
    return path


def test_a_panel_is_read_in_the_units_of_all_genes(
    tmp_path: Path, embeddings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screader_lib.cells.normalisation.WHOLE_TRANSCRIPTOME", 40)
    values, types = counts()
    whole = written(tmp_path / "whole.h5ad", values, types, genes())
    like = built(tmp_path, embeddings, whole, "--select", "all", name="like.h5ad")
    logs = np.log1p(values / values.sum(1, keepdims=True) * 1e4)
    paths = {
        "logs": written(tmp_path / "logs.h5ad", logs[:, :15], types, genes()[:15]),
        "log2": written(tmp_path / "log2.h5ad", logs[:, :15] / np.log(2), types, genes()[:15]),
        "counts": written(tmp_path / "counts.h5ad", values[:, :15], types, genes()[:15]),
    }
    with h5py.File(paths["log2"], "r+") as file:
        file.create_group("uns/log1p")["base"] = 2
    given = sequences_of(like)
    expected = [
        [(gene, weight) for gene, weight in zip(*given[name], strict=True) if gene in genes()[:15]]
        for name in given
    ]
    for name, words in (("logs", "log1p-normalised, kept"), ("log2", "log2-normalised, kept")):
        command = ["build-cells", paths[name], "-e", embeddings, "-o", tmp_path / "own.h5ad"]
        assert f"values are read as {words}" in succeed(*command, "--select", "all").stderr
        command = ["build-cells", paths[name], "-e", embeddings, "-o", tmp_path / "same.h5ad"]
        messages = succeed(*command, "--like", tmp_path / "own.h5ad").stderr
        assert f"values are read as {words}" in messages
        assert sequences_of(tmp_path / "same.h5ad") == sequences_of(tmp_path / "own.h5ad")
        # counts of all genes on the panel's genes, to train with, are in the same units
        training = built(tmp_path, embeddings, whole, "--like", tmp_path / "own.h5ad", name="t")
        succeed(*command, "--like", training)
        for path in (training, tmp_path / "same.h5ad"):
            found, wanted = sequences_of(path), sequences_of(tmp_path / "own.h5ad")
            for cell, (ranked, weights) in found.items():
                assert dict(zip(ranked, weights, strict=True)) == pytest.approx(
                    dict(zip(*wanted[cell], strict=True)), rel=1e-5
                )
        command = ["build-cells", paths[name], "-e", embeddings, "--like", like]
        command += ["--normalise", "none", "-o", tmp_path / "c"]
        assert f"values are read as {words}" in succeed(*command).stderr
        for cell, row in zip(sequences_of(tmp_path / "c").values(), expected, strict=True):
            assert cell[0] == [gene for gene, _ in row]
            assert cell[1] == pytest.approx([weight for _, weight in row], rel=1e-5)
    mean = np.expm1(logs)[:, :15].sum(1).mean()  # what the 15 genes add up to in --like
    for path in paths.values():
        words = ["--like", like, "--normalise", "reader"]
        made = sequences_of(built(tmp_path, embeddings, path, *words))
        totals = [np.expm1(weights).sum() for _, weights in made.values() if weights]
        assert totals == pytest.approx([mean] * len(totals), rel=1e-4)
    forced = built(tmp_path, embeddings, paths["logs"], "--like", like)  # which has totals
    totals = [np.expm1(weights).sum() for _, weights in sequences_of(forced).values() if weights]
    assert totals == pytest.approx([1e4] * len(totals), rel=1e-4)
    result = call(
        "build-cells", whole, "-e", embeddings, "--normalise", "reader", "-o", tmp_path / "d"
    )
    assert result.exit_code == 2 and "needs --like" in result.stderr


def test_transcripts_per_million_are_no_counts(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    shares = values / np.maximum(values.sum(1, keepdims=True), 1)
    expression(shares * 1e6, types).write_h5ad(tmp_path / "tpm.h5ad")
    expression(values, types).write_h5ad(tmp_path / "x.h5ad")
    words = [tmp_path / "tpm.h5ad", "-e", embeddings, "-o", tmp_path / "c.h5ad"]
    messages = succeed("build-cells", *words).stderr
    assert "values are read as normalised without a logarithm, normalised to 10,000" in messages
    expected = sequences_of(built(tmp_path, embeddings, tmp_path / "x.h5ad", name="d.h5ad"))
    for cell, (ranked, weights) in sequences_of(tmp_path / "c.h5ad").items():
        assert dict(zip(ranked, weights, strict=True)) == pytest.approx(
            dict(zip(*expected[cell], strict=True)), rel=1e-5
        )
    assert "needs counts" in fail("build-cells", *words, "--weight", "expression")


@pytest.mark.parametrize("what", ["select", "rank_by", "weight", "normalise"])
def test_an_unknown_construction(
    tmp_path: Path, cells: Path, source: Path, embeddings: Path, what: str
) -> None:
    like = tmp_path / "like.h5ad"
    like.write_bytes(cells.read_bytes())
    with h5py.File(like, "r+") as file:
        content = encoding.read_json(file["uns"], "construction") | {what: "new"}
        del file["uns/construction"]
        encoding.write_json(file["uns"], "construction", content)
    words = ["-e", embeddings, "--like", like, "-o", tmp_path / "c.h5ad"]
    assert f"{what} 'new'; expected" in fail("build-cells", source, *words)


def test_coverage_by_input(tmp_path: Path, embeddings: Path) -> None:
    values, types = counts()
    expression(values, types).write_h5ad(tmp_path / "a.h5ad")
    values[:, 39] = 9 * values[:, :39].sum(1)  # by far the most, and of no known gene
    poor = expression(values, types)
    poor.var_names = [*genes()[:39], "OTHER"]
    poor.write_h5ad(tmp_path / "b.h5ad")
    inputs = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    words = ["-e", embeddings, "--select", "all", "-o", tmp_path / "c.h5ad"]
    messages = succeed("build-cells", *inputs, *words, "--min-mapped", 0.05).stderr
    coverage = f"55.0% ({inputs[0]} 100.0%, {inputs[1]} 10.0%)"
    assert f"embedded genes carry {coverage} of the counts." in messages
    assert f"the 40 selected genes carry {coverage} of the counts." in messages
    for path in inputs:
        assert f"{path}: values are read as raw counts, normalised to 10,000" in messages
    line = fail("build-cells", *inputs, *words, "--min-mapped", 0.2)
    assert str(inputs[1]) in line and "only 10.0% of the counts" in line


@pytest.mark.parametrize("where", ["obs", "uns", "zarr"])
def test_cellxgene_conventions(tmp_path: Path, where: str) -> None:
    """Ensembl ids, feature_name, counts in raw, labels with ids, the species."""
    data = expression(*counts(), cell_type_ontology_term_id="CL:0000001")
    data.var["feature_name"] = genes()
    data.var_names = [f"ENSG{number:011}" for number in range(len(genes()))]
    data.raw = data.copy()
    data.X = sparse.csr_matrix(np.log1p(data.X.toarray() / 5))
    taxon, path = "NCBITaxon:9606", tmp_path / f"x.{where}"
    if where == "obs":
        data.obs["organism_ontology_term_id"] = pandas.Categorical([taxon] * CELLS)
    else:
        data.uns["organism_ontology_term_id"] = taxon
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (data.write_zarr if where == "zarr" else data.write_h5ad)(path)
    words = ["build-cells", path, "--label", "cell_type", "-o", tmp_path / "c"]
    messages = succeed(*words, "-e", with_species(tmp_path / "human.h5ad", 9606)).stderr
    assert "40 of 40 genes have an embedding (40 by symbol of feature_name)" in messages
    assert "raw is read" in messages and "values are read as raw counts" in messages
    assert set(anndata.read_h5ad(tmp_path / "c").obs["label_ontology_id"]) == {"CL:0000001"}
    line = fail(*words, "-e", with_species(tmp_path / "mouse.h5ad", 10090))
    assert "cells are of NCBITaxon:9606, the gene embeddings of NCBITaxon:10090" in line


def test_orthologs(tmp_path: Path, embeddings: Path) -> None:
    data = expression(*counts())
    data.var_names = [name.capitalize() for name in genes()]
    data.write_h5ad(tmp_path / "mouse.h5ad")
    pairs = [f"{name},{name.capitalize()}" for name in genes()[:35]]
    (tmp_path / "o.csv").write_text("human,mouse\n" + "\n".join(pairs) + "\n")
    words = [tmp_path / "mouse.h5ad", "--orthologs", tmp_path / "o.csv", "-e", embeddings]
    messages = succeed("build-cells", *words, "--select", "all", "-o", tmp_path / "c.h5ad").stderr
    assert "35 of 40 genes have a one-to-one ortholog" in messages
    ranked = {gene for row, _ in sequences_of(tmp_path / "c.h5ad").values() for gene in row}
    assert ranked == set(genes()[:35])


def test_medians_of_a_table(tmp_path: Path, source: Path, embeddings: Path) -> None:
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
