"""A cell's probabilities follow from that cell alone, whatever is called beside it.

Neither batch, padding, token budget, order nor block may change them; in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

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


@dataclass(frozen=True)
class World:
    """Cells of very different lengths, and the models that methods use."""

    folder: Path
    cells: Path
    llm: Path
    text_model: Path

    @cache  # noqa: B019
    def readers(self, case: str) -> list[TrainedMethod]:
        """The case restored with each token budget, remembering no text's vector."""
        path, (method, options) = self.folder / f"{case}.h5", CASES[case]
        embedder = str(self.text_model) if method == "genept-s" else None
        words = ["--method", method, *options]
        words += ["--llm", self.llm] if method in LLM_METHODS else []
        words += ["--embedder", embedder] if embedder else []
        succeed("train-reader", self.cells, *words, "-o", path)
        with open_exchange(path, "reader") as opened:
            known = read_reader(opened)
        restored = []
        for tokens in BUDGETS if method in ITERATIVE_METHODS else BUDGETS[:1]:
            changed = known.settings.changed({"micro_batch_tokens": tokens})
            trained = methods.restore(replace(known, settings=changed), embedder=embedder)
            if isinstance(trained, GenePTs):
                assert isinstance(trained.text_model.embedder, CachedEmbedder)
                trained.text_model.embedder = trained.text_model.embedder.embedder
            restored.append(trained)
        return restored


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
        text_model = write_llama(folder / "text", seed=3, words=genes())
        yield World(folder, built, write_llama(folder / "llm"), text_model)


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
    """Any cells, in any order, some twice, cut anywhere, at any token budget and block size."""
    readers = world.readers(case)
    whole = probabilities(readers[-1], sequences, np.arange(len(sequences)))
    number = st.integers(0, len(sequences) - 1)
    rows = np.array(data.draw(st.lists(number, min_size=1, max_size=40)))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(rows)), max_size=4)))
    trained = data.draw(st.sampled_from(readers))
    parts = [part for part in np.split(rows, cuts) if len(part)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "ROWS_AT_ONCE", data.draw(st.sampled_from([7, 4096])))
        found = np.concatenate([probabilities(trained, sequences, part) for part in parts])
    assert np.abs(found - whole[rows]).max() < CLOSE
