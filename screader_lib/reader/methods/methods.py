"""scReader and its controls behind one interface: train on a task, restore from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.errors import ScReaderError
from screader_lib.option_values import CLASSIFIERS, ITERATIVE_METHODS, LLM_METHODS
from screader_lib.reader.confidence.familiarity import CalibrationSet
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Labels, Task, TrainedMethod
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from screader_lib.reader.llm.frozen_llm import FrozenLLM
    from screader_lib.reader.methods.text_model import TextModel
    from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint

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


@dataclass
class StoredReader:
    """A reader read back from its file.

    ``fold`` and ``held_out``, object (cells,), tell which cells were held out, and why.
    """

    method: str
    settings: TrainingSettings
    labels: Labels
    gene_ids: np.ndarray
    gene_embedding: np.ndarray
    tensors: dict[str, np.ndarray]
    llm: dict
    embedding: dict
    temperature: float
    construction: dict
    kept: CalibrationSet
    fold: dict = field(default_factory=dict)
    held_out: np.ndarray | None = None


def train(
    task: Task,
    checkpoint_file: Path | None = None,
    minutes: float = 5.0,
    embedder: str | None = None,
) -> TrainedMethod:
    """Train the method that the task's settings name.

    Methods that train for long keep their state in ``checkpoint_file`` every ``minutes``, take
    up what they find there; the caller removes it when the reader is written. ``embedder`` says
    where the text model of genept-s is.
    """
    from screader_lib.reader.methods.controls import (
        GenePTs,
        GenePTw,
        LogisticOnExpression,
        Majority,
    )

    method = task.settings.method
    if method in ITERATIVE_METHODS:
        from screader_lib.reader.model.training import train_neural

        llm = _llm(task.settings, task.machine) if method in LLM_METHODS else None
        return train_neural(task, llm, _checkpoint(task, llm, checkpoint_file, minutes))
    if method == "logistic" and task.cells.construction.get("weight") != "log":
        raise ScReaderError(
            "its weights are not log-normalised, which method logistic reads.",
            file=task.cells.opened.name,
            remedy="Build the cells with --weight log.",
        )
    if method == "majority":
        return Majority.train(task)
    if method == "genept-s":
        return GenePTs.train(task, _text_model(task, embedder))
    return GenePTw.train(task) if method == "genept-w" else LogisticOnExpression.train(task)


def _text_model(task: Task, embedder: str | None) -> TextModel:
    from screader_lib.reader.methods.text_model import text_model

    return text_model(
        task.cells.embedding_identity,
        embedder,
        device=task.device,
        reporter=task.reporter,
        file=task.cells.opened.name,
    )


def llm_identity(settings: TrainingSettings, machine: Machine) -> dict[str, Any]:
    """Which LLM the settings mean, by its weights; empty for methods without one."""
    return _llm(settings, machine).identity.to_json() if settings.method in LLM_METHODS else {}


def _llm(settings: TrainingSettings, machine: Machine) -> FrozenLLM:
    seed = settings.seed if settings.method == "screader-random" else None
    return _loaded(
        settings.llm, settings.llm_layers, settings.instruction, seed, settings.precision,
        settings.quantize, settings.llm_revision, machine,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _loaded(
    name: str,
    layers: int | None,
    instruction: str,
    random_seed: int | None,
    precision: str,
    quantize: str,
    revision: str | None,
    machine: Machine,
) -> FrozenLLM:
    """Loaded once for all folds: it is never changed."""
    from screader_lib.reader.llm.frozen_llm import load_llm

    shared = machine.device == "spread" and machine.processes is not None
    llm = load_llm(
        name, layers=layers, instruction=instruction, random_seed=random_seed,
        precision=precision, quantize=quantize, revision=revision,
        device="cpu" if shared else machine.device,
    )  # fmt: skip
    if shared:
        from screader_lib.reader.llm.processes import shard

        assert machine.processes is not None
        shard(llm.model, machine.processes)
        llm.pieces = machine.processes.count
    if machine.compiled:
        from screader_lib.reader.llm.decoder import compile_layers, is_known

        if is_known(llm.model):
            compile_layers(llm.model)
    return llm


def _checkpoint(
    task: Task, llm: FrozenLLM | None, file: Path | None, minutes: float
) -> TrainingCheckpoint | None:
    from screader_lib.reader.identity import fingerprint
    from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint

    if file is None:
        return None
    identity = fingerprint(
        cells=task.cells.opened.sha256,
        fold=task.fold.to_json() if task.fold else {},
        settings=task.settings.to_json(),
        llm=llm.identity.to_json() if llm else {},
        device=task.machine.device,
    )
    return TrainingCheckpoint(file, identity, minutes, task.reporter)


def restore(
    restored: StoredReader,
    machine: Machine = ON_CPU,
    llm_place: str | None = None,
    embedder: str | None = None,
    reporter: Reporter = SILENT,
) -> TrainedMethod:
    """Make a trained method from its file; ``llm_place`` says where the LLM is now.

    ``embedder`` says where the text model of genept-s is. ScReaderError where either is not the
    one that the reader was trained with.
    """
    from screader_lib.reader.methods.controls import (
        GenePTs,
        GenePTw,
        LogisticOnExpression,
        Majority,
    )

    _check_tensors(restored)
    if restored.method in ITERATIVE_METHODS:
        from screader_lib.reader.model.neural_reader import NeuralReader

        llm = None
        if restored.method in LLM_METHODS:
            from dataclasses import replace

            settings = restored.settings
            place = llm_place or settings.llm
            commit = restored.llm.get("revision") if place == settings.llm else None
            settings = replace(settings, llm=place, llm_revision=commit or None)
            llm = _llm(settings, machine)
            _check_llm(llm.identity.to_json(), restored.llm)
        return NeuralReader.restore(
            restored.tensors, restored.settings,
            GeneMatcher(restored.gene_ids, restored.gene_embedding),
            len(restored.labels.names), llm, machine.place,
        )  # fmt: skip
    if restored.method == "majority":
        return Majority(restored.tensors)
    parts = restored.tensors, restored.gene_ids, restored.settings, len(restored.labels.names)
    if restored.method == "genept-s":
        from screader_lib.reader.methods.text_model import text_model

        model = text_model(restored.embedding, embedder, device=machine.place, reporter=reporter)
        return GenePTs.restore(*parts, model)
    control = {"genept-w": GenePTw, "logistic": LogisticOnExpression}[restored.method]
    return control(*parts)


def _check_tensors(restored: StoredReader) -> None:
    """ScReaderError where tensors are missing or do not fit the labels, genes and embedding."""
    labels, dim = len(restored.labels.names), restored.embedding.get("dim")
    wanted: dict[str, tuple] = {"scaling.center": (dim,), "scaling.map": (dim, None)}
    if restored.method == "majority":
        wanted = {"log_share": (labels,)}
    elif restored.method not in ITERATIVE_METHODS:
        wanted = _tensors_on_features(restored)
    for name, shape in wanted.items():
        found = restored.tensors[name].shape if name in restored.tensors else ()
        fits = len(found) == len(shape)
        if not fits or any(b not in (a, None) for a, b in zip(found, shape, strict=True)):
            raise ScReaderError(f"the reader is damaged: its tensor {name} does not fit.")


def _tensors_on_features(restored: StoredReader) -> dict[str, tuple]:
    """The tensors of a method on features; ScReaderError where settings or labels are damaged."""
    tensors, settings, labels = restored.tensors, restored.settings, len(restored.labels.names)
    width = restored.embedding.get("dim")
    if restored.method == "logistic":
        width = len(restored.gene_ids)
    elif restored.method == "genept-s" and "probe" in tensors:
        width = tensors["probe"].size
    wanted: dict[str, tuple] = {"mean": (width,), "spread": (width,)}
    if restored.method == "genept-s":
        wanted["probe"] = (width,)
    if settings.classifier not in CLASSIFIERS:
        raise ScReaderError(f"the reader is damaged: its classifier is {settings.classifier!r}.")
    if settings.classifier == "logistic":
        return wanted | {"weights": (width, labels), "biases": (labels,)}
    known = tensors.get("neighbours.labels", np.zeros(0))
    sound = known.size and known.min() >= 0 and known.max() < labels
    if not sound or not isinstance(settings.neighbours, int) or settings.neighbours < 1:
        raise ScReaderError("the reader is damaged: its neighbours.labels name no labels.")
    return wanted | {"neighbours.vectors": (known.size, width), "neighbours.labels": (known.size,)}


def _check_llm(found: dict, wanted: dict) -> None:
    for key in ("hidden_size", "layers", "weights"):
        if found[key] != wanted.get(key):
            raise ScReaderError(
                f"the LLM {found['name']} is not the one that the reader was trained with "
                f"({wanted.get('name')}): its {key.replace('_', ' ')} differs.",
                remedy="Give that one with --llm.",
            )
