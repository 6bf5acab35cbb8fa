"""Backing off: known answers, what is never said, and predict --ontology from end to end."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from obo_files import (
    ACINAR,
    ALPHA,
    BETA,
    DELTA,
    ENDOCRINE,
    ENDOTHELIAL,
    EPITHELIAL,
    NAMES,
    PANCREATIC,
    write_obo,
)
from small_files import (
    CELLS,
    counts,
    expression,
    fail,
    genes,
    succeed,
    write_cells,
    write_embeddings,
)

from screader_lib.exchange import encoding
from screader_lib.exchange.provenance import sha256_of
from screader_lib.reader.confidence.ontology import Ontology, locate_ontology, read_ontology
from screader_lib.reader.confidence.ontology_backoff import BackoffTerms

IDS = [ALPHA, BETA, ACINAR, ENDOTHELIAL]


@pytest.fixture
def known(tmp_path: Path) -> Ontology:
    return read_ontology(write_obo(tmp_path / "cl.obo"))


def backed_off(backoff: BackoffTerms, row: list[float], least: float) -> str | None:
    probability = np.array([row], np.float32)
    [number] = backoff.back_off(probability, probability.argmax(1), least)
    return None if number < 0 else backoff.candidates[number]


@pytest.mark.parametrize(
    ("row", "least", "term"),
    [
        pytest.param([0.5, 0.4, 0.1, 0.0], 0.8, PANCREATIC, id="common parent"),
        pytest.param([0.4, 0.3, 0.3, 0.0], 0.8, EPITHELIAL, id="further up"),
        pytest.param([0.4, 0.2, 0.2, 0.2], 0.9, None, id="of any cell"),
        pytest.param([0.2, 0.2, 0.0, 0.6], 0.7, None, id="alone below the root"),
        pytest.param([0.3, 0.3, 0.0, 0.4], 0.55, None, id="not beside the best label"),
        pytest.param([0.5, 0.4, 0.1, 0.0], 0.9, PANCREATIC, id="just reached"),
    ],
)
def test_known_answers(known: Ontology, row: list[float], least: float, term: str | None) -> None:
    assert backed_off(BackoffTerms.of(known, IDS), row, least) == term


def test_what_is_open(known: Ontology) -> None:
    """Endocrine cell stands above the same labels as pancreatic endocrine cell, less specific."""
    assert BackoffTerms.of(known, IDS).candidates == (PANCREATIC, ENDOCRINE, EPITHELIAL)
    assert not BackoffTerms.of(known, [ALPHA, BETA, DELTA]).candidates
    assert not BackoffTerms.of(known, ["", "nothing", ALPHA]).candidates


def test_a_label_may_itself_be_a_term_above(known: Ontology) -> None:
    backoff = BackoffTerms.of(known, [PANCREATIC, BETA, ENDOTHELIAL])
    assert backed_off(backoff, [0.3, 0.5, 0.2], 0.75) == PANCREATIC


def test_labels_without_a_term_cannot_back_off(known: Ontology) -> None:
    backoff = BackoffTerms.of(known, [ALPHA, BETA, "", ENDOTHELIAL])
    assert backed_off(backoff, [0.5, 0.3, 0.2, 0.0], 0.75) == PANCREATIC
    assert backed_off(backoff, [0.3, 0.3, 0.4, 0.0], 0.5) is None


def test_the_order_of_terms_and_labels_decides_nothing(known: Ontology) -> None:
    turned = [dict(reversed(part.items())) for part in (known.names, known.parents)]
    one, other = BackoffTerms.of(known, IDS), BackoffTerms.of(Ontology(*turned), IDS[::-1])
    assert one.candidates == other.candidates
    assert np.array_equal(one.covers, other.covers[:, ::-1])


def with_ids(path: Path, ids: list[str]) -> Path:
    """Cells whose labels alpha, beta and delta have these ids."""
    with h5py.File(path, "a") as file:
        file["obs/label_ontology_id/categories"][...] = np.array(ids, object)
    return path


MARKED = [ALPHA, BETA, ACINAR]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Labelled cells with ids and a reader."""
    folder = tmp_path_factory.mktemp("trained")
    cells, reader = with_ids(write_cells(folder), MARKED), folder / "r.h5"
    options = ("--method", "genept-w", "--classifier", "knn", "--neighbours", 60)
    succeed("train-reader", cells, *options, "-o", reader)
    return cells, reader


def table(path: Path) -> anndata.AnnData:
    succeed("validate", path)
    return anndata.read_h5ad(path)


def test_predict_with_an_ontology(tmp_path: Path, trained: tuple[Path, Path]) -> None:
    cells, reader = trained
    obo, output = write_obo(tmp_path / "cl.obo"), tmp_path / "p.h5ad"
    plain = tmp_path / "plain.h5ad"
    succeed("predict", cells, "-r", reader, "-o", plain)
    before = table(plain)
    assert "assigned_label" not in before.obs
    probability, labels = before.obsm["probability"], list(before.uns["labels"])
    both = probability[:, labels.index("alpha")] + probability[:, labels.index("beta")]
    least = float(np.quantile(before.obs["confidence"], 0.5))
    result = succeed(
        "predict", cells, "-r", reader, "--ontology", obo, "--min-confidence", least, "-o", output
    )
    made = table(output)
    sure = (before.obs["confidence"] >= np.float32(least)).to_numpy()
    endocrine = before.obs["predicted_label"].isin(["alpha", "beta"]).to_numpy()
    off = ~sure & endocrine & (both >= least)
    assert off.any() and (~sure & ~off).any()
    wanted = np.where(sure, "assigned", np.where(off, "backed-off", "unassigned"))
    assert made.obs["status"].tolist() == wanted.tolist()
    name = made.obs["predicted_label"].astype(str).to_numpy()
    assert made.obs["assigned_label"].tolist() == (
        np.where(sure, name, np.where(off, NAMES[PANCREATIC], "")).tolist()
    )
    ids = made.obs["predicted_ontology_id"].astype(str).to_numpy()
    assert made.obs["assigned_ontology_id"].tolist() == (
        np.where(sure, ids, np.where(off, PANCREATIC, "")).tolist()
    )
    assert np.array_equal(made.obsm["probability"], probability)
    true = made.obs["true_label"].astype(str).to_numpy()
    right = np.where(sure, name == true, off & np.isin(true, ["alpha", "beta"]))
    with h5py.File(output) as file:
        metrics = encoding.read_json(file["uns"], "metrics")
        inputs = encoding.read_json(file["uns/screader"], "inputs")
    assert metrics["hierarchical_accuracy"] == pytest.approx(right.mean())
    assert metrics["hierarchical_accuracy_of_assigned"] == pytest.approx(right[sure | off].mean())
    assert metrics["backed_off"] == pytest.approx(off.mean())
    assert inputs["ontology"]["sha256"] == sha256_of(obo)
    assert f"{int(off.sum())} cells backed off" in result.stderr


def test_a_truth_that_the_reader_never_learnt(tmp_path: Path, trained: tuple[Path, Path]) -> None:
    """Cells of a fourth type below the term that they are backed off to are called right."""
    cells, reader = trained
    others = write_cells(tmp_path, "--like", cells, seed=1)
    with_ids(others, [DELTA, ENDOTHELIAL, ACINAR])
    with h5py.File(others, "a") as file:
        names = np.array(["d cell", "vessel", "delta"], object)
        file["obs/label/categories"][...] = names
    obo, output = write_obo(tmp_path / "cl.obo"), tmp_path / "p.h5ad"
    options = ("--ontology", obo, "--min-confidence", 0.7)
    succeed("predict", others, "-r", reader, *options, "-o", output)
    made = table(output).obs.astype({"true_label": str})
    off, true = (made["status"] == "backed-off"), made["true_label"]
    assert (off & (true == "d cell")).any() and (off & (true == "vessel")).any()
    right = off & (true == "d cell")
    right |= (made["status"] == "assigned") & (true == made["predicted_label"].astype(str))
    with h5py.File(output) as file:
        metrics = encoding.read_json(file["uns"], "metrics")
    assert metrics["hierarchical_accuracy"] == pytest.approx(right.mean())


def test_nothing_backs_off_without_a_threshold(tmp_path: Path, trained: tuple[Path, Path]) -> None:
    cells, reader = trained
    obo, output = write_obo(tmp_path / "cl.obo"), tmp_path / "p.h5ad"
    succeed("predict", cells, "-r", reader, "--ontology", obo, "-o", output)
    made = table(output).obs
    assert made["assigned_label"].astype(str).eq(made["predicted_label"].astype(str)).all()
    with h5py.File(output) as file:
        metrics = encoding.read_json(file["uns"], "metrics")
    assert metrics["hierarchical_accuracy"] == pytest.approx(metrics["accuracy"])
    assert metrics["backed_off"] == 0


def test_cells_without_a_known_gene_do_not_back_off(tmp_path: Path) -> None:
    """A cell of genes that the reader never met is called nothing, whatever the threshold."""
    values, types = counts()
    embeddings = write_embeddings(tmp_path / "e.h5ad", [*genes(), "OTHER"])
    more = np.pad(values, ((0, 0), (0, 1)))
    more[:3] = 0
    more[:3, -1] = 50
    ids = np.array(MARKED)[np.arange(CELLS) % 3].tolist()
    learnt = expression(values, types, cell_ontology_id=ids)
    asked = anndata.AnnData(more.astype(np.float32), learnt.obs)
    asked.var_names = [*genes(), "OTHER"]
    built = [tmp_path / "learnt.h5ad", tmp_path / "asked.h5ad"]
    for table_of, path in zip((learnt, asked), built, strict=True):
        table_of.write_h5ad(tmp_path / "counts.h5ad")
        options = ("-e", embeddings, "--label", "cell_type", "-o", path)
        succeed("build-cells", tmp_path / "counts.h5ad", *options)
    reader, output = tmp_path / "r.h5", tmp_path / "p.h5ad"
    succeed("train-reader", built[0], "--method", "logistic", "-o", reader)
    obo = write_obo(tmp_path / "cl.obo")
    plain = tmp_path / "plain.h5ad"
    succeed("predict", built[1], "-r", reader, "-o", plain)
    before = table(plain)
    probability, names = before.obsm["probability"], list(before.uns["labels"])
    both = probability[:, names.index("alpha")] + probability[:, names.index("beta")]
    assert set(before.obs["predicted_label"][:3]) <= {"alpha", "beta"}  # and so might back off
    least = max(float(before.obs["confidence"][:3].max()) + 0.01, 0.5)
    assert (both[:3] >= least).all()
    options = ("--ontology", obo, "--min-confidence", least)
    succeed("predict", built[1], "-r", reader, *options, "-o", output)
    made = table(output).obs
    assert (made["genes_in_sequence"][:3] > 0).all()
    assert (made["status"][:3] == "unassigned").all()
    assert (made["assigned_label"][:3] == "").all() and (
        made["assigned_ontology_id"][:3] == ""
    ).all()
    assert (made["status"][3:] != "unassigned").any()


def test_labels_without_ids_are_told_once(tmp_path: Path, cells: Path) -> None:
    reader, obo = tmp_path / "r.h5", write_obo(tmp_path / "cl.obo")
    succeed("train-reader", cells, "--method", "majority", "-o", reader)
    options = ("--ontology", obo, "--min-confidence", 0.9, "-o", tmp_path / "p.h5ad")
    result = succeed("predict", cells, "-r", reader, *options)
    assert result.stderr.count("have no term in the ontology") == 1
    made = table(tmp_path / "p.h5ad")
    assert (made.obs["status"] == "unassigned").all() and len(made) == CELLS
    assert (made.obs["assigned_label"] == "").all()


def test_a_circle_leaves_no_output(tmp_path: Path, trained: tuple[Path, Path]) -> None:
    cells, reader = trained
    obo = write_obo(tmp_path / "cl.obo", "\n[Term]\nid: A:1\nis_a: A:1\n")
    output = tmp_path / "p.h5ad"
    line = fail("predict", cells, "-r", reader, "--ontology", obo, "-o", output)
    assert "cl.obo" in line and not output.exists()
    missing = tmp_path / "none.obo"
    assert "none.obo" in fail("predict", cells, "-r", reader, "--ontology", missing, "-o", output)


def test_the_packaged_ontology_and_the_same_bytes_twice(
    tmp_path: Path, trained: tuple[Path, Path]
) -> None:
    cells, reader = trained
    outputs = []
    for number in range(2):
        output = tmp_path / f"{number}.h5ad"
        options = ("--ontology", "packaged", "--min-confidence", 0.6, "-o", output)
        succeed("predict", cells, "-r", reader, *options)
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1]
    obs = table(output).obs
    off = obs["status"] == "backed-off"
    packaged = Path(locate_ontology("packaged"))
    names = read_ontology(packaged).names
    assert off.any()
    assert [names[term] for term in obs["assigned_ontology_id"][off]] == (
        obs["assigned_label"][off].tolist()
    )
    with h5py.File(output) as file:
        inputs = encoding.read_json(file["uns/screader"], "inputs")
    assert inputs["ontology"]["sha256"] == sha256_of(packaged)
