"""GenePT-s: texts of cells, the model that embeds them, its memory; both classifiers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_files import CELLS, ONE_READER, call, fail, succeed, write_cells

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.genes.providers import provider_options
from screader_lib.genes.providers.embedder import Embedder, OnBatch
from screader_lib.genes.providers.openai import OpenAIEmbeddings
from screader_lib.reader.methods.genept import cell_texts
from screader_lib.reporting import Reporter


class WordVectors(Embedder):
    """The mean of a text's first ten words' own vectors; counts the texts that it is sent."""

    provider, model = "packaged", "words"

    def __init__(self, salt: str = "") -> None:
        self.salt = salt
        self.sent: list[str] = []

    def embed(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        self.sent += texts
        vectors = np.stack([self._vector(text) for text in texts])
        if on_batch is not None:
            on_batch(texts, vectors)
        return vectors

    def _vector(self, text: str) -> np.ndarray:
        seeds = [hashlib.sha256((self.salt + word).encode()).digest() for word in text.split()[:10]]
        words = [
            np.random.default_rng(int.from_bytes(seed[:8])).standard_normal(16) for seed in seeds
        ]
        return np.mean(words, axis=0).astype(np.float32)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WordVectors:
    """Stands for every text model; the cache is a folder of the test's own."""
    embedder = WordVectors()
    monkeypatch.setenv("SCREADER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(provider_options, "make_embedder", lambda chosen, reporter: embedder)
    return embedder


def train(folder: Path, cells: Path, *options: object) -> Path:
    reader = folder / "r.h5"
    given = ("--method", "genept-s", "--embedder", "packaged", *ONE_READER, *options)
    succeed("train-reader", cells, *given, "-o", reader)
    return reader


def test_a_cells_text_is_its_symbols_in_its_order(tmp_path: Path) -> None:
    path = write_cells(tmp_path)
    with h5py.File(path, "a") as file:
        symbols = file["var/symbol"].asstr()[()]
        symbols[0] = ""
        file["var/symbol"][...] = [name and name.lower() for name in symbols]
    with open_exchange(path, "cells") as opened:
        cells = CellSequences(opened)
        genes, _ = cells.rows(np.array([4]))
        ids = [cells.genes.index[gene] for gene in genes[0] if gene >= 0]
        wanted = [name if name == cells.genes.index[0] else name.lower() for name in ids]
        assert cell_texts(cells, np.array([4])) == [" ".join(wanted)]


@pytest.mark.parametrize("options", [(), ("--classifier", "knn", "--neighbours", 3)])
def test_trains_and_predicts(
    tmp_path: Path, cells: Path, words: WordVectors, options: tuple
) -> None:
    reader = train(tmp_path, cells, *options)
    held_out = write_cells(tmp_path, "--like", cells, seed=1, name="test.h5ad")
    output = tmp_path / "p.h5ad"
    succeed("predict", held_out, "-r", reader, "--embedder", "packaged", "-o", output)
    succeed("validate", reader, output)
    with h5py.File(output) as file:
        metrics = encoding.read_json(file["uns"], "metrics")
        assert encoding.read_text(file["uns"], "method") == "genept-s" + "-knn" * bool(options)
    assert metrics["accuracy"] > 0.9 and metrics["cells"] == CELLS


def test_a_second_run_embeds_nothing_and_a_cache_is_not_necessary(
    tmp_path: Path, cells: Path, words: WordVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(tmp_path, cells).read_bytes()
    assert len(words.sent) == len(set(words.sent)) > CELLS // 2
    words.sent.clear()
    assert train(tmp_path, cells).read_bytes() == first and not words.sent
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SCREADER_CACHE", str(tmp_path / "file"))
    assert train(tmp_path, cells).read_bytes() == first and words.sent


def test_another_text_model_is_refused(
    tmp_path: Path, cells: Path, words: WordVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = train(tmp_path, cells)
    words.salt = "other"
    monkeypatch.setenv("SCREADER_CACHE", str(tmp_path / "other"))
    options = ("-r", reader, "--embedder", "packaged", "-o", tmp_path / "p.h5ad")
    assert "not the one that the reader was trained with" in fail("predict", cells, *options)
    assert not (tmp_path / "p.h5ad").exists()


@pytest.mark.parametrize(
    ("provider", "model", "message"),
    [
        ("import", "ada", "--embedder"),
        ("openai", "a", "OPENAI_API_KEY"),
        ("sentence-transformers", "nobody/nothing", "nobody/nothing"),
    ],
)
def test_a_model_that_is_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, model: str, message: str
) -> None:
    monkeypatch.setenv("SCREADER_CACHE", str(tmp_path / "cache"))
    path = write_cells(tmp_path)
    with h5py.File(path, "a") as file:
        del file["uns/embedding"]
        identity = {"provider": provider, "model": model, "dim": 24, "sha256": ""}
        encoding.write_json(file["uns"], "embedding", identity)
    line = fail("train-reader", path, "--method", "genept-s", "-o", tmp_path / "r.h5")
    assert message in line and path.name in line
    assert not (tmp_path / "r.h5").exists()


class Paid(OpenAIEmbeddings):
    """A model of OpenAI's that answers without being asked."""

    def embed(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        return WordVectors().embed(texts, reporter, on_batch)


def test_a_server_is_asked_where_a_url_is_given_and_the_price_comes_first(
    tmp_path: Path, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[provider_options.ProviderOptions] = []

    def make(options: provider_options.ProviderOptions, reporter: Reporter) -> Embedder:
        asked.append(options)
        return Paid("text-embedding-ada-002")

    monkeypatch.setenv("SCREADER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(provider_options, "make_embedder", make)
    words = ("--method", "genept-s", "--embedder", "http://localhost:1/v1", "--validation", 0)
    first, second = (
        succeed("train-reader", cells, *words, "-o", tmp_path / "r.h5").stderr for _ in range(2)
    )
    assert (asked[0].provider, asked[0].model) == ("openai", "test")
    assert asked[0].base_url == "http://localhost:1/v1"
    [price] = [line for line in first.splitlines() if "to embed" in line]
    assert f" {CELLS} cells to embed: about " in price and "$0.0" in price
    assert " 0 cells to embed: about 0 tokens" in second


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "pooled", "--classifier", "knn"],
        ["--method", "genept-w", "--neighbours", "3"],
        ["--method", "genept-w", "--embedder", "packaged"],
    ],
    ids=["classifier of a network", "neighbours of logistic", "embedder of means"],
)
def test_options_of_other_methods_are_wrong_usage(
    tmp_path: Path, cells: Path, options: list[str]
) -> None:
    assert call("train-reader", cells, *options, "-o", tmp_path / "r.h5").exit_code == 2
