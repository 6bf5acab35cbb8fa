"""scReader and its controls behind one interface: train on a task, restore from a file."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
    _check_tensors(stored)
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
            settings=settings.to_json(),
            llm=llm_identity(settings, task.machine),
            device=task.machine.device,
        )
        checkpoint = TrainingCheckpoint(checkpoint_file, identity, minutes, task.reporter)
    reader = train_neural(task, llm, checkpoint)
    if not is_linear(reader.model.settings, reader.uses_llm):
        return reader
    labels, history = len(task.labels.names), reader.history
    linear = LinearReader(reader.model.settings, reader.tensors, reader.genes, labels, reader.llm)
    linear.history = history
    return linear


def _restore_neural(stored: StoredReader, machine: Machine, llm_path: str | None) -> TrainedMethod:
    llm, settings, labels = None, stored.settings_of_predictions, len(stored.labels.names)
    if stored.is_linear:
        return LinearReader(settings, stored.tensors, stored.genes, labels, stored.llm)
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


def _check_tensors(stored: StoredReader) -> None:
    """ScReaderError where tensors are missing or do not fit the labels, genes and embedding."""
    tensors, labels, dim = stored.tensors, len(stored.labels.names), stored.embedding.get("dim")
    shapes: dict[str, tuple] = {
        "scaling.center": (dim,), "scaling.map": (dim, None), "cls": (None,),
    }  # fmt: skip
    if stored.method == "majority":
        shapes = {"log_share": (labels,)}
    elif stored.method not in ITERATIVE_METHODS:
        shapes = _classifier_shapes(stored)
    for name, shape in shapes.items():
        actual = np.shape(tensors.get(name, 0.0))
        sizes = zip(actual, shape, strict=False)
        if len(actual) != len(shape) or any(size not in (own, None) for own, size in sizes):
            raise ScReaderError(f"the reader is damaged: its tensor {name} does not fit.")


def _classifier_shapes(stored: StoredReader) -> dict[str, tuple]:
    """Shapes of a feature classifier's tensors; ScReaderError where its settings are damaged."""
    tensors, settings, labels = stored.tensors, stored.settings, len(stored.labels.names)
    widths = {"logistic": len(stored.genes.ids), "genept-s": np.size(tensors.get("probe", 0.0))}
    width = widths.get(stored.method, stored.embedding.get("dim"))
    shapes: dict[str, tuple] = {"probe": (width,)} if stored.method == "genept-s" else {}
    if stored.method == "components":
        genes, width = len(stored.genes.ids), np.shape(tensors.get("directions", [[]]))[-1]
        shapes = dict.fromkeys(("gene_means", "gene_spreads", "centers"), (genes,))
        shapes["directions"] = (genes, width)
    if stored.method == "few-labels":
        genes, places = len(stored.genes.ids), np.shape(tensors.get("directions", [[]]))[-1]
        cells, width = np.shape(tensors.get("reference", [[]]))[0], 2 * places
        shapes = dict.fromkeys(("gene_means", "gene_spreads"), (genes,))
        shapes |= {"directions": (genes, places), "labelled": (None, places)}
        shapes |= dict.fromkeys(("reference", "reference_means"), (cells, places))
    shapes |= {"mean": (width,), "spread": (width,)}
    if settings.classifier not in CLASSIFIERS:
        raise ScReaderError(f"the reader is damaged: its classifier is {settings.classifier!r}.")
    if settings.classifier == "logistic":
        return shapes | {"weights": (width, labels), "biases": (labels,)}
    own = tensors.get("neighbours.labels", np.zeros(0))
    valid = own.size and own.min() >= 0 and own.max() < labels
    if not valid or not isinstance(settings.neighbours, int) or settings.neighbours < 1:
        raise ScReaderError("the reader is damaged: its neighbours.labels are not label numbers.")
    return shapes | {"neighbours.vectors": (own.size, width), "neighbours.labels": (own.size,)}
