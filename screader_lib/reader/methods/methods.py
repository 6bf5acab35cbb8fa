"""scReader and its controls behind one interface: train on a task, restore from a file."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import fingerprint
from screader_lib.option_values import (
    CLASSIFIER_METHODS,
    CLASSIFIERS,
    ITERATIVE_METHODS,
    LLM_METHODS,
    METHODS,
)
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods.baselines import (
    LogisticOnComponents,
    LogisticOnExpression,
    Majority,
)
from screader_lib.reader.methods.feature_classifier import FeatureClassifier
from screader_lib.reader.methods.few_labels import LogisticOnPlaces
from screader_lib.reader.methods.genept import GenePTs, GenePTw, load_text_model
from screader_lib.reader.model.linear_reader import LinearReader, is_linear
from screader_lib.reader.reader_file import StoredReader
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Task, TrainedMethod
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from screader_lib.reader.llm.frozen_llm import FrozenLLM

FEATURE_CLASSIFIERS: dict[str, type[FeatureClassifier]] = {
    "genept-w": GenePTw,
    "genept-s": GenePTs,
    "logistic": LogisticOnExpression,
    "components": LogisticOnComponents,
    "few-labels": LogisticOnPlaces,
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
    if method == "majority":
        return Majority.train(task)
    if method not in FEATURE_CLASSIFIERS:
        raise ScReaderError(f"unknown method {method!r}; known are {', '.join(METHODS)}.")
    kind = task.settings.classifier
    if kind not in (CLASSIFIERS if method in CLASSIFIER_METHODS else CLASSIFIERS[:1]):
        raise ScReaderError(f"method {method} has no classifier {kind!r}.")
    labels = len(task.labels.names)
    classifier = FEATURE_CLASSIFIERS[method](task.genes, task.settings, labels)
    if isinstance(classifier, GenePTs):
        identity, file = task.cells.embedding_identity, task.cells.opened.name
        classifier.text_model = load_text_model(
            identity, embedder, task.device, task.reporter, file
        )
    classifier.fit(task)
    return classifier


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
    if stored.method in ITERATIVE_METHODS:
        return _restore_neural(stored, machine, llm_path)
    if stored.method == "majority":
        return Majority(stored.tensors, stored.genes)
    classifier = FEATURE_CLASSIFIERS[stored.method](
        stored.genes, stored.settings, len(stored.labels.names), stored.tensors
    )
    if isinstance(classifier, GenePTs):
        classifier.text_model = load_text_model(
            stored.embedding, embedder, machine.torch_device, reporter
        )
        classifier.text_model.check(stored.tensors["probe"])
    return classifier


def _train_neural(task: Task, checkpoint_file: Path | None, minutes: float) -> TrainedMethod:
    from screader_lib.reader.model.training import train_neural
    from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint

    settings, checkpoint = task.settings, None
    llm = _load_llm(settings, task.machine) if settings.method in LLM_METHODS else None
    if checkpoint_file is not None:
        identity = fingerprint(
            cells=task.cells.opened.sha256,
            fold=task.fold.to_json() if task.fold else {},
            rows=hashlib.sha256(task.rows.tobytes()).hexdigest(),
            validation=hashlib.sha256(task.validation_rows.tobytes()).hexdigest(),
            settings=settings.to_json(),
            llm=llm_identity(settings, task.machine),
            device=task.machine.device,
        )
        checkpoint = TrainingCheckpoint(checkpoint_file, identity, minutes, task.reporter)
    reader = train_neural(task, llm, checkpoint)
    if not is_linear(reader.model.settings, reader.uses_llm):
        return reader
    linear = LinearReader(reader.model.settings, reader.tensors, reader.genes, reader.llm)
    linear.history = reader.history
    return linear


def _restore_neural(stored: StoredReader, machine: Machine, llm_path: str | None) -> TrainedMethod:
    llm, settings, labels = None, stored.settings_of_predictions, len(stored.labels.names)
    if stored.is_linear:
        return LinearReader(settings, stored.tensors, stored.genes, stored.llm)
    from screader_lib.reader.model.neural_reader import NeuralReader

    if stored.needs_llm:
        path = llm_path or settings.llm
        commit = stored.llm.get("revision") if path == settings.llm else None
        llm = _load_llm(replace(settings, llm=path, llm_revision=commit or None), machine)
        actual = llm.identity.to_json()
        for key in ("hidden_size", "layers", "weights"):
            if actual[key] != stored.llm.get(key):
                raise ScReaderError(
                    f"the LLM {actual['name']} is not the one that the reader was trained with "
                    f"({stored.llm.get('name')}): its {key.replace('_', ' ')} differs.",
                    remedy="Give the reader's LLM with --llm.",
                )
    scaling = {name: stored.tensors[f"scaling.{name}"] for name in ("center", "map")}
    device, hidden = machine.torch_device, len(stored.tensors["cls"])
    reader = NeuralReader(
        settings, scaling, stored.genes, labels, llm, device, stored.poolings or None, hidden
    )
    reader.load(stored.tensors)
    return reader


def llm_identity(settings: TrainingSettings, machine: Machine) -> dict[str, Any]:
    """Which LLM the settings mean, by its weights; empty for methods without one."""
    if settings.method not in LLM_METHODS:
        return {}
    return _load_llm(settings, machine).identity.to_json()


@lru_cache(maxsize=1)
def _load_llm(settings: TrainingSettings, machine: Machine) -> FrozenLLM:
    """Loaded once for all folds: it never changes."""
    from screader_lib.reader.llm import decoder
    from screader_lib.reader.llm.frozen_llm import load_llm

    shared = machine.device == "spread" and machine.processes.count > 1
    llm = load_llm(
        settings.llm,
        layers=settings.llm_layers,
        instruction=settings.instruction,
        random_seed=settings.seed if settings.method == "screader-random" else None,
        precision=settings.precision,
        quantize=settings.quantize,
        revision=settings.llm_revision,
        device="cpu" if shared else machine.device,
    )
    if shared:
        decoder.shard_layers(llm.model, machine.processes)
        llm.shards = machine.processes.count
    if machine.compiled and decoder.is_supported(llm.model):
        decoder.compile_layers(llm.model)
    return llm
