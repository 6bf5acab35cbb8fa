"""Genes that stand for those of another species: which species, which genes, what medians."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from screader_lib.cells import gene_matcher
from screader_lib.cells.across_species import vocabulary_by_texts
from screader_lib.cells.gene_texts import GeneTexts, common_name, fields_in, species_in
from screader_lib.cells.sequences import Construction
from screader_lib.cells.vocabulary import Embeddings, ReferenceGenes, species_of
from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.table import Table, strings

IDENTITY = {"model": "test", "dim": 4}
HUMAN = [f"GENE{number}" for number in range(20)]
MOUSE = [f"Gene{number}" for number in range(20)]


def embedded(ids: list[str], vectors: np.ndarray | None = None, tax_id: int = 0) -> Embeddings:
    columns = {"source": strings(["ncbi"] * len(ids)), "tax_id": np.full(len(ids), tax_id)}
    vectors = np.eye(len(ids), dtype=np.float32) if vectors is None else vectors
    identity = {**IDENTITY, "species": [tax_id] if tax_id else []}
    return Embeddings("e.h5ad", Table(strings(ids), columns), vectors, identity)


def known(
    ids: list[str], vectors: np.ndarray, medians: list[float], species: tuple[int, ...] = ()
) -> ReferenceGenes:
    values = np.array(medians, np.float32)
    texts = GeneTexts.of({**IDENTITY, "species": species}, ())
    return ReferenceGenes("r.h5", strings(ids), values, Construction(), vectors, texts)


@pytest.mark.parametrize(
    ("ids", "tax_id", "species", "other"),
    [
        (MOUSE, 9606, (9606,), False),
        (HUMAN, 9544, (9606,), True),
        (MOUSE, 10116, (9606, 10090), True),
        (MOUSE, 10090, (9606, 10090), True),
        (HUMAN, 9606, (9606, 10090), False),
        (HUMAN, 0, (9606,), False),
        (MOUSE, 0, (9606,), True),
        (MOUSE, 10090, (), True),
        ([*HUMAN[:1], *MOUSE[1:]], 0, (), True),
        ([*HUMAN[:2], *MOUSE[2:]], 0, (), False),
    ],
)
def test_other_species(ids: list[str], tax_id: int, species: tuple[int, ...], other: bool) -> None:
    reference = known(HUMAN, np.eye(20, dtype=np.float32), [1] * 20, species)
    assert reference.is_other_species(embedded(ids, None, tax_id)) is other


def test_species_of_a_history() -> None:
    def fetched(**parameters: object) -> Record:
        return Record("fetch-descriptions", "0", parameters)

    steps = [fetched(organism="Human"), Record("embed-genes", "0", {"organism": "rat"})]
    assert species_in(steps) == {9606}
    assert species_in([*steps, fetched(organism="mus_musculus")]) == {9606, 10090}
    assert species_in([fetched(organism="12345"), fetched(), fetched(organism=None)]) == {12345}
    assert species_in([]) == frozenset()
    assert fields_in(steps) == "" and fields_in([fetched(fields="symbol")]) == "symbol"
    assert fields_in([fetched(fields="symbol"), fetched(fields="summary")]) == ""


def test_texts_of_files_that_do_not_name_their_fields() -> None:
    """Old files have no fields beside the model: the history tells, unless vectors are imported."""
    steps = [Record("fetch-descriptions", "0", {"fields": "symbol, summary", "organism": "rat"})]
    texts = GeneTexts.of({"model": "m", "provider": "packaged", "dim": 4}, steps)
    assert texts.fields == ("symbol", "summary") and texts.species == {10116}
    imported = GeneTexts.of({"model": "m", "provider": "import", "dim": 4}, steps)
    assert imported.fields == () and not imported.difference(texts, "r.h5")
    told = GeneTexts.of({"model": "m", "dim": 4, "fields": "symbol", "species": [9606]}, steps)
    assert told.fields == ("symbol",) and told.species == {9606}
    assert "fields symbol, those of r.h5 from symbol,summary" in told.difference(texts, "r.h5")


@pytest.mark.parametrize(
    ("provider", "model", "words"),
    [
        ("packaged", "all-MiniLM-L6-v2", "embed-genes -o"),
        ("sentence-transformers", "BAAI/bge", "embed-genes --model BAAI/bge -o"),
        ("openai", "ada", "embed-genes --provider openai --model ada -o"),
        ("hidden-states", "a b layer -2", "--provider hidden-states --model 'a b' --layer -2 -o"),
        ("import", "GenePT", "embed-genes --import FILE --model GenePT -o"),
    ],
)
def test_commands_that_make_the_same_embeddings(provider: str, model: str, words: str) -> None:
    texts = GeneTexts(model, provider, 4, ("symbol", "summary"))
    command = texts.commands("mouse", "my cells.h5ad", "e.h5ad")
    assert command.startswith("fetch-descriptions --genes 'my cells.h5ad' --organism mouse")
    assert " --fields symbol,summary | embed-genes" in command and f"{words} e.h5ad" in command


def test_species_of_most_genes() -> None:
    table = Table(strings("abcd"), {"tax_id": np.array([0, 10090, 9606, 10090], np.int32)})
    assert species_of(table) == 10090
    assert species_of(Table(strings("ab"), {"tax_id": np.zeros(2, np.int32)})) == 0
    assert species_of(Table(strings("ab"))) == 0
    assert (common_name(10090), common_name(9606)) == ("mouse", "human")
    assert "12345" in common_name(12345)


def around(*directions: np.ndarray) -> np.ndarray:
    """Vectors far from the origin, as texts' are: only what differs from the mean tells."""
    return np.stack(directions).astype(np.float32) + np.float32(5)


X, Y, Z = np.eye(3, 6)


def test_medians_are_mixed_by_the_shares() -> None:
    """A gene as near to two genes has the mean of their medians, where both have one."""
    learnt = around(X, -X, Y, Y, Z, -Z, -Y, -Y)
    ids = [f"G{number}" for number in range(8)]
    half = embedded(["x", "y", "z", "nothing"], around(X, Y, Z, np.eye(6)[5]))
    for of_third, expected in ((1, [4, 2, 0]), (0, [4, 3, 0])):
        reference = known(ids, learnt, [4, 7, of_third, 3, 0, 9, 9, 9])
        vocabulary = vocabulary_by_texts(reference, half, np.arange(4), "x.h5ad")
        assert vocabulary.rows.tolist() == [0, 1, 2]
        assert vocabulary.medians == pytest.approx(expected, abs=1e-4)
        assert vocabulary.medians.dtype == np.float32


def test_only_genes_of_the_input_and_with_a_vector_of_their_own() -> None:
    learnt = around(X, -X, Y, -Y)
    table = embedded(["a", "b", "c", "d"], around(X, -X, Y, -Y))
    table.genes.columns["source"] = strings(["ncbi", "ncbi", "none", "llm"])
    human = known(HUMAN[:4], learnt, [1, 2, 3, 4])
    vocabulary = vocabulary_by_texts(human, table, np.array([1, 2, 3]), "x.h5ad")
    assert vocabulary.rows.tolist() == [1, 3]
    assert "2 genes of e.h5ad match 2 of the 4 genes of r.h5 by text" in vocabulary.summary


@pytest.mark.parametrize(
    ("rows", "min_mapped", "message"),
    [
        ([0], 0.5, "only 1 of the 4 genes of r.h5"),
        ([2], 0.0, "only 0 of the 4 genes of r.h5"),
        ([], 0.0, "only 0 of the 4 genes of r.h5"),
    ],
)
def test_refused(rows: list[int], min_mapped: float, message: str) -> None:
    human = known(HUMAN[:4], around(X, -X, Y, -Y), [1, 2, 3, 4])
    mouse = embedded(["a", "b", "c"], around(X, Y, np.eye(6)[5]))
    with pytest.raises(ScReaderError) as caught:
        vocabulary_by_texts(human, mouse, np.array(rows, np.int32), "x.h5ad", min_mapped)
    assert message in str(caught.value) and "--fields" in str(caught.value)
    vocabulary_by_texts(human, mouse, np.array([0], np.int32), "x.h5ad", 0.25)


def test_blocks_bound_the_memory_and_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    learnt = random.standard_normal((2000, 8)).astype(np.float32)
    noise = random.standard_normal((3000, 8)).astype(np.float32)
    others = np.repeat(learnt[:1500], 2, axis=0) + np.float32(0.2) * noise
    genes = gene_matcher.GeneMatcher(strings(range(2000)), learnt)
    whole = genes.match(strings(["?"] * 3000), others)
    monkeypatch.setattr(gene_matcher, "COSINES_AT_ONCE", 2**17)
    tracemalloc.start()
    try:
        parts = genes.match(strings(["?"] * 3000), others)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3000 * 2000 * 4 / 8  # an eighth of all cosines
    assert 1500 < parts.by_text <= 3000
    assert np.array_equal(parts.neighbours, whole.neighbours)
    assert np.allclose(parts.shares, whole.shares, atol=1e-5)


def test_neighbours_are_the_nearest_and_the_first_of_equals() -> None:
    learnt = around(X, Y, Y, -X, -Y, -Y)
    mapping = gene_matcher.GeneMatcher(strings("abcdef"), learnt).match(strings("yx"), around(Y, X))
    assert mapping.neighbours[0, :2].tolist() == [1, 2] and mapping.neighbours[1, 0] == 0
    assert mapping.shares[0, :2] == pytest.approx([0.5, 0.5], abs=1e-4)
    assert mapping.shares[1, 0] == pytest.approx(1, abs=1e-4)
    assert all(sorted(row) == list(range(6)) for row in mapping.neighbours.tolist())
