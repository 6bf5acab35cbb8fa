"""A reader read back from its file: the same outputs, and refusal of what does not fit."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_files import fail, succeed, write_cells

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance, Record
from screader_lib.exchange.writing import create
from screader_lib.option_values import LLM_METHODS, METHODS
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.methods import methods
from screader_lib.reader.reader_file import read_reader, write_reader
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import make_task

QUICK = {"warm_start_epochs": 2, "precision": "float32", "batch_size": 32, "projector_layers": 2}
ONCE = {**QUICK, "epochs": 1}
CASES = {
    **{name: (name, ONCE if name in LLM_METHODS else {}) for name in METHODS if name != "genept-s"},
    "genept": ("genept", QUICK),
    "neighbours": ("genept-w", {"classifier": "knn"}),
    "warm start alone": ("screader", {**QUICK, "epochs": 0, "init": "paper"}),
    "ranks": ("screader", {**ONCE, "position": "rank", "weight_on": "embedding"}),
    "cell first": ("screader", {**ONCE, "order": "cell-instruction-cls", "pooling": ("cls",)}),
    "mean without LLM": ("pooled", {**ONCE, "pooling": ("mean", "pool")}),
}


@pytest.mark.parametrize(("method", "given"), CASES.values(), ids=CASES)
def test_the_restored_reader_gives_the_same_outputs(
    tmp_path: Path, cells: Path, llama: Path, method: str, given: dict
) -> None:
    with open_exchange(cells, "cells") as opened:
        sequences = CellSequences(opened)
        task = make_task(sequences, settings_for(method, "default", {**given, "llm": str(llama)}))
        trained = methods.train(task)
        rows = np.arange(0, len(sequences), 4)
        logits, vectors = trained.outputs(sequences, rows)
        with create("reader", tmp_path / "r.h5", Provenance(Record("test", "0"))) as file:
            write_reader(file, task, trained, evaluate(trained, task))
        with open_exchange(tmp_path / "r.h5", "reader") as reader:
            restored = methods.restore(read_reader(reader))
        again, vectors_again = restored.outputs(sequences, rows)
    assert np.array_equal(again, logits) and np.array_equal(vectors_again, vectors)


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


def changed(name: str, change: Callable[[Any], Any] | None = None) -> Callable[[h5py.File], None]:
    """Replaces an element by what ``change`` makes of it, or removes it."""

    def edit(file: h5py.File) -> None:
        values, attributes = file[name][()], dict(file[name].attrs)
        del file[name]
        if change is not None:
            file[name] = change(values)
            file[name].attrs.update(attributes)

    return edit


def cut(name: str) -> Callable[[h5py.File], None]:
    return changed(name, lambda values: values[..., :-1])


def text(name: str, value: str) -> Callable[[h5py.File], None]:
    return changed(name, lambda _: value)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory, cells: Path) -> Callable[[str], Path]:
    """Gives the reader of a method and its options, trained once."""
    folder = tmp_path_factory.mktemp("readers")

    @cache
    def reader(method: str) -> Path:
        path = folder / f"{method}.h5"
        succeed("train-reader", cells, "--method", *method.split(), "-o", path)
        return path

    return reader


KNN = "genept-w --classifier knn"
LABELS = "tensors/neighbours.labels"
GUESS = changed("configuration", lambda given: json.dumps({**json.loads(given), **NO_CLASSIFIER}))
NO_CLASSIFIER = {"classifier": "guess"}


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        pytest.param("majority", changed("tensors/log_share"), "log_share", id="no tensor"),
        pytest.param("majority", cut("tensors/log_share"), "log_share", id="too few labels"),
        pytest.param("logistic", cut("tensors/weights"), "weights", id="weights of too few labels"),
        pytest.param("genept-w", cut("tensors/mean"), "mean", id="means of too few dimensions"),
        pytest.param(
            KNN, changed(LABELS, lambda values: values + 7), "neighbours.labels", id="no label"
        ),
        pytest.param(
            KNN, changed("tensors/neighbours.vectors"), "neighbours.vectors", id="no neighbours"
        ),
        pytest.param(KNN, GUESS, "'guess'", id="unknown classifier"),
        pytest.param("pooled", changed("tensors/scaling.map"), "scaling.map", id="no scaling"),
        pytest.param("pooled", cut("tensors/head.weight"), "do not fit", id="head too narrow"),
        pytest.param("pooled", changed("tensors/head.weight"), "do not fit", id="no head"),
        pytest.param("majority", text("method", "guess"), "'guess'", id="unknown method"),
        pytest.param("majority", text("configuration", "{}"), "configuration", id="no settings"),
        pytest.param("majority", text("calibration", '{"temperature": 0}'), "positive", id="cold"),
    ],
)
def test_damaged(
    tmp_path: Path,
    cells: Path,
    readers: Callable[[str], Path],
    method: str,
    change: Callable[[h5py.File], None],
    message: str,
) -> None:
    reader = shutil.copy(readers(method), tmp_path / "r.h5")
    with h5py.File(reader, "a") as file:
        change(file)
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
