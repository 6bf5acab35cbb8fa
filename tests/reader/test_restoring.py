"""A reader read back from its file: the same outputs, whatever the batches, and what does not fit.

A cell's probabilities follow from that cell alone: neither batch, padding, token budget, order nor
block may change them; in float32.
"""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import (
    ONE_READER,
    counts,
    expression,
    fail,
    genes,
    succeed,
    write_cells,
    write_embeddings,
    write_llama,
)

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance, Record
from screader_lib.exchange.writing import create
from screader_lib.genes.providers.embedder import CachedEmbedder
from screader_lib.option_values import ITERATIVE_METHODS, LLM_METHODS, METHODS
from screader_lib.reader import task as task_module
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.methods import methods
from screader_lib.reader.methods.genept import GenePTs
from screader_lib.reader.model import training
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint
from screader_lib.reader.reader_file import StoredReader, read_reader, write_reader
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import TrainedMethod, make_task

CLOSE = 1e-5
BUDGETS = (1, 70, 100_000)  # tokens at once
QUICK = {"warm_start_epochs": 2, "precision": "float32", "batch_size": 32}
ONCE = {**QUICK, "epochs": 1, "validation": 0.0}  # so that the LLM has weight
PAPER = {"position": "rank", "weight_on": "embedding", "order": "cell-instruction-cls"}
CASES: dict[str, tuple[str, dict]] = {
    **{name: (name, ONCE if name in LLM_METHODS else {}) for name in METHODS},
    "LLM without weight": ("screader", {**ONCE, "validation": 0.1, "learning_rate": 1e-9}),
    "warm start alone": ("screader", {**QUICK, "epochs": 0, "init": "paper"}),
    "screader as in the paper": (
        "screader", {**ONCE, **PAPER, "pooling": ("cls",), "projector_layers": 2},
    ),
    "screader mean": ("screader", {**ONCE, "pooling": ("mean",), "genes_per_cell": 9}),
    "pooled mean": ("pooled", {**ONCE, "pooling": ("mean", "pool")}),
    "genept-w neighbours": ("genept-w", {"classifier": "knn", "neighbours": 7}),
    "genept-s neighbours": ("genept-s", {"classifier": "knn", "neighbours": 7}),
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Cells of very different lengths, and the models that methods use."""

    folder: Path
    cells: CellSequences
    llm: Path
    text_model: Path

    @cache  # noqa: B019
    def trained(self, case: str) -> tuple[TrainedMethod, StoredReader]:
        """The case as trained, and what its file holds."""
        path, (method, given) = self.folder / f"{case}.h5", CASES[case]
        chosen = settings_for(method, "default", {**given, "llm": str(self.llm)})
        task = make_task(self.cells, chosen)
        mixes = (0.0,) if case == "LLM without weight" else training.MIXES
        with mock.patch.object(training, "MIXES", mixes):
            trained = methods.train(task, embedder=str(self.text_model))
        with create("reader", path, Provenance(Record("test", "0"))) as file:
            write_reader(file, task, trained, evaluate(trained, task))
        with open_exchange(path, "reader") as opened:
            return trained, read_reader(opened)

    @cache  # noqa: B019
    def restored(self, case: str) -> list[TrainedMethod]:
        """The case restored with each token budget, remembering no text's vector."""
        _, stored = self.trained(case)
        restored = []
        for tokens in BUDGETS if stored.method in ITERATIVE_METHODS else BUDGETS[:1]:
            changed = stored.settings.changed({"micro_batch_tokens": tokens})
            reader = methods.restore(
                replace(stored, settings=changed), embedder=str(self.text_model)
            )
            if isinstance(reader, GenePTs):
                assert isinstance(reader.text_model.embedder, CachedEmbedder)
                reader.text_model.embedder = reader.text_model.embedder.embedder
            restored.append(reader)
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
        with open_exchange(built, "cells") as opened:
            yield World(folder, CellSequences(opened), write_llama(folder / "llm"), text_model)


@pytest.mark.parametrize("case", CASES)
def test_the_restored_reader_gives_the_same_outputs(world: World, case: str) -> None:
    trained, stored = world.trained(case)
    restored = methods.restore(stored, embedder=str(world.text_model))
    rows = np.arange(0, len(world.cells), 4)
    logits, vectors = trained.outputs(world.cells, rows)
    again, vectors_again = restored.outputs(world.cells, rows)
    assert np.array_equal(again, logits) and np.array_equal(vectors_again, vectors)
    has_weight = stored.method in LLM_METHODS and case not in (
        "LLM without weight",
        "warm start alone",
    )
    assert stored.needs_llm == has_weight


def test_a_file_that_does_not_say_what_the_head_reads(world: World) -> None:
    """As of early versions, which stored the weights of all poolings."""
    path, (method, given) = world.folder / "early.h5", CASES["LLM without weight"]
    task = make_task(world.cells, settings_for(method, "default", {**given, "llm": str(world.llm)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NeuralReader, "keep_pool_alone", lambda reader: None)
        trained = methods.train(task)
    del trained.llm["needed"]
    with create("reader", path, Provenance(Record("test", "0"))) as file:
        write_reader(file, task, trained, evaluate(trained, task))
        del file["poolings"]
    with open_exchange(path, "reader") as opened:
        restored = methods.restore(read_reader(opened))
    expected, actual = (each.outputs(world.cells, np.arange(9)) for each in (trained, restored))
    assert all(map(np.array_equal, actual, expected)) and actual[1].shape == (9, 3 * 32)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_batches(world: World, case: str, data: st.DataObject) -> None:
    """Any cells, in any order, some twice, cut anywhere, at any token budget and block size."""

    def probabilities(reader: TrainedMethod, rows: np.ndarray) -> np.ndarray:
        return softmax(reader.outputs(world.cells, rows)[0])

    readers = world.restored(case)
    whole = probabilities(readers[-1], np.arange(len(world.cells)))
    number = st.integers(0, len(world.cells) - 1)
    rows = np.array(data.draw(st.lists(number, min_size=1, max_size=40)))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(rows)), max_size=4)))
    reader = data.draw(st.sampled_from(readers))
    parts = [part for part in np.split(rows, cuts) if len(part)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_module, "ROWS_AT_ONCE", data.draw(st.sampled_from([7, 4096])))
        found = np.concatenate([probabilities(reader, part) for part in parts])
    assert np.abs(found - whole[rows]).max() < CLOSE


def test_other_cells_are_read_with_their_own_embedding(
    tmp_path: Path, cells: Path, readers: Callable[[str], Path]
) -> None:
    fewer = write_cells(tmp_path, "--variable-genes", "12", name="fewer.h5ad")

    def outputs(trained: methods.TrainedMethod, path: Path) -> np.ndarray:
        with open_exchange(path, "cells") as opened:
            return trained.outputs(CellSequences(opened), np.arange(20))[0]

    with open_exchange(readers("pooled"), "reader") as opened:
        known = read_reader(opened)
    wanted = [outputs(methods.restore(known), path) for path in (cells, fewer)]
    one_for_both = methods.restore(known)
    for _ in range(2):
        for path, values in zip((cells, fewer), wanted, strict=True):
            assert np.array_equal(outputs(one_for_both, path), values)
            gc.collect()


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory, cells: Path) -> Callable[[str], Path]:
    """Gives the reader of a method and its options, trained once."""
    folder = tmp_path_factory.mktemp("readers")

    @cache
    def reader(method: str) -> Path:
        path = folder / f"{method}.h5"
        succeed("train-reader", cells, "--method", *method.split(), *ONE_READER, "-o", path)
        return path

    return reader


@pytest.mark.parametrize(
    ("element", "value", "message"),
    [("method", "guess", "'guess'"), ("configuration", "{}", "is damaged")],
)
def test_a_reader_of_an_unknown_kind_is_refused(
    tmp_path: Path,
    cells: Path,
    readers: Callable[[str], Path],
    element: str,
    value: str,
    message: str,
) -> None:
    reader = shutil.copy(readers("majority"), tmp_path / "r.h5")
    with h5py.File(reader, "a") as file:
        file[element][()] = value
    line = fail("predict", cells, "-r", reader, "-o", tmp_path / "p.h5ad")
    assert message in line and "unexpected" not in line
    assert not (tmp_path / "p.h5ad").exists()


@pytest.mark.parametrize("words", ["--weight rank", "--rank-by expression"])
def test_cells_built_in_another_way_are_refused(
    tmp_path: Path, readers: Callable[[str], Path], words: str
) -> None:
    others = write_cells(tmp_path, *words.split())
    line = fail("predict", others, "-r", readers("majority"), "-o", tmp_path / "p.h5ad")
    assert words.split(maxsplit=1)[0] in line and "--like" in line


def test_a_reader_holds_nothing_of_the_llm(tmp_path: Path, cells: Path, llama: Path) -> None:
    from safetensors.numpy import load_file

    reader = tmp_path / "r.h5"
    words = ["--llm", shutil.copytree(llama, tmp_path / "llm"), "--precision", "float32"]
    succeed("train-reader", cells, *words, "--warm-start-epochs", 1, "--epochs", 1, "-o", reader)
    content = reader.read_bytes()
    frozen = load_file(llama / "model.safetensors")
    assert frozen and all(values.tobytes()[:64] not in content for values in frozen.values())
    with h5py.File(reader) as file:
        sizes = {name: dataset.shape for name, dataset in file["tensors"].items()}
    assert sizes["projector.layers.0.weight"][0] == 32 and len(sizes) < 20


@pytest.mark.parametrize("method", ["pooled", "logistic", "components", "genept-w"])
def test_predictions_without_an_llm_import_no_torch(
    tmp_path: Path, cells: Path, readers: Callable[[str], Path], method: str
) -> None:
    """Its import takes longer than the rest."""
    words = ["predict", str(cells), "-r", str(readers(method)), "--explain", "3"]
    if method == "components":
        words = words[:-2]
    code = (
        "import sys; from screader_tools.predict import main; "
        "main(sys.argv[1:], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, *words[1:], "-o", str(tmp_path / "p.h5ad")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_checkpoint_is_of_the_cells_that_are_trained_on(
    sequences: CellSequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other validation cells, such as those of --calibrate-on, are another training."""

    class Caught(Exception):
        """Stands for the training."""

    def caught(_: object, llm: object, checkpoint: TrainingCheckpoint) -> None:
        raise Caught(checkpoint.fingerprint)

    monkeypatch.setattr(training, "train_neural", caught)
    task, found = make_task(sequences, settings_for("pooled", "default", {})), []
    swapped = replace(task, rows=task.validation_rows, validation_rows=task.rows)
    for one in (task, replace(task, rows=task.rows.copy()), swapped):
        with pytest.raises(Caught) as told:
            methods.train(one, tmp_path / "state")
        found.append(str(told.value))
    assert found[0] == found[1] != found[2]
