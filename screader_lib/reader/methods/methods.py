"""scReader and its controls behind one interface: train on a task, restore from a file."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import fingerprint
from screader_lib.option_values import CLASSIFIERS, ITERATIVE_METHODS, LLM_METHODS
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods.expression import LogisticOnExpression
from screader_lib.reader.methods.genept import GenePTs, GenePTw, load_text_model
from screader_lib.reader.methods.majority import Majority
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Task, TrainedMethod
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from screader_lib.reader.llm.frozen_llm import FrozenLLM
    from screader_lib.reader.model.neural_reader import NeuralReader

TITLES = {
    "screader": "scReader",
    "screader-random": "same reader, LLM randomly initialised",
    "pooled": "same reader without the LLM",
    "genept": "GenePT as in the paper",
    "genept-w": "GenePT-w with logistic regression",
    "genept-s": "GenePT-s with logistic regression",
    "logistic": "logistic regression on log counts",
    "majority": "majority",
}


def train(
    task: Task,
    checkpoint_file: Path | None = None,
    minutes: float = 5.0,
    embedder: str | None = None,
) -> TrainedMethod:
    """Train the method that the task's settings name.

    Methods that train for long save their state to ``checkpoint_file`` every ``minutes``, and
    resume from it; the caller removes it when the reader is written. ``embedder`` says where the
    text model of genept-s is. ScReaderError where the cells do not suit the method.
    """
    method = task.settings.method
    if method in ITERATIVE_METHODS:
        return _train_neural(task, checkpoint_file, minutes)
    if method == "genept-s":
        return GenePTs.train(task, embedder)
    if method == "majority":
        return Majority.train(task)
    return GenePTw.train(task) if method == "genept-w" else LogisticOnExpression.train(task)


def restore(
    stored: StoredReader,
    machine: Machine = ON_CPU,
    llm_path: str | None = None,
    embedder: str | None = None,
    reporter: Reporter = SILENT,
) -> TrainedMethod:
    """Make a trained method from its file; ``llm_path`` says where the LLM is now.

    ``embedder`` says where the text model of genept-s is. ScReaderError where either is not the
    one that the reader was trained with.
    """
    _check_tensors(stored)
    if stored.method in ITERATIVE_METHODS:
        return _restore_neural(stored, machine, llm_path)
    if stored.method == "majority":
        return Majority(stored.tensors)
    kinds: dict[str, type[GenePTs | GenePTw | LogisticOnExpression]]
    kinds = {"genept-s": GenePTs, "genept-w": GenePTw, "logistic": LogisticOnExpression}
    made = kinds[stored.method](
        stored.tensors, stored.gene_ids, stored.settings, len(stored.labels.names)
    )
    if isinstance(made, GenePTs):
        made.text_model = load_text_model(
            stored.embedding, embedder, device=machine.torch_device, reporter=reporter
        )
        made.text_model.check(stored.tensors["probe"])
    return made


def _train_neural(task: Task, checkpoint_file: Path | None, minutes: float) -> NeuralReader:
    from screader_lib.reader.model.training import train_neural
    from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint

    settings, checkpoint = task.settings, None
    llm = _llm(settings, task.machine) if settings.method in LLM_METHODS else None
    if checkpoint_file is not None:
        identity = fingerprint(
            cells=task.cells.opened.sha256,
            fold=task.fold.to_json() if task.fold else {},
            settings=settings.to_json(),
            llm=llm.identity.to_json() if llm else {},
            device=task.machine.device,
        )
        checkpoint = TrainingCheckpoint(checkpoint_file, identity, minutes, task.reporter)
    return train_neural(task, llm, checkpoint)


def _restore_neural(stored: StoredReader, machine: Machine, llm_path: str | None) -> NeuralReader:
    from screader_lib.reader.model.neural_reader import NeuralReader

    llm, settings = None, stored.settings
    if stored.method in LLM_METHODS:
        path = llm_path or settings.llm
        commit = stored.llm.get("revision") if path == settings.llm else None
        llm = _llm(replace(settings, llm=path, llm_revision=commit or None), machine)
        _check_llm(llm.identity.to_json(), stored.llm)
    genes = GeneMatcher(stored.gene_ids, stored.gene_embedding)
    labels = len(stored.labels.names)
    return NeuralReader.restore(stored.tensors, settings, genes, labels, llm, machine.torch_device)


def llm_identity(settings: TrainingSettings, machine: Machine) -> dict[str, Any]:
    """Which LLM the settings mean, by its weights; empty for methods without one."""
    return _llm(settings, machine).identity.to_json() if settings.method in LLM_METHODS else {}


def _llm(settings: TrainingSettings, machine: Machine) -> FrozenLLM:
    seed = settings.seed if settings.method == "screader-random" else None
    return _load_llm(
        settings.llm, settings.llm_layers, settings.instruction, seed, settings.precision,
        settings.quantize, settings.llm_revision, machine,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _load_llm(
    name: str,
    layers: int | None,
    instruction: str,
    random_seed: int | None,
    precision: str,
    quantize: str,
    revision: str | None,
    machine: Machine,
) -> FrozenLLM:
    """Loaded once for all folds: it never changes."""
    from screader_lib.reader.llm.frozen_llm import load_llm

    shared = machine.device == "spread" and machine.processes is not None
    llm = load_llm(
        name, layers=layers, instruction=instruction, random_seed=random_seed,
        precision=precision, quantize=quantize, revision=revision,
        device="cpu" if shared else machine.device,
    )  # fmt: skip
    if shared:
        from screader_lib.reader.llm.decoder import shard_layers

        assert machine.processes is not None
        shard_layers(llm.model, machine.processes)
        llm.shards = machine.processes.count
    if machine.compiled:
        from screader_lib.reader.llm.decoder import compile_layers, is_supported

        if is_supported(llm.model):
            compile_layers(llm.model)
    return llm


def _check_llm(actual: dict, trained_with: dict) -> None:
    for key in ("hidden_size", "layers", "weights"):
        if actual[key] != trained_with.get(key):
            raise ScReaderError(
                f"the LLM {actual['name']} is not the one that the reader was trained with "
                f"({trained_with.get('name')}): its {key.replace('_', ' ')} differs.",
                remedy="Give the reader's LLM with --llm.",
            )


def _check_tensors(stored: StoredReader) -> None:
    """ScReaderError where tensors are missing or do not fit the labels, genes and embedding."""
    labels, dim = len(stored.labels.names), stored.embedding.get("dim")
    shapes: dict[str, tuple] = {"scaling.center": (dim,), "scaling.map": (dim, None)}
    if stored.method == "majority":
        shapes = {"log_share": (labels,)}
    elif stored.method not in ITERATIVE_METHODS:
        shapes = _classifier_shapes(stored)
    for name, shape in shapes.items():
        actual = stored.tensors[name].shape if name in stored.tensors else ()
        fits = len(actual) == len(shape)
        if not fits or any(b not in (a, None) for a, b in zip(actual, shape, strict=True)):
            raise ScReaderError(f"the reader is damaged: its tensor {name} does not fit.")


def _classifier_shapes(stored: StoredReader) -> dict[str, tuple]:
    """Shapes of a feature classifier's tensors; ScReaderError where its settings are damaged."""
    tensors, settings, labels = stored.tensors, stored.settings, len(stored.labels.names)
    width = stored.embedding.get("dim")
    if stored.method == "logistic":
        width = len(stored.gene_ids)
    elif stored.method == "genept-s" and "probe" in tensors:
        width = tensors["probe"].size
    shapes: dict[str, tuple] = {"mean": (width,), "spread": (width,)}
    if stored.method == "genept-s":
        shapes["probe"] = (width,)
    if settings.classifier not in CLASSIFIERS:
        raise ScReaderError(f"the reader is damaged: its classifier is {settings.classifier!r}.")
    if settings.classifier == "logistic":
        return shapes | {"weights": (width, labels), "biases": (labels,)}
    own = tensors.get("neighbours.labels", np.zeros(0))
    valid = own.size and own.min() >= 0 and own.max() < labels
    if not valid or not isinstance(settings.neighbours, int) or settings.neighbours < 1:
        raise ScReaderError("the reader is damaged: its neighbours.labels are not label numbers.")
    return shapes | {"neighbours.vectors": (own.size, width), "neighbours.labels": (own.size,)}
