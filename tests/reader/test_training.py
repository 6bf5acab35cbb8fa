"""Training: what changes, what stays, and that it repeats itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from recording_reporter import RecordingReporter

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.model import training
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.scaling import scale_tokens
from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint
from screader_lib.reader.settings import TrainingSettings, settings_for
from screader_lib.reader.task import Task, make_task

QUICK = {"precision": "float32", "warm_start_epochs": 2, "epochs": 1, "batch_size": 16,
         "genes_per_cell": 12, "instruction": "Genes of one cell"}  # fmt: skip


def task_of(sequences: CellSequences, **given: object) -> Task:
    return make_task(sequences, settings_for("screader", "default", {**QUICK, **given}))


def fingerprint(tensors: dict[str, np.ndarray]) -> str:
    parts = [hashlib.sha256(tensors[name].tobytes()).hexdigest() for name in sorted(tensors)]
    return " ".join(parts)


def llm_state(llm: FrozenLLM) -> str:
    return fingerprint({name: value.numpy() for name, value in llm.model.state_dict().items()})


def test_only_projector_cls_head_and_offsets_change(
    sequences: CellSequences, llm: FrozenLLM
) -> None:
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
    assert sum(value.size for value in reader.tensors.values()) < 15_000


def test_same_seed_same_reader(sequences: CellSequences, llm: FrozenLLM) -> None:
    one, same, other = (
        fingerprint(training.train_neural(task_of(sequences, seed=seed), llm).tensors)
        for seed in (0, 0, 1)
    )
    assert one == same != other


def test_a_loss_that_is_not_finite_ends_the_training(
    sequences: CellSequences, llm: FrozenLLM
) -> None:
    task = task_of(sequences, warm_start_learning_rate=1e38)
    with pytest.raises(ScReaderError, match="the training diverged"):
        training.train_neural(task, llm)


def untrained(sequences: CellSequences, task: Task, llm: FrozenLLM) -> NeuralReader:
    torch.manual_seed(0)
    vocabulary = GeneMatcher(sequences.genes.index, sequences.embedding)
    scaling = training.fit_scaling(sequences.embedding, "whiten")
    genes, features = len(vocabulary.ids), scaling["map"].shape[1]
    model = training.ReaderModel(task.settings, genes, features, 3, llm)
    return NeuralReader(model, scaling, vocabulary)


def gradients(sequences: CellSequences, llm: FrozenLLM, max_tokens: int) -> torch.Tensor:
    task = task_of(sequences, gene_dropout=0.3, dropout=0.3, micro_batch_tokens=max_tokens)
    reader = untrained(sequences, task, llm)
    model = reader.model
    torch.nn.init.normal_(model.head.weight)
    trainer = training.Trainer(reader, task)
    trainer.compute_gradients(task.rows[:16], task.settings.pooling, np.random.default_rng(0))
    assert model.cls.grad is not None and model.cls.grad.norm() > 0
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_batches_give_the_gradient_of_all_cells(sequences: CellSequences, llm: FrozenLLM) -> None:
    whole, parts = gradients(sequences, llm, 100_000), gradients(sequences, llm, 40)
    assert torch.allclose(whole, parts, atol=1e-5, rtol=1e-3)


def test_genes_have_the_length_of_the_llms_own_tokens(
    sequences: CellSequences, llm: FrozenLLM
) -> None:
    task = task_of(sequences, micro_batch_tokens=60)
    reader = untrained(sequences, task, llm)
    scale_tokens(reader, sequences, task.rows)
    genes, weights = sequences.rows(task.rows)
    batch = reader.to_device(genes[:, :12], weights[:, :12])
    with torch.inference_mode():
        lengths = reader.model.gene_tokens(reader.table, batch).norm(dim=2)[batch.genes >= 0]
    assert float(lengths.mean()) == pytest.approx(llm.token_norm, rel=1e-4)


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
    expected = training.train_neural(task, llm)
    checkpoint = TrainingCheckpoint(tmp_path / "state", "same", minutes=0)
    steps = iter(range(after))
    original = training.Trainer.compute_gradients

    def limited(self: training.Trainer, *arguments: object) -> float:
        if next(steps, None) is None:
            raise Killed
        return original(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training.Trainer, "compute_gradients", limited)
        training.train_neural(task, llm, checkpoint)
    resumed = training.train_neural(task, llm, checkpoint)
    assert fingerprint(resumed.tensors) == fingerprint(expected.tensors)
    assert str(resumed.history) == str(expected.history)


def test_a_checkpoint_of_another_training_is_not_used(
    sequences: CellSequences, llm: FrozenLLM, tmp_path: Path
) -> None:
    path, reporter = tmp_path / "state", RecordingReporter()
    training.train_neural(task_of(sequences), llm, TrainingCheckpoint(path, "one", 0))
    assert TrainingCheckpoint(path, "one").load() is not None
    assert TrainingCheckpoint(path, "other", reporter=reporter).load() is None
    assert "belongs to another training" in reporter.warnings[0]


def test_settings_survive_the_file() -> None:
    settings = settings_for("screader", "paper", {"pooling": ("cls", "mean")})
    assert TrainingSettings.from_json(settings.to_json(), "file") == settings
