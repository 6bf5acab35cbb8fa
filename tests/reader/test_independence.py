"""A cell's probabilities follow from that cell alone, whatever is called beside it.

Neither batch, padding, token budget, order, block nor shard may change them; in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import counts, expression, genes, succeed, write_embeddings, write_llama

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.genes.providers.embedder import CachedEmbedder
from screader_lib.option_values import ITERATIVE_METHODS, LLM_METHODS, METHODS
from screader_lib.reader import task
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods import methods
from screader_lib.reader.methods.genept import GenePTs
from screader_lib.reader.reader_file import read_reader
from screader_lib.reader.task import TrainedMethod

CLOSE = 1e-5
BUDGETS = (1, 70, 100_000)  # tokens at once
LLM = ["--precision", "float32", "--warm-start-epochs", 2, "--epochs", 1]
KNN = ["--classifier", "knn", "--neighbours", 7]
PAPER = ["--position", "rank", "--weight-on", "embedding", "--order", "cell-instruction-cls"]
CASES: dict[str, tuple[str, list]] = {
    **{name: (name, LLM if name in LLM_METHODS else []) for name in METHODS},
    "screader as in the paper": ("screader", [*LLM, *PAPER, "--pooling", "cls"]),
    "screader mean": ("screader", [*LLM, "--pooling", "mean", "-k", 9]),
    "genept-w neighbours": ("genept-w", KNN),
    "genept-s neighbours": ("genept-s", KNN),
}


@dataclass
class World:
    """Cells of very different lengths, an LLM, a text model, and what was trained so far."""

    folder: Path
    cells: Path
    llm: Path
    text_model: Path
    trained: dict[str, list[TrainedMethod]]

    def models(self, method: str) -> list[object]:
        """Options for the method's models."""
        if method in LLM_METHODS:
            return ["--llm", self.llm]
        return ["--embedder", self.text_model] if method == "genept-s" else []

    def reader(self, case: str) -> Path:
        """The case's reader, trained once."""
        path = self.folder / f"{case}.h5"
        if not path.exists():
            method, options = CASES[case]
            words = ["--method", method, *options, *self.models(method)]
            succeed("train-reader", self.cells, *words, "-o", path)
        return path

    def readers(self, case: str) -> list[TrainedMethod]:
        """The case restored with each token budget, remembering no text's vector."""
        if case not in self.trained:
            with open_exchange(self.reader(case), "reader") as opened:
                known = read_reader(opened)
            budgets = BUDGETS if known.method in ITERATIVE_METHODS else BUDGETS[:1]
            embedder = str(self.text_model) if known.method == "genept-s" else None
            self.trained[case] = []
            for tokens in budgets:
                changed = known.settings.changed({"micro_batch_tokens": tokens})
                trained = methods.restore(replace(known, settings=changed), embedder=embedder)
                if isinstance(trained, GenePTs):
                    assert isinstance(trained.text_model.embedder, CachedEmbedder)
                    trained.text_model.embedder = trained.text_model.embedder.embedder
                self.trained[case].append(trained)
        return self.trained[case]


def write_text_model(folder: Path) -> Path:
    """A tiny Llama that knows the genes' names as words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    write_llama(folder, seed=3)
    words = {word: number for number, word in enumerate(["?", *genes()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    values, types = counts(seed=5)
    random = np.random.default_rng(0)
    share = random.uniform(0.05, 1, len(values))
    values = values * (random.random(values.shape) < share[:, None])
    values[11] = 0
    expression(values, types).write_h5ad(folder / "x.h5ad")
    embeddings, built = write_embeddings(folder / "e.h5ad"), folder / "cells.h5ad"
    succeed("build-cells", folder / "x.h5ad", "-e", embeddings, "--label", "cell_type", "-o", built)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCREADER_CACHE", str(folder / "cache"))
        text_model = write_text_model(folder / "text")
        yield World(folder, built, write_llama(folder / "llm"), text_model, {})


@pytest.fixture(scope="module")
def sequences(world: World) -> Iterator[CellSequences]:
    with open_exchange(world.cells, "cells") as opened:
        yield CellSequences(opened)


def probabilities(trained: TrainedMethod, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
    return softmax(trained.outputs(cells, rows)[0])


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_batches(world: World, sequences: CellSequences, case: str, data: st.DataObject) -> None:
    """Any cells, in any order, some twice, cut anywhere, at any token budget."""
    readers = world.readers(case)
    whole = probabilities(readers[-1], sequences, np.arange(len(sequences)))
    number = st.integers(0, len(sequences) - 1)
    rows = np.array(data.draw(st.lists(number, min_size=1, max_size=40)))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(rows)), max_size=4)))
    trained = data.draw(st.sampled_from(readers))
    parts = [part for part in np.split(rows, cuts) if len(part)]
    found = np.concatenate([probabilities(trained, sequences, part) for part in parts])
    assert np.abs(found - whole[rows]).max() < CLOSE


@pytest.fixture(scope="module")
def shards(world: World) -> list[Path]:
    """The cells in three files, backwards: short cells apart from long ones, with less padding."""
    paths = []
    with open_exchange(world.cells, "cells") as opened:
        cells = CellSequences(opened)
        names = cells.obs.index[np.argsort(cells.lengths, kind="stable")][::-1].astype(str)
    everything = anndata.read_h5ad(world.folder / "x.h5ad")
    for number, some in enumerate(np.array_split(names, 3)):
        source, shard = world.folder / f"{number}-x.h5ad", world.folder / f"{number}.h5ad"
        everything[some].copy().write_h5ad(source)
        like = ["-e", world.folder / "e.h5ad", "--like", world.cells]
        succeed("build-cells", source, *like, "-o", shard)
        paths.append(shard)
    return paths


@pytest.mark.parametrize("case", CASES)
def test_shards(world: World, sequences: CellSequences, shards: list[Path], case: str) -> None:
    reader = world.readers(case)[-1]
    whole = probabilities(reader, sequences, np.arange(len(sequences)))
    by_name = dict(zip(sequences.obs.index, whole, strict=True))
    widths = set()
    for path in shards:
        with open_exchange(path, "cells") as opened:
            cells = CellSequences(opened)
            found = probabilities(reader, cells, np.arange(len(cells)))
            expected = np.array([by_name.pop(name) for name in cells.obs.index])
            widths.add(int(cells.lengths.max()))
        assert np.abs(found - expected).max() < CLOSE
    assert not by_name and len(widths) == 3


def test_blocks(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """predict writes the same whatever it computes at once."""
    found = []
    for rows in (4096, 7):
        monkeypatch.setattr(task, "ROWS_AT_ONCE", rows)
        output = tmp_path / f"{rows}.h5ad"
        words = ["-r", world.reader("screader"), "--llm", world.llm, "-o", output]
        succeed("predict", world.cells, *words)
        with h5py.File(output) as file:
            found.append(file["obsm/probability"][()])
    assert np.abs(found[0] - found[1]).max() < CLOSE
