"""OBO files, sound and hostile; backing off to their terms, up to predict --ontology."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obo_files import (
    ACINAR,
    ALPHA,
    BETA,
    CELL,
    DELTA,
    ENDOCRINE,
    ENDOTHELIAL,
    EPITHELIAL,
    EUKARYOTIC,
    INSULIN,
    PANCREATIC,
    TERMS,
    gone,
    stanza,
    write_obo,
)
from small_files import (
    ONE_READER,
    counts,
    expression,
    fail,
    genes,
    succeed,
    write_cells,
    write_embeddings,
)

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.provenance import sha256_of
from screader_lib.reader.confidence import ontology
from screader_lib.reader.confidence.ontology import Ontology, locate_ontology, read_ontology
from screader_lib.reader.confidence.ontology_backoff import BackoffTerms


@pytest.fixture
def obo(tmp_path: Path) -> Path:
    return write_obo(tmp_path / "cl.obo")


@pytest.fixture
def known(obo: Path) -> Ontology:
    return read_ontology(obo)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_terms_and_what_they_are_kinds_of(tmp_path: Path, newline: str) -> None:
    found = read_ontology(write_obo(tmp_path / "cl.obo", newline=newline))
    assert found.names == {term: name for term, (name, _) in TERMS.items()}
    assert {term: set(above) for term, above in found.parents.items()} == {
        term: set(parents) for term, (_, parents) in TERMS.items()
    }
    lineage = {BETA, INSULIN, PANCREATIC, ENDOCRINE, EPITHELIAL, EUKARYOTIC, CELL}
    assert found.lineage(BETA) == lineage


@pytest.mark.parametrize(
    ("asked", "term"),
    [
        (BETA, BETA),
        ("CL_0000169", BETA),
        ("http://purl.obolibrary.org/obo/CL_0000169", BETA),
        pytest.param("CL:9999999", ALPHA, id="alternative id"),
        pytest.param("CL:0000001", BETA, id="replaced"),
        pytest.param("CL:0000002", None, id="obsolete"),
        pytest.param("part_of", None, id="no term"),
        ("", None),
    ],
)
def test_finding(known: Ontology, asked: str, term: str | None) -> None:
    assert known.find(asked) == term


def test_terms_that_were_replaced_or_are_not_there(tmp_path: Path) -> None:
    more = [gone("A:1", "replaced_by: A:2"), gone("A:2", f"replaced_by: {BETA}")]
    more += [gone("A:3", "replaced_by: A:4"), gone("A:4", "replaced_by: A:3")]
    more += [stanza("id: A:5", "is_a: A:1"), stanza("id: A:6", "is_a: A:7")]
    found = read_ontology(write_obo(tmp_path / "cl.obo", *more))
    assert found.find("A:1") == BETA and found.find("A:3") is None
    assert BETA in found.lineage("A:5")
    assert found.lineage("A:6") == {"A:6"} and found.names["A:6"] == "A:6"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("T cell ! of the thymus", "T cell"),
        ('T cell {source="a ! b", by="}"} ! so', "T cell"),
        ("CD4\\, \\{x\\} \\! cell", "CD4, {x} ! cell"),
        ("mind {the} gap, it's here!", "mind {the} gap, it's here!"),
        ("a\\Wb\\tc\\nd", "a b c d"),
        ("T \\\ncell", "T cell"),
        ("T \\\r\ncell", "T cell"),
        ("of \\\\", "of \\"),
    ],
)
def test_names_as_the_guide_writes_them(tmp_path: Path, written: str, read: str) -> None:
    path = write_obo(tmp_path / "cl.obo", stanza("id: A:1 ! x", f"name: {written}"))
    assert read_ontology(path).names["A:1"] == read


CIRCLE = stanza("id: A:1", "is_a: A:2") + stanza("id: A:2", "is_a: A:1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(stanza("name: nobody"), "has no id", id="no id"),
        pytest.param(stanza("id:", "name: nobody"), "has no id", id="empty id"),
        pytest.param(stanza("id: A:1", "is_a: A:1"), "kind of itself", id="of itself"),
        pytest.param(CIRCLE, "A:1", id="circle"),
        pytest.param("", "no \\[Term\\]", id="empty"),
        pytest.param("<?xml version='1.0'?><rdf:RDF/>", "no \\[Term\\]", id="OWL"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(50), "not UTF-8", id="HDF5"),
        pytest.param("x" * 3000, "longer than", id="one long line"),
    ],
)
def test_no_ontology(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, message: str
) -> None:
    monkeypatch.setattr(ontology, "MAX_LINE", 2000)
    path = tmp_path / "cl.obo"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ScReaderError, match=message) as caught:
        read_ontology(path)
    assert "cl.obo" in str(caught.value) and "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200), cut=st.integers(0, 2000))
def test_damage_is_one_line_or_none(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int
) -> None:
    path = write_obo(tmp_path_factory.mktemp("obo") / "cl.obo")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + content + whole[cut:])
    try:
        read_ontology(path)
    except ScReaderError as error:
        assert "\n" not in str(error)


def backed_off(backoff: BackoffTerms, row: list[float], confidence: float) -> str | None:
    """The term that a cell with these probabilities is backed off to."""
    probability = np.array([row], np.float32)
    [number] = backoff.back_off(probability, probability.argmax(1), confidence)
    return None if number < 0 else backoff.candidates[number]


IDS = [ALPHA, BETA, ACINAR, ENDOTHELIAL]
UNNAMED = [ALPHA, BETA, "", ENDOTHELIAL]


@pytest.mark.parametrize(
    ("ids", "row", "confidence", "term"),
    [
        pytest.param(IDS, [0.5, 0.4, 0.1, 0.0], 0.8, PANCREATIC, id="common parent"),
        pytest.param(IDS, [0.4, 0.3, 0.3, 0.0], 0.8, EPITHELIAL, id="further up"),
        pytest.param(IDS, [0.4, 0.2, 0.2, 0.2], 0.9, None, id="of any cell"),
        pytest.param(IDS, [0.2, 0.2, 0.0, 0.6], 0.7, None, id="alone below the root"),
        pytest.param(IDS, [0.3, 0.3, 0.0, 0.4], 0.55, None, id="not beside the best label"),
        pytest.param(IDS, [0.5, 0.4, 0.1, 0.0], 0.9, PANCREATIC, id="just reached"),
        pytest.param([PANCREATIC, BETA, CELL], [0.3, 0.5, 0.2], 0.75, PANCREATIC, id="a label"),
        pytest.param(UNNAMED, [0.5, 0.3, 0.2, 0.0], 0.75, PANCREATIC, id="beside no term"),
        pytest.param(UNNAMED, [0.3, 0.3, 0.4, 0.0], 0.5, None, id="best label without term"),
    ],
)
def test_backing_off(
    known: Ontology, ids: list[str], row: list[float], confidence: float, term: str | None
) -> None:
    assert backed_off(BackoffTerms.of(known, ids), row, confidence) == term


def test_candidates_whatever_the_order_of_terms_and_labels(known: Ontology) -> None:
    """Endocrine cell stands above the same labels as pancreatic endocrine cell, less specific."""
    one = BackoffTerms.of(known, IDS)
    assert one.candidates == (PANCREATIC, ENDOCRINE, EPITHELIAL)
    assert not BackoffTerms.of(known, [ALPHA, BETA, DELTA]).candidates
    assert not BackoffTerms.of(known, ["", "nothing", ALPHA]).candidates
    turned = [dict(reversed(part.items())) for part in (known.names, known.parents)]
    other = BackoffTerms.of(Ontology(*turned), IDS[::-1])
    assert one.candidates == other.candidates
    assert np.array_equal(one.covers, other.covers[:, ::-1])


@pytest.fixture(scope="module")
def packaged() -> Ontology:
    return read_ontology(Path(locate_ontology("packaged")))


def test_the_packaged_cell_ontology(packaged: Ontology, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(packaged.names) > 3_000 and packaged.names[CELL] == "cell"
    assert packaged.find("CL:0000003") == CELL  # replaced
    assert packaged.find("CL:0000002") is None  # obsolete
    assert {BETA, INSULIN, PANCREATIC, ENDOCRINE, EPITHELIAL, CELL} <= packaged.lineage(BETA)
    assert all(CELL in packaged.lineage(term) for term in packaged.names)
    monkeypatch.setattr(ontology, "PACKAGE", "no-such-package")
    with pytest.raises(ScReaderError, match=r"screader-suite\[ontology\]"):
        locate_ontology("packaged")


def test_common_ancestors_in_the_cell_ontology(packaged: Ontology) -> None:
    """The most specific common ancestor of two labels, found by going through all terms."""
    labels = sorted(packaged.names)[400:3_000:173]
    backoff = BackoffTerms.of(packaged, labels)
    lineages = [packaged.lineage(label) for label in labels]
    below = Counter(above for term in packaged.names for above in packaged.lineage(term))
    for first, second in combinations(range(0, len(labels), 3), 2):
        common = lineages[first] & lineages[second]
        covered = {term: sum(term in lineage for lineage in lineages) for term in common}
        candidates = [t for t in common if covered[t] < len(labels) and packaged.parents[t]]
        wanted = min(candidates, key=lambda t: (covered[t], below[t], t), default=None)
        row = np.zeros(len(labels))
        row[[first, second]] = 0.6, 0.4
        assert backed_off(backoff, row.tolist(), 0.9) == wanted


def with_ids(path: Path, ids: list[str]) -> Path:
    """Cells whose labels alpha, beta and delta have these ids."""
    with h5py.File(path, "a") as file:
        file["obs/label_ontology_id/categories"][...] = np.array(ids, object)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Labelled cells with ids and a reader."""
    folder = tmp_path_factory.mktemp("trained")
    cells, reader = with_ids(write_cells(folder), [ALPHA, BETA, ACINAR]), folder / "r.h5"
    options = ("--method", "genept-w", "--classifier", "knn", "--neighbours", 60)
    succeed("train-reader", cells, *options, "-o", reader)
    return cells, reader


def predicted(
    cells: Path, reader: Path, obo: object, *words: object
) -> tuple[anndata.AnnData, dict, str]:
    """The calls with an ontology, their metrics and the messages."""
    output = cells.with_name("p.h5ad")
    options = ("-r", reader, "--ontology", obo, *words, "-o", output)
    messages = succeed("predict", cells, *options).stderr
    succeed("validate", output)
    with h5py.File(output) as file:
        return anndata.read_h5ad(output), encoding.read_json(file["uns"], "metrics"), messages


def test_predict_with_an_ontology(obo: Path, trained: tuple[Path, Path]) -> None:
    before, metrics, _ = predicted(*trained, obo)
    name = before.obs["predicted_label"].astype(str).to_numpy()
    assert before.obs["assigned_label"].tolist() == name.tolist()
    assert metrics["hierarchical_accuracy"] == pytest.approx(metrics["accuracy"])
    assert metrics["backed_off"] == 0  # without a threshold
    probability, labels = before.obsm["probability"], list(before.uns["labels"])
    both = probability[:, labels.index("alpha")] + probability[:, labels.index("beta")]
    threshold = float(np.quantile(before.obs["confidence"], 0.5))
    made, metrics, messages = predicted(*trained, obo, "--min-confidence", threshold)
    sure = (before.obs["confidence"] >= np.float32(threshold)).to_numpy()
    off = ~sure & np.isin(name, ["alpha", "beta"]) & (both >= threshold)
    assert off.any() and (~sure & ~off).any()
    ids = made.obs["predicted_ontology_id"].astype(str).to_numpy()
    for column, assigned, backed, rest in (
        ("status", "assigned", "backed-off", "unassigned"),
        ("assigned_label", name, TERMS[PANCREATIC][0], ""),
        ("assigned_ontology_id", ids, PANCREATIC, ""),
    ):
        wanted = np.where(sure, assigned, np.where(off, backed, rest))
        assert made.obs[column].tolist() == wanted.tolist()
    assert np.array_equal(made.obsm["probability"], probability)
    true = made.obs["true_label"].astype(str).to_numpy()
    right = np.where(sure, name == true, off & np.isin(true, ["alpha", "beta"]))
    assert metrics["hierarchical_accuracy"] == pytest.approx(right.mean())
    assert metrics["hierarchical_accuracy_of_assigned"] == pytest.approx(right[sure | off].mean())
    assert metrics["backed_off"] == pytest.approx(off.mean())
    assert f"{int(off.sum())} cells given a broader type" in messages
    with h5py.File(trained[0].with_name("p.h5ad")) as file:
        inputs = encoding.read_json(file["uns/screader"], "inputs")
    assert inputs["ontology"]["sha256"] == sha256_of(obo)


def test_a_truth_that_the_reader_never_learnt(
    tmp_path: Path, obo: Path, trained: tuple[Path, Path]
) -> None:
    """Cells of a fourth type below the term that they are backed off to are called right."""
    cells, reader = trained
    others = with_ids(write_cells(tmp_path, "--like", cells, seed=1), [DELTA, ENDOTHELIAL, ACINAR])
    with h5py.File(others, "a") as file:
        file["obs/label/categories"][...] = np.array(["d cell", "vessel", "delta"], object)
    made, metrics, _ = predicted(others, reader, obo, "--min-confidence", 0.9)
    obs = made.obs.astype({"true_label": str, "predicted_label": str})
    off, true = obs["status"] == "backed-off", obs["true_label"]
    assert (off & (true == "d cell")).any() and (off & (true == "vessel")).any()
    right = off & (true == "d cell")
    right |= (obs["status"] == "assigned") & (true == obs["predicted_label"])
    assert metrics["hierarchical_accuracy"] == pytest.approx(right.mean())
    assert metrics["cells"] == (true == "delta").sum()  # the others the reader does not have
    assert metrics["other_labels"] == {"d cell": 30, "vessel": 30}


def test_calls_at_the_level_of_the_truth(
    tmp_path: Path, obo: Path, trained: tuple[Path, Path]
) -> None:
    """Truths above and below the labels of the reader, and one that is of another branch."""
    cells, reader = trained
    above = with_ids(write_cells(tmp_path, "--like", cells), [PANCREATIC, BETA, ENDOTHELIAL])
    with h5py.File(above, "a") as file:
        file["obs/label/categories"][...] = np.array(["islet", "beta", "vessel"], object)
    made, metrics, messages = predicted(above, reader, obo)
    obs = made.obs.astype({"true_label": str, "predicted_label": str})
    pairs = Counter(zip(obs["true_label"], obs["predicted_label"], strict=True))
    narrower = pairs["islet", "alpha"] + pairs["islet", "beta"]
    same = pairs["beta", "beta"]
    assert narrower and same
    assert metrics["ontology"] == {
        "assignable": 90, "assigned": 90, "backed_off": 0, "right": same,
        "compared": 90, "same": same, "narrower": narrower, "broader": 0,
    }  # fmt: skip
    assert metrics["ontology_accuracy"] == pytest.approx((same + narrower) / 90)
    assert f"are called the same type, {narrower / 90:.1%} a kind of it, 0.0% a" in messages
    assert metrics["accuracy"] == pytest.approx(same / 30)
    other = tmp_path / "more.h5ad"
    for number in (1, 2):
        shard = tmp_path / f"part{number}.h5ad"
        options = ("-r", reader, "--ontology", obo, "--shard", f"{number}/2", "-o", shard)
        succeed("predict", above, *options)
    succeed("gather", tmp_path / "part1.h5ad", tmp_path / "part2.h5ad", "-o", other)
    with h5py.File(other) as file:
        assert encoding.read_json(file["uns"], "metrics") == metrics


def test_a_call_above_the_truth(tmp_path: Path, obo: Path) -> None:
    cells = with_ids(write_cells(tmp_path), [PANCREATIC, ENDOTHELIAL, ACINAR])
    succeed("train-reader", cells, "--method", "logistic", *ONE_READER, "-o", tmp_path / "r.h5")
    with_ids(cells, [ALPHA, ENDOTHELIAL, ACINAR])
    with h5py.File(cells, "a") as file:
        file["obs/label/categories"][...] = np.array(["a cell", "beta", "delta"], object)
    _, metrics, _ = predicted(cells, tmp_path / "r.h5", obo)
    found = metrics["ontology"]
    assert (found["broader"], found["same"], found["narrower"]) == (30, 60, 0)
    assert found["right"] == 90  # an assigned term above the true one counts as correct


def test_cells_without_a_known_gene_do_not_back_off(
    tmp_path: Path, obo: Path, trained: tuple[Path, Path]
) -> None:
    """A cell of genes that the reader never met is called nothing, whatever the threshold."""
    values, types = counts()
    values = np.pad(values, ((0, 0), (0, 1))).astype(np.float32)
    values[:3], values[:3, -1] = 0, 50
    names = [*genes(), "OTHER"]
    table = anndata.AnnData(values, expression(values[:, :-1], types).obs)
    table.var_names = names
    table.write_h5ad(tmp_path / "x.h5ad")
    embeddings, cells = write_embeddings(tmp_path / "e.h5ad", names), tmp_path / "c.h5ad"
    words = ("-e", embeddings, "--label", "cell_type", "-o", cells)
    succeed("build-cells", tmp_path / "x.h5ad", *words)
    reader = tmp_path / "r.h5"
    succeed("train-reader", trained[0], "--method", "logistic", *ONE_READER, "-o", reader)
    made, _, _ = predicted(cells, reader, obo, "--min-confidence", 0.5)
    labels, unknown = list(made.uns["labels"]), made.obs[:3]
    both = made.obsm["probability"][:3, [labels.index("alpha"), labels.index("beta")]]
    assert set(unknown["predicted_label"]) <= {"alpha", "beta"}  # and so might back off
    assert (both.sum(1) >= 0.5).all() and (unknown["confidence"] < 0.5).all()
    assert (unknown["genes_in_sequence"] > 0).all() and (unknown["status"] == "unassigned").all()
    assert (unknown[["assigned_label", "assigned_ontology_id"]] == "").all(axis=None)
    assert (made.obs["status"][3:] != "unassigned").any()


def test_labels_without_ids_are_reported_once(tmp_path: Path, obo: Path) -> None:
    cells, reader = with_ids(write_cells(tmp_path), ["", "x", "CL:0000002"]), tmp_path / "r.h5"
    succeed("train-reader", cells, "--method", "majority", *ONE_READER, "-o", reader)
    made, _, messages = predicted(cells, reader, obo, "--min-confidence", 0.9)
    assert messages.count("have no term in the ontology") == 1
    assert (made.obs["status"] == "unassigned").all() and (made.obs["assigned_label"] == "").all()


@pytest.mark.parametrize("content", [None, CIRCLE], ids=["missing", "circle"])
def test_no_ontology_no_output(
    tmp_path: Path, trained: tuple[Path, Path], content: str | None
) -> None:
    obo, output = tmp_path / "x.obo", tmp_path / "p.h5ad"
    if content is not None:
        obo.write_text(content)
    cells, reader = trained
    line = fail("predict", cells, "-r", reader, "--ontology", obo, "-o", output)
    assert "x.obo" in line and not output.exists()
