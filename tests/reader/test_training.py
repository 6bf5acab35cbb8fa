"""Training: what changes, what stays, and that it repeats itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm
from screader_lib.reader.model import training
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.scaling import scale_tokens
from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint
from screader_lib.reader.settings import TrainingSettings, settings_for
from screader_lib.reader.task import Task, make_task

QUICK = {
    "precision": "float32",
    "warm_start_epochs": 2,
    "epochs": 1,
    "batch_size": 16,
    "genes_per_cell": 12,
    "instruction": "Genes of one cell",
}


@pytest.fixture(scope="module")
def sequences(cells: Path) -> Iterator[CellSequences]:
    with open_exchange(cells, "cells") as opened:
        yield CellSequences(opened)


@pytest.fixture(scope="module")
def llm(llama: Path) -> FrozenLLM:
    return load_llm(str(llama), instruction="Genes of one cell", precision="float32")


def task_of(sequences: CellSequences, **given: object) -> Task:
    return make_task(sequences, settings_for("screader", "default", {**QUICK, **given}))


def fingerprint(tensors: dict[str, np.ndarray]) -> str:
    parts = [hashlib.sha256(tensors[name].tobytes()).hexdigest() for name in sorted(tensors)]
    return " ".join(parts)


def llm_state(llm: FrozenLLM) -> str:
    state = {name: value.numpy() for name, value in llm.model.state_dict().items()}
    return fingerprint(state)


def test_only_projector_cls_and_head_change(sequences: CellSequences, llm: FrozenLLM) -> None:
    before = llm_state(llm)
    reader = training.train_neural(task_of(sequences, gene_offsets=1.0), llm)
    assert llm_state(llm) == before
    torch.manual_seed(0)
    fresh = training.ReaderModel(reader.model.settings, len(reader.vocabulary.ids), 24, 3, llm)
    names = {name for name, _ in reader.model.named_parameters()}
    assert names == {
        "cls", "head.bias", "head.weight", "offsets",
        "projector.layers.0.bias", "projector.layers.0.weight",
    }  # fmt: skip
    for name, value in reader.model.named_parameters():
        assert not torch.equal(value, dict(fresh.named_parameters())[name]), name
    sizes = sum(value.size for value in reader.tensors.values())
    assert sizes < 15_000


def test_same_seed_same_reader(sequences: CellSequences, llm: FrozenLLM) -> None:
    one, same, other = (
        fingerprint(training.train_neural(task_of(sequences, seed=seed), llm).tensors)
        for seed in (0, 0, 1)
    )
    assert one == same != other


@pytest.mark.parametrize("method_settings", [{}, {"pooling": ("cls",), "position": "rank"},
    {"weight_on": "embedding", "projector_layers": 3}, {"order": "cell-instruction-cls"}],
    ids=["default", "cls with ranks", "weighted embeddings", "cell first"])  # fmt: skip
def test_calls_do_not_depend_on_the_batch(
    sequences: CellSequences, llm: FrozenLLM, method_settings: dict
) -> None:
    reader = training.train_neural(task_of(sequences, **method_settings), llm)
    rows = np.arange(len(sequences))
    whole, vectors = reader.outputs(sequences, rows)
    shuffled = np.random.default_rng(0).permutation(rows)
    mixed, _ = reader.outputs(sequences, shuffled)
    assert np.abs(mixed - whole[shuffled]).max() < 1e-4
    for row in (3, 40):
        alone, vector = reader.outputs(sequences, np.array([row]))
        assert np.abs(alone[0] - whole[row]).max() < 1e-4
        assert np.abs(vector[0] - vectors[row]).max() < 1e-4
    budgets = [
        settings_for(
            "screader", "default", {**QUICK, **method_settings, "micro_batch_tokens": most}
        )
        for most in (20, 100_000)
    ]
    for settings in budgets:
        copy = NeuralReader.restore(reader.tensors, settings, reader.vocabulary, 3, llm, "cpu")
        assert np.abs(copy.outputs(sequences, rows)[0] - whole).max() < 1e-4


def untrained(sequences: CellSequences, task: Task, llm: FrozenLLM) -> NeuralReader:
    torch.manual_seed(0)
    vocabulary = GeneMatcher(sequences.genes.index, sequences.embedding)
    scaling = training.fit_scaling(sequences.embedding, "whiten")
    genes, features = len(vocabulary.ids), scaling["map"].shape[1]
    model = training.ReaderModel(task.settings, genes, features, 3, llm)
    return NeuralReader(model, scaling, vocabulary)


def gradients(sequences: CellSequences, llm: FrozenLLM, most: int) -> torch.Tensor:
    task = task_of(sequences, gene_dropout=0.3, dropout=0.3, micro_batch_tokens=most)
    reader = untrained(sequences, task, llm)
    model = reader.model
    torch.nn.init.normal_(model.head.weight)
    trainer = training.Trainer(reader, task)
    trainer.compute_gradients(task.rows[:16], task.settings.pooling, np.random.default_rng(0))
    assert model.cls.grad is not None and model.cls.grad.norm() > 0
    weights = [parameter.grad.flatten() for parameter in model.parameters()]
    return torch.cat(weights)


def test_micro_batches_give_the_gradient_of_the_batch(
    sequences: CellSequences, llm: FrozenLLM
) -> None:
    whole, parts = gradients(sequences, llm, 100_000), gradients(sequences, llm, 40)
    assert torch.allclose(whole, parts, atol=1e-5, rtol=1e-3)


def test_genes_have_the_length_of_the_llms_own_tokens(
    sequences: CellSequences, llm: FrozenLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(sequences, micro_batch_tokens=60)
    reader = untrained(sequences, task, llm)
    model = reader.model
    shapes = []
    usual = model.gene_tokens

    def watched(table: object, read: object) -> torch.Tensor:
        shapes.append(read.genes.shape)  # type: ignore[attr-defined]
        return usual(table, read)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "gene_tokens", watched)
    scale_tokens(reader, sequences, task.rows)
    extra = len(llm.instruction) + 1
    assert len(shapes) > 1
    assert all(cells * (min(width, 12) + extra) <= 60 and width <= 12 for cells, width in shapes)
    genes, weights = sequences.rows(task.rows)
    batch = reader.to_device(genes[:, :12], weights[:, :12])
    with torch.inference_mode():
        tokens = usual(reader.table, batch).norm(dim=2)
    assert float(tokens[torch.from_numpy(genes[:, :12]) >= 0].mean()) == pytest.approx(
        llm.token_norm, rel=1e-4
    )


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("after", [1, 5, 10, 13])
def test_a_killed_training_goes_on_as_if_it_had_not_been(
    sequences: CellSequences,
    llm: FrozenLLM,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    task = task_of(sequences)
    wanted = training.train_neural(task, llm)
    checkpoint = TrainingCheckpoint(tmp_path / "state", "same", minutes=0)
    steps = iter(range(after))
    usual = training.Trainer.compute_gradients

    def limited(self: object, *arguments: object) -> float:
        if next(steps, None) is None:
            raise Killed
        return usual(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(training.Trainer, "compute_gradients", limited)
    with pytest.raises(Killed):
        training.train_neural(task, llm, checkpoint)
    monkeypatch.setattr(training.Trainer, "compute_gradients", usual)
    resumed = training.train_neural(task, llm, checkpoint)
    assert fingerprint(resumed.tensors) == fingerprint(wanted.tensors)
    assert str(resumed.history) == str(wanted.history)


def test_a_checkpoint_of_another_training_is_not_used(
    sequences: CellSequences, llm: FrozenLLM, tmp_path: Path
) -> None:
    training.train_neural(task_of(sequences), llm, TrainingCheckpoint(tmp_path / "state", "one", 0))
    assert TrainingCheckpoint(tmp_path / "state", "one").load() is not None
    assert TrainingCheckpoint(tmp_path / "state", "other").load() is None


def test_settings_survive_the_file() -> None:
    settings = settings_for("screader", "paper", {"pooling": ("cls", "mean")})
    assert TrainingSettings.from_json(settings.to_json(), "file") == settings
