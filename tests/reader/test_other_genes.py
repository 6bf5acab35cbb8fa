"""How a reader knows genes that have other names, another order, or nothing like what it learnt."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_reporter import RecordingReporter
from small_files import DIM, GENES, ONE_READER, fail, genes, succeed

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import (
    NEIGHBOURS,
    SAME_TEXT,
    SOFTNESS,
    GeneMatcher,
    filter_genes,
)
from screader_lib.cells.gene_texts import GeneTexts
from screader_lib.exchange.table import Table, strings
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.model.linear_reader import LinearReader
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.training import train_neural
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import make_task

RANDOM = np.random.default_rng(0)
LEARNT = RANDOM.normal(0, 1, (30, 64)).astype(np.float32) + 5  # far from centred, as texts are
IDS = strings(f"G{number}" for number in range(30))
MATCHER = GeneMatcher(IDS, LEARNT)


@pytest.mark.parametrize("order", [range(30), range(7), range(29, -1, -1)])
def test_genes_by_name_are_themselves_in_any_order(order: range) -> None:
    match = MATCHER.match(IDS[order], LEARNT[order])
    assert match.is_identity == (order[0] == 0)
    assert match.by_name == len(order) and match.by_text == 0 and (match.known == 1).all()
    assert (match.weighted_mean(LEARNT) == LEARNT[order]).all()


def test_the_text_decides_whatever_the_name() -> None:
    match = MATCHER.match(strings(f"M{number}" for number in range(30)), LEARNT)
    assert match.by_name == 0 and match.by_text == 30
    assert match.known == pytest.approx(np.ones(30), abs=1e-5)
    assert (match.neighbours[:, 0] == np.arange(30)).all()
    assert match.weighted_mean(LEARNT) == pytest.approx(LEARNT, abs=1e-2)


SAME, OTHER = GeneTexts(species=frozenset([9606])), GeneTexts(species=frozenset([10090]))
FOREIGN_MATCHER = replace(MATCHER, texts=SAME)


@pytest.mark.parametrize(
    ("species", "fields", "learnt_fields", "noise", "by_name", "by_text"),
    [
        pytest.param(SAME, "a", "a", 0.0, 20, 10, id="same species and texts"),
        pytest.param(SAME, "", "a", 0.0, 20, 10, id="unknown fields, same vectors"),
        pytest.param(SAME, "", "a", 9.0, 20, 0, id="unknown fields, other vectors"),
        pytest.param(SAME, "a", "b", 0.0, 20, 0, id="other fields"),
        pytest.param(OTHER, "a", "a", 0.0, 20, 10, id="other species, same texts"),
        pytest.param(OTHER, "", "", 9.0, 0, 0, id="other species, other vectors"),
    ],
)
def test_names_count_in_one_species_and_texts_where_they_agree(
    species: GeneTexts, fields: str, learnt_fields: str, noise: float, by_name: int, by_text: int
) -> None:
    """Of 30 genes, 20 have the names of learnt ones."""
    genes = replace(MATCHER, texts=replace(SAME, fields=tuple(learnt_fields)))
    names = strings([*IDS[:20], *(f"?{number}" for number in range(10))])
    vectors = LEARNT + np.random.default_rng(2).normal(0, noise, LEARNT.shape).astype(np.float32)
    match = genes.match(names, vectors, replace(species, fields=tuple(fields)))
    assert (match.by_name, match.by_text) == (by_name, by_text)
    assert bool(match.texts_differ) == (by_text == 0 and species is SAME)
    assert match.other_species == (species is OTHER)
    if by_name:
        assert match.weighted_mean(LEARNT)[:20] == pytest.approx(LEARNT[:20])


def test_shuffled_vectors_change_no_gene_that_is_known_by_name() -> None:
    match = MATCHER.match(IDS, LEARNT[::-1])
    assert match.is_identity and match.by_name == 30 and "same ids" in match.texts_differ
    wider = MATCHER.match(IDS, np.ones((30, 5)), GeneTexts("other", dim=5))
    assert wider.is_identity and "embedded by other (5 dimensions)" in wider.texts_differ


def between(cosine: float) -> np.ndarray:
    """A text at this cosine to that of gene 4, away from the others."""
    centre = LEARNT.mean(0)
    axis = (LEARNT[4] - centre) / np.linalg.norm(LEARNT[4] - centre)
    others = np.linalg.qr((LEARNT - centre).T)[0]
    away = RANDOM.normal(0, 1, 64)
    away -= others @ (others.T @ away)
    away /= np.linalg.norm(away)
    return (centre + 8 * (cosine * axis + np.sqrt(1 - cosine**2) * away)).astype(np.float32)[None]


@pytest.mark.parametrize("cosine", [0.99, 0.91, 0.89, 0.87])
def test_known_answer_of_a_near_text(cosine: float) -> None:
    match = MATCHER.match(strings(["?"]), between(cosine))
    assert match.known == pytest.approx([np.exp((cosine - 1) / SOFTNESS)], rel=1e-3)
    assert match.neighbours[0, 0] == 4 and match.shares[0, 0] == pytest.approx(1, abs=1e-3)
    foreign = FOREIGN_MATCHER.match(IDS[4:5], between(cosine), OTHER)
    assert foreign.by_name == (cosine > SAME_TEXT)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.floats(0, 1.5), st.integers(0, 1000))
def test_shares_add_up_to_one_or_nothing(count: int, noise: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    texts = LEARNT[random.integers(0, 30, count)] + random.normal(0, noise, (count, 64))
    names = [IDS[number % 30] if number % 3 else f"?{number}" for number in range(count)]
    match = FOREIGN_MATCHER.match(strings(names), texts.astype(np.float32), OTHER)
    total = match.shares.sum(1)
    assert match.shares.shape == (count, NEIGHBOURS) and (match.shares >= 0).all()
    assert np.where(match.known > 0, 1, 0) == pytest.approx(total, abs=1e-5)
    assert ((match.known >= 0) & (match.known <= 1)).all()
    assert match.by_name + match.by_text == (total > 0).sum()
    assert (np.diff(match.shares, axis=1) <= 1e-7).all()
    alone = FOREIGN_MATCHER.match(strings(names[:1]), texts[:1].astype(np.float32), OTHER)
    assert alone.known[0] == pytest.approx(match.known[0], rel=1e-4)


@pytest.mark.parametrize(
    ("names", "texts", "coverage"),
    [
        pytest.param(IDS, LEARNT, 1.0, id="all by name"),
        pytest.param(IDS[:12], LEARNT[:12], 0.4, id="some by name"),
        pytest.param(strings("?" * 12), LEARNT[:12], 0.4, id="some by text"),
        pytest.param(strings("?" * 12), LEARNT[[3] * 12], 1 / 30, id="one by many"),
        pytest.param(strings("?"), between(0.8), 0.0, id="none"),
    ],
)
def test_coverage_of_the_learnt_genes(
    names: np.ndarray, texts: np.ndarray, coverage: float
) -> None:
    match = MATCHER.match(names, texts)
    assert match.coverage() == pytest.approx(coverage)
    assert match.known.any() == match.shares.any() == match.weighted_mean(LEARNT).any()
    assert match.known.any() == (coverage > 0) == (match.by_name + match.by_text > 0)
    few = GeneMatcher(IDS[:3], LEARNT[:3]).match(names, texts)
    assert few.neighbours.shape == (len(names), 3)


def test_unknown_genes_leave_the_sequence() -> None:
    genes = np.array([[5, 1, 7, 2], [1, 5, -1, -1], [2, 7, 3, -1], [-1] * 4])
    weights = np.arange(16, dtype=np.float32).reshape(4, 4)
    left, left_weights = filter_genes(genes, weights, lambda some: (some != 1) & (some != 7))
    assert left.tolist() == [[5, 2, -1, -1], [5, -1, -1, -1], [2, 3, -1, -1], [-1] * 4]
    assert left_weights.tolist() == [[0, 3, 0, 0], [5, 0, 0, 0], [8, 10, 0, 0], [0] * 4]
    assert filter_genes(genes, weights, lambda some: some >= 0)[0] is genes


@dataclass
class Genes:
    """Other genes: ids, and rows of the genes that there were; −1 is a new one."""

    ids: list[str]
    rows: np.ndarray
    first: int = 0  # so many of the new ones are put first into each cell

    def of(self, own: CellSequences) -> CellSequences:
        """The same cells with these genes."""
        cells = CellSequences(own.opened)
        new = np.flatnonzero(self.rows < 0)
        cells.genes = Table(strings(self.ids))
        cells.embedding = own.embedding[self.rows]
        cells.embedding[new] = np.random.default_rng(9).normal(0, 1, (len(new), DIM))
        index = np.full(GENES + 1, len(self.rows))  # where they are no longer there
        index[self.rows[self.rows >= 0]] = np.flatnonzero(self.rows >= 0)
        index[-1] = -1

        def rows(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            genes, weights = own.rows(numbers)
            genes, weights = filter_genes(index[genes], weights, lambda g: g < len(self.rows))
            first = np.tile(new[: self.first], (len(genes), 1))
            weights = np.hstack([np.full(first.shape, 3, np.float32), weights])
            return np.hstack([first, genes]).astype(np.int32), weights

        cells.rows = rows  # type: ignore[method-assign]
        cells.sequential = True  # so that weights are of these rows
        cells.lengths = (rows(np.arange(len(own)))[0] >= 0).sum(1)
        return cells


ORDER = np.random.default_rng(5).permutation(GENES)
OLD = genes()
FOREIGN = [f"Mus{number}" for number in range(GENES)]
CASES = {
    "another order": Genes([OLD[row] for row in ORDER], ORDER),
    "other names and order": Genes([FOREIGN[row] for row in ORDER], ORDER),
    "genes that nobody knows": Genes([*OLD, "x", "y"], np.append(np.arange(GENES), [-1, -1]), 2),
}
QUICK_OPTIONS = {"pooled": ("--warm-start-epochs", 1), "logistic": ()}
# Without validation, the head is mixed in at the default share.
QUICK = {"warm_start_epochs": 3, "gene_offsets": 0.5, "validation": 0.0}
READERS = {
    "pooled": ("pooled", QUICK),
    "screader": ("screader", {**QUICK, "epochs": 1, "genes_per_cell": 12}),
    "without gene scores": ("pooled", {**QUICK, "gene_scores": False}),
}


@pytest.fixture(scope="module")
def readers(sequences: CellSequences, llm: FrozenLLM) -> dict[str, NeuralReader]:
    return {
        name: train_neural(
            make_task(sequences, settings_for(method, "default", given)),
            llm if method == "screader" else None,
        )
        for name, (method, given) in READERS.items()
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", READERS)
def test_the_same_cells_have_the_same_logits(
    sequences: CellSequences, readers: dict[str, NeuralReader], name: str, case: str
) -> None:
    others, reader, reporter = CASES[case].of(sequences), readers[name], RecordingReporter()
    reader.check_genes(others, reporter)
    assert reporter.messages[0].startswith(f"{GENES} of the reader's {GENES} genes are in this")
    by_name = 0 if "other names" in case else GENES
    start = f"of {len(CASES[case].ids)} genes, the reader knows {by_name} by name and "
    told = [f"{start}{GENES - by_name} by text" in text for text in reporter.messages[1:]]
    assert told == ([] if case == "another order" else [True])
    rows = np.arange(len(sequences))
    expected, _ = reader.outputs(sequences, rows)
    evidence = reader.evidence(sequences, rows, expected)
    actual, _ = reader.outputs(others, rows)
    close = 2e-2 if "other names" in case else 1e-4
    assert actual == pytest.approx(expected, rel=close, abs=close)
    assert (actual.argmax(1) == expected.argmax(1)).all()
    assert reader.evidence(others, rows, actual) == pytest.approx(evidence, rel=close, abs=close)


def test_genes_are_read_as_far_as_they_are_known(
    sequences: CellSequences, readers: dict[str, NeuralReader]
) -> None:
    """Of two new genes before each cell's own, one is like a learnt gene, the other like none."""
    others, reader = CASES["genes that nobody knows"].of(sequences), readers["screader"]
    others.embedding[GENES] = others.embedding[7] + 0.15 * others.embedding[GENES]
    rows = np.arange(10)
    own, batch = reader.read(sequences, rows), reader.read(others, rows)
    known = float(reader.match(others).known[GENES])
    assert 0.1 < known < 0.95
    width = own.genes.shape[1]
    assert (batch.genes[:, 0] == GENES).all() and (batch.genes[:, 1 : width + 1] == own.genes).all()
    assert not (batch.genes == GENES + 1).any() and (batch.genes[:, width + 1 :] == -1).all()
    assert batch.weights[:, 0].numpy() == pytest.approx(np.full(10, 3 * known))
    assert (batch.weights[:, 1 : width + 1] == own.weights).all()


@pytest.mark.parametrize(("count", "with_head"), [(GENES - 4, True), (GENES - 5, False)])
def test_the_head_counts_where_nearly_all_learnt_genes_are_there(
    sequences: CellSequences, readers: dict[str, NeuralReader], count: int, with_head: bool
) -> None:
    """It reads means over genes, so it needs those that it has learnt from."""
    some, reader = Genes(OLD[-count:], np.arange(GENES)[-count:]).of(sequences), readers["pooled"]
    rows = np.arange(0, len(sequences), 3)
    logits, _ = reader.outputs(some, rows)
    scores = reader.gene_logits(some, rows)
    head = reader.head_logits(some, rows) * float(reader.model.mix)
    assert np.abs(head).max() > 0.01
    assert logits == pytest.approx(scores + head if with_head else scores, abs=1e-4)


@pytest.mark.parametrize(("count", "with_head"), [(GENES - 4, True), (GENES - 5, False)])
def test_genes_that_were_not_measured_do_not_count_as_there(
    sequences: CellSequences, readers: dict[str, NeuralReader], count: int, with_head: bool
) -> None:
    """Cells built --like a reader have all its genes in their vocabulary, measured or not."""
    reader, rows = readers["pooled"], np.arange(0, len(sequences), 3)
    measured = np.arange(GENES) >= GENES - count
    some = Genes(OLD[-count:], np.arange(GENES)[-count:]).of(sequences)
    built = CellSequences(sequences.opened)
    built.genes = Table(sequences.genes.index, {"inputs": measured.astype(np.int64)})
    built.sequential = True  # so that weights are of these rows
    built.rows = lambda numbers: filter_genes(  # type: ignore[method-assign]
        *sequences.rows(numbers), lambda genes: measured[genes]
    )
    assert reader.coverage(built) == reader.coverage(some) == count / GENES
    assert reader.gene_note(built) == reader.gene_note(some) and bool(reader.gene_note(built)) != (
        with_head
    )
    expected, actual = (reader.outputs(cells, rows)[0] for cells in (some, built))
    assert actual == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["pooled", "without gene scores"])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_the_linear_reader_gives_what_the_neural_one_gives(
    sequences: CellSequences, readers: dict[str, NeuralReader], name: str, data: st.DataObject
) -> None:
    """Of cells with any of the genes, under the same or other names."""
    neural = readers[name]
    linear = LinearReader(neural.model.settings, neural.tensors, neural.genes, {})
    there = data.draw(st.lists(st.integers(0, GENES - 1), min_size=1, unique=True))
    names = data.draw(st.sampled_from([OLD, FOREIGN]))
    others = Genes([names[row] for row in there], np.array(there)).of(sequences)
    rows = np.array(data.draw(st.lists(st.integers(0, len(others) - 1), min_size=1, max_size=30)))
    expected, vectors = neural.outputs(others, rows)
    logits, latents = linear.outputs(others, rows)
    assert logits == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert latents == pytest.approx(vectors, rel=1e-3, abs=1e-3)
    assert linear.evidence(others, rows, logits) == pytest.approx(
        neural.evidence(others, rows, expected), rel=1e-3, abs=1e-3
    )
    assert linear.gene_note(others) == neural.gene_note(others)
    calls = expected.argmax(1)
    found, wanted = (each.explain(others, rows, calls) for each in (linear, neural))
    for cell in range(len(rows)):
        own, other = (
            dict(zip(genes[cell], parts[cell], strict=True)) for genes, parts, _ in (found, wanted)
        )
        own.pop(-1, None), other.pop(-1, None)
        assert own == pytest.approx(other, rel=1e-3, abs=1e-3)
    assert found[2].max() < 1e-3


@pytest.mark.parametrize("method", ["pooled", "logistic"])
def test_cells_with_no_known_gene_at_all_are_refused(
    tmp_path: Path, cells: Path, method: str
) -> None:
    """Neither their ids nor their texts are those of before."""
    reader, others = tmp_path / "r.h5", shutil.copy(cells, tmp_path / "c.h5ad")
    succeed(
        "train-reader", cells, "--method", method, *QUICK_OPTIONS[method], *ONE_READER, "-o", reader
    )
    with h5py.File(others, "a") as file:
        file["var/id"][...] = FOREIGN
        vectors = np.random.default_rng(8).standard_normal((GENES, DIM))
        file["varm/embedding"][...] = vectors.astype(np.float32)
    line = fail("predict", others, "-r", reader, "-o", tmp_path / "p.h5ad")
    assert "knows none of its genes" in line and not (tmp_path / "p.h5ad").exists()
