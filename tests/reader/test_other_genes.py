"""How a reader knows genes that have other names, another order, or nothing like what it learnt."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import DIM, GENES, fail, succeed

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import (
    NEIGHBOURS,
    SAME_TEXT,
    SOFTNESS,
    GeneMatcher,
    filter_genes,
)
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import strings
from screader_lib.reader.methods import methods
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.reader_file import read_reader

RANDOM = np.random.default_rng(0)
LEARNT = RANDOM.normal(0, 1, (30, 64)).astype(np.float32) + 5  # far from centred, as texts are
IDS = strings(f"G{number}" for number in range(30))
KNOWN = GeneMatcher(IDS, LEARNT)


def test_genes_by_name_are_themselves() -> None:
    match = KNOWN.match(IDS, LEARNT)
    assert match.is_identity and match.by_name == 30 and match.by_text == 0
    assert (match.known == 1).all()
    assert (match.weighted_mean(LEARNT) == LEARNT).all()


def test_genes_in_another_order_are_themselves() -> None:
    order = np.random.default_rng(3).permutation(30)
    match = KNOWN.match(IDS[order], LEARNT[order])
    assert not match.is_identity and match.by_name == 30
    assert (match.weighted_mean(LEARNT) == LEARNT[order]).all()
    some = KNOWN.match(IDS[:7], LEARNT[:7])
    assert some.is_identity and (some.weighted_mean(LEARNT) == LEARNT[:7]).all()


def test_a_foreign_gene_with_the_same_text_is_the_known_one() -> None:
    match = KNOWN.match(strings(f"M{number}" for number in range(30)), LEARNT)
    assert match.by_name == 0 and match.by_text == 30
    assert match.known == pytest.approx(np.ones(30), abs=1e-5)
    assert (match.neighbours[:, 0] == np.arange(30)).all()
    assert match.weighted_mean(LEARNT) == pytest.approx(LEARNT, abs=1e-2)


def test_the_same_name_with_another_text_is_another_gene() -> None:
    turned = LEARNT[::-1]
    match = KNOWN.match(IDS, turned)
    assert match.by_name == 0 and (match.neighbours[:, 0] == np.arange(30)[::-1]).all()


def between(cosine: float) -> np.ndarray:
    """A text at this cosine to that of gene 4, away from the others."""
    centre = LEARNT.mean(0)
    axis = (LEARNT[4] - centre) / np.linalg.norm(LEARNT[4] - centre)
    others = np.linalg.qr((LEARNT - centre).T)[0]
    away = RANDOM.normal(0, 1, 64)
    away -= others @ (others.T @ away)
    away /= np.linalg.norm(away)
    return (centre + 8 * (cosine * axis + np.sqrt(1 - cosine**2) * away)).astype(np.float32)[None]


@pytest.mark.parametrize("cosine", [0.99, 0.95, 0.91, 0.89, 0.87])
def test_known_answer_of_a_near_text(cosine: float) -> None:
    match = KNOWN.match(strings(["?"]), between(cosine))
    assert match.known == pytest.approx([np.exp((cosine - 1) / SOFTNESS)], rel=1e-3)
    assert match.neighbours[0, 0] == 4 and match.shares[0, 0] == pytest.approx(1, abs=1e-3)
    named = KNOWN.match(IDS[4:5], between(cosine))
    assert named.by_name == (cosine > SAME_TEXT)


def test_a_far_text_is_not_known() -> None:
    match = KNOWN.match(strings("?"), between(0.8))
    assert match.known.tolist() == [0] and not match.shares.any()
    assert (match.by_name, match.by_text) == (0, 0)
    assert not match.weighted_mean(LEARNT).any()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.floats(0, 1.5), st.integers(0, 1000))
def test_shares_add_up_to_one_or_nothing(count: int, noise: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = LEARNT[random.integers(0, 30, count)] + random.normal(0, noise, (count, 64))
    names = [IDS[number % 30] if number % 3 else f"?{number}" for number in range(count)]
    match = KNOWN.match(strings(names), found.astype(np.float32))
    total = match.shares.sum(1)
    assert match.shares.shape == (count, NEIGHBOURS) and (match.shares >= 0).all()
    assert np.where(match.known > 0, 1, 0) == pytest.approx(total, abs=1e-5)
    assert ((match.known >= 0) & (match.known <= 1)).all()
    assert match.by_name + match.by_text == (total > 0).sum()
    assert (np.diff(match.shares, axis=1) <= 1e-7).all()
    alone = KNOWN.match(strings(names[:1]), found[:1].astype(np.float32))
    assert alone.known[0] == pytest.approx(match.known[0], rel=1e-4)


@pytest.mark.parametrize(
    ("names", "texts", "reached"),
    [
        pytest.param(IDS, LEARNT, 1.0, id="all by name"),
        pytest.param(IDS[:12], LEARNT[:12], 0.4, id="some by name"),
        pytest.param(strings("?" * 12), LEARNT[:12], 0.4, id="some by text"),
        pytest.param(strings("?" * 12), LEARNT[[3] * 12], 1 / 30, id="one by many"),
        pytest.param(strings("?"), between(0.8), 0.0, id="none"),
    ],
)
def test_share_of_learnt_genes_that_are_met(
    names: np.ndarray, texts: np.ndarray, reached: float
) -> None:
    assert KNOWN.match(names, texts).coverage == pytest.approx(reached)


def test_fewer_genes_than_neighbours() -> None:
    few = GeneMatcher(IDS[:3], LEARNT[:3])
    match = few.match(strings(["x"]), LEARNT[1:2])
    assert match.neighbours.shape == (1, 3) and match.neighbours[0, 0] == 1


def test_unknown_genes_leave_the_sequence() -> None:
    genes = np.array([[5, 1, 7, 2], [1, 5, -1, -1], [2, 7, 3, -1], [-1] * 4])
    weights = np.arange(16, dtype=np.float32).reshape(4, 4)
    left, of = filter_genes(genes, weights, lambda some: (some != 1) & (some != 7))
    assert left.tolist() == [[5, 2, -1, -1], [5, -1, -1, -1], [2, 3, -1, -1], [-1] * 4]
    assert of.tolist() == [[0, 3, 0, 0], [5, 0, 0, 0], [8, 10, 0, 0], [0] * 4]
    same, _ = filter_genes(genes, weights, lambda some: some >= 0)
    assert same is genes


@dataclass
class Genes:
    """Genes of a cells file to be: ids, and rows of the genes that it had; −1 is a new one."""

    ids: Sequence[str]
    rows: np.ndarray
    first: int = 0  # so many of the new ones are put first into each cell


def rewritten(cells: Path, target: Path, made: Genes) -> Path:
    """The same cells with their genes under other names, in another order, or more of them."""
    shutil.copy(cells, target)
    with h5py.File(target, "a") as file:
        var = encoding.read_table(file["var"])
        columns = {name: var.strings(name)[made.rows] for name in ("symbol",)}
        median = np.asarray(var.columns["median"])[made.rows]
        embedding = file["varm/embedding"][()][made.rows]
        new = np.flatnonzero(made.rows < 0)
        embedding[new] = np.random.default_rng(9).normal(0, 1, (len(new), DIM))
        for name in [name for name in var.columns if name not in ("symbol", "median")]:
            column = var.columns[name]
            columns[name] = (
                var.strings(name)[made.rows] if column.dtype == object else column[made.rows]
            )
        _replace(file, "var/id", strings(made.ids))
        _replace(file, "var/median", median)
        for name, values in columns.items():
            _replace(file, f"var/{name}", values)
        _replace(file, "varm/embedding", embedding)
        place = np.full(GENES + 1, -1)
        place[made.rows[made.rows >= 0]] = np.flatnonzero(made.rows >= 0)
        index = place[file["obsm/gene_index"][()]]
        stored = file["obsm/gene_index"][()] >= 0
        left = np.where(stored & (index < 0), len(made.rows), index)  # to be left out
        index, weight = filter_genes(
            left, file["obsm/gene_weight"][()], lambda some: some < len(made.rows)
        )
        more = np.tile(new[: made.first], (len(index), 1))
        _replace(file, "obsm/gene_index", np.hstack([more, index]).astype(np.int32))
        _replace(file, "obsm/gene_weight", np.hstack([more * 0 + 3, weight]).astype(np.float32))
        lengths = file["obs/genes_in_sequence"]
        lengths[...] = (index >= 0).sum(1) + made.first
    succeed("validate", target)
    return target


def _replace(file: h5py.File, path: str, values: np.ndarray) -> None:
    attributes = dict(file[path].attrs)
    kind = file[path].dtype if values.dtype == object else values.dtype
    del file[path]
    file.create_dataset(path, data=values, dtype=kind).attrs.update(attributes)


ORDER = np.random.default_rng(5).permutation(GENES)
OLD = [f"GENE{number:02}" for number in range(GENES)]
FOREIGN = [f"Mus{number}" for number in range(GENES)]
CASES = {
    "another order": Genes([OLD[row] for row in ORDER], ORDER),
    "other names": Genes(FOREIGN, np.arange(GENES)),
    "other names and order": Genes([FOREIGN[row] for row in ORDER], ORDER),
    "genes that nobody knows": Genes([*OLD, "x", "y"], np.append(np.arange(GENES), [-1, -1]), 2),
}
# Without validation, the head is mixed in at the usual share.
QUICK = ["--warm-start-epochs", 3, "--gene-offsets", 0.5, "--validation", 0]
READERS = {
    "pooled": ["--method", "pooled", *QUICK],
    "screader": ["--method", "screader", "--epochs", 1, "--precision", "float32", *QUICK, "-k", 12],
    "without gene scores": ["--method", "pooled", "--no-gene-scores", *QUICK],
}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory, cells: Path, llama: Path) -> Path:
    folder = tmp_path_factory.mktemp("readers")
    for name, words in READERS.items():
        llm = ["--llm", llama] if name == "screader" else []
        succeed("train-reader", cells, *words, *llm, "-o", folder / f"{name}.h5")
        succeed("predict", cells, "-r", folder / f"{name}.h5", "-o", folder / f"{name}.h5ad")
    return folder


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", READERS)
def test_the_same_cells_are_called_the_same(
    tmp_path: Path, cells: Path, readers: Path, name: str, case: str
) -> None:
    others, output = rewritten(cells, tmp_path / "c.h5ad", CASES[case]), tmp_path / "p.h5ad"
    result = succeed("predict", others, "-r", readers / f"{name}.h5", "-o", output)
    by_name = 0 if "other names" in case else GENES
    told = f"of {len(CASES[case].ids)} genes, the reader knows {by_name} by name and "
    assert f"{told}{GENES - by_name} by text" in " ".join(result.stderr.split())
    with h5py.File(readers / f"{name}.h5ad") as one, h5py.File(output) as other:
        wanted, found = one["obsm/probability"][()], other["obsm/probability"][()]
        evidence = [np.asarray(file["obs/evidence"]) for file in (one, other)]
    assert found == pytest.approx(wanted, abs=2e-3)
    assert (found.argmax(1) == wanted.argmax(1)).all()
    assert evidence[1] == pytest.approx(evidence[0], rel=5e-3, abs=5e-3)
    if case in ("another order", "genes that nobody knows"):
        assert found == pytest.approx(wanted, abs=1e-5)


def test_genes_are_read_as_far_as_they_are_known(
    tmp_path: Path, cells: Path, readers: Path
) -> None:
    """Of two new genes before each cell's own, one is like a learnt gene, the other like none."""
    others = rewritten(cells, tmp_path / "c.h5ad", CASES["genes that nobody knows"])
    with h5py.File(others, "a") as file:
        embedding = file["varm/embedding"]
        embedding[GENES] = embedding[7] + 0.15 * embedding[GENES]
    with (
        open_exchange(cells, "cells") as before,
        open_exchange(others, "cells") as opened,
        open_exchange(readers / "screader.h5", "reader") as reader,
    ):
        trained = methods.restore(read_reader(reader))
        assert isinstance(trained, NeuralReader)
        rows = np.arange(10)
        own, sequences = trained.read(CellSequences(before), rows), CellSequences(opened)
        found = trained.read(sequences, rows)
        known = float(trained.match(sequences).known[GENES])
    assert 0.1 < known < 0.95
    width = own.genes.shape[1]
    assert (found.genes[:, 0] == GENES).all() and (found.genes[:, 1 : width + 1] == own.genes).all()
    assert not (found.genes == GENES + 1).any() and (found.genes[:, width + 1 :] == -1).all()
    assert found.weights[:, 0].numpy() == pytest.approx(np.full(10, 3 * known))
    assert (found.weights[:, 1 : width + 1] == own.weights).all()


@pytest.mark.parametrize(("count", "head"), [(GENES - 4, True), (GENES - 5, False)])
def test_the_head_is_asked_where_nearly_all_learnt_genes_are_met(
    tmp_path: Path, cells: Path, readers: Path, count: int, head: bool
) -> None:
    """It reads means over genes, so it needs those that it has learnt from."""
    some = rewritten(cells, tmp_path / "c.h5ad", Genes(OLD[-count:], np.arange(GENES)[-count:]))
    with (
        open_exchange(some, "cells") as opened,
        open_exchange(readers / "pooled.h5", "reader") as reader,
    ):
        sequences = CellSequences(opened)
        trained = methods.restore(read_reader(reader))
        assert isinstance(trained, NeuralReader)
        rows = np.arange(0, len(sequences), 3)
        logits, _ = trained.outputs(sequences, rows)
        scores = trained.gene_logits(sequences, rows)
        said = trained.head_logits(sequences, rows) * float(trained.model.mix)
    assert np.abs(said).max() > 0.01
    assert logits == pytest.approx(scores + said if head else scores, abs=1e-4)


def test_cells_with_no_known_gene_at_all_are_refused(
    tmp_path: Path, cells: Path, readers: Path
) -> None:
    """Their ids are those of before, but not their texts."""
    others = shutil.copy(cells, tmp_path / "c.h5ad")
    with h5py.File(others, "a") as file:
        vectors = np.random.default_rng(8).standard_normal((GENES, DIM))
        file["varm/embedding"][...] = vectors.astype(np.float32)
    line = fail("predict", others, "-r", readers / "pooled.h5", "-o", tmp_path / "p.h5ad")
    assert "knows none of its genes" in line and not (tmp_path / "p.h5ad").exists()
