"""The best state of a stage stays, and patience ends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from recording_reporter import RecordingReporter
from torch import nn

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.evaluation import ValidationScores
from screader_lib.reader.llm.frozen_llm import load_llm
from screader_lib.reader.model import training
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.training_checkpoint import BestState
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import make_task

NAN = float("nan")


class Named(nn.Module):
    """A model whose state is a number, as a parameter and as a buffer."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("mean", torch.zeros(1))

    def be(self, number: float) -> None:
        with torch.no_grad():
            self.weight.fill_(number)
            self.mean.fill_(number)


def offered(losses: Sequence[float | None]) -> tuple[BestState, Named]:
    """Checks with these losses after epochs 0, 1, …; the model is what the epoch's number is."""
    best, model = BestState(), Named()
    for epoch, loss in enumerate(losses):
        model.be(epoch)
        best.update(None if loss is None else ValidationScores(loss, 0, 0), model, epoch)
    return best, model


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        pytest.param([3.0, 1.0, 2.0], 1, id="in the middle"),
        pytest.param([3.0, 2.0, 1.0], 2, id="last"),
        pytest.param([1.0, 2.0, 3.0], 0, id="before training"),
        pytest.param([2.0, 1.0, 1.0], 1, id="the first of equals"),
        pytest.param([None, 2.0, None], 1, id="not all checked"),
        pytest.param([NAN, 2.0, NAN], 1, id="no number"),
        pytest.param([None, None], None, id="never checked"),
        pytest.param([NAN], None, id="nothing but no number"),
    ],
)
def test_the_best_state_is_put_back(losses: Sequence[float | None], epoch: int | None) -> None:
    best, model = offered(losses)
    assert best.restore(model) == epoch
    stays = len(losses) - 1 if epoch is None else epoch
    assert model.weight.tolist() == [stays, stays] and model.mean.tolist() == [stays]


def test_what_is_kept_does_not_move_with_the_model() -> None:
    best, model = offered([1.0])
    before = {name: value.clone() for name, value in best.tensors.items()}
    model.be(9)
    assert all(torch.equal(best.tensors[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [
        pytest.param([3.0, 4.0, 5.0], 2, True, id="two worse"),
        pytest.param([3.0, 4.0], 2, False, id="one worse"),
        pytest.param([3.0, 4.0, 2.0, 4.0], 2, False, id="better between"),
        pytest.param([3.0, 3.0, 3.0], 2, True, id="no better"),
        pytest.param([3.0, None, None], 2, False, id="unchecked epochs do not count"),
        pytest.param([3.0] * 50, 0, False, id="0 is never"),
    ],
)
def test_patience(losses: Sequence[float | None], patience: int, ends: bool) -> None:
    assert offered(losses)[0].is_out_of_patience(patience) == ends


@pytest.fixture(scope="module")
def sequences(cells: Path) -> Iterator[CellSequences]:
    with open_exchange(cells, "cells") as opened:
        yield CellSequences(opened)


def trained(
    sequences: CellSequences, losses: Sequence[float], patience: int
) -> tuple[NeuralReader, list[np.ndarray]]:
    """A reader whose checks, every fifth epoch, find these losses; heads at each check."""
    given = {"warm_start_epochs": 5 * len(losses), "patience": patience, "gene_scores": False}
    task = make_task(sequences, settings_for("pooled", "default", given))
    heads: list[np.ndarray] = []

    def check(trainer: training.Trainer) -> ValidationScores:
        heads.append(trainer.model.head.weight.detach().numpy().copy())
        return ValidationScores(losses[len(heads) - 1], 0.5, 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "validate", check)
        return training.train_neural(task, None), heads


@pytest.mark.parametrize(
    ("losses", "patience", "checks", "best"),
    [
        pytest.param([5, 4, 3], 0, 3, 2, id="getting better"),
        pytest.param([5, 1, 3, 4], 0, 4, 1, id="to the end"),
        pytest.param([5, 1, 3, 4, 0], 2, 4, 1, id="given up before a better one"),
        pytest.param([5, 1, 3, 0, 4], 2, 5, 3, id="just in time"),
    ],
)
def test_training_ends_with_the_best_head(
    sequences: CellSequences, losses: list[float], patience: int, checks: int, best: int
) -> None:
    reader, heads = trained(sequences, losses, patience)
    assert len(heads) == checks and len(reader.history) == 5 * checks
    kept = reader.model.head.weight.detach().numpy()
    assert [np.array_equal(kept, head) for head in heads] == [n == best for n in range(checks)]


@pytest.mark.parametrize(
    ("losses", "heeded"),
    [
        pytest.param([1, 2], False, id="reading makes it worse"),
        pytest.param([2, 1], True, id="reading makes it better"),
    ],
)
def test_it_is_told_where_the_llm_has_no_weight(
    sequences: CellSequences, llama: Path, losses: list[float], heeded: bool
) -> None:
    given = {
        "warm_start_epochs": 1, "epochs": 1, "gene_scores": False, "genes_per_cell": 8,
    }  # fmt: skip
    told = RecordingReporter()
    task = make_task(sequences, settings_for("screader", "default", given), reporter=told)
    llm = load_llm(str(llama), instruction="Genes of", precision="float32")
    checks = iter([0.0, *losses])

    def check(trainer: training.Trainer) -> ValidationScores:
        return ValidationScores(next(checks), 0.5, 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "validate", check)
        reader = training.train_neural(task, llm)
    assert reader.model.uses_llm == heeded
    assert any("have no weight" in line for line in told.messages) != heeded


def test_an_llm_whose_head_is_mixed_in_at_nothing_has_no_weight(llama: Path) -> None:
    settings = settings_for("screader", "default", {"genes_per_cell": 8})
    llm = load_llm(str(llama), instruction="Genes of", precision="float32")
    model = training.ReaderModel(settings, 5, 4, 3, llm)
    assert not model.uses_llm  # the head begins with nothing
    model.head.weight.data.fill_(1.0)
    assert model.uses_llm
    model.mix.fill_(0.0)
    assert not model.uses_llm
