"""The stages of a training, the best weights of each, and patience."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from recording_reporter import RecordingReporter
from torch import nn

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.evaluation import ValidationScores
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.model import training
from screader_lib.reader.model.training_checkpoint import BestState
from screader_lib.reader.settings import settings_for, stages_of
from screader_lib.reader.task import make_task

ALL, POOL, NAN = ("cls", "mean", "pool"), ("pool",), float("nan")


@pytest.mark.parametrize(
    ("method", "given", "poolings"),
    [
        pytest.param("screader", {}, [POOL, ALL], id="default"),
        pytest.param("screader", {"epochs": 0}, [POOL], id="warm start alone"),
        pytest.param("screader", {"warm_start_epochs": 0}, [ALL], id="no warm start"),
        pytest.param("screader", {"pooling": ("cls",)}, [("cls",)], id="cls alone"),
        pytest.param("screader", {"pooling": POOL}, [POOL], id="pool alone"),
        pytest.param("pooled", {"pooling": ("mean",), "epochs": 1}, [("mean",)], id="no LLM"),
        pytest.param("genept", {}, [POOL], id="GenePT"),
    ],
)
def test_stages(method: str, given: dict, poolings: list[tuple[str, ...]]) -> None:
    stages = stages_of(settings_for(method, "default", given))
    assert [stage.poolings for stage in stages] == poolings


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        pytest.param("pooled", {"pooling": ALL}, "has no LLM", id="cls without LLM"),
        pytest.param("pooled", {"pooling": ("mean",)}, "nothing to train", id="mean, no epochs"),
        pytest.param(
            "screader", {"epochs": 0, "pooling": ("cls",)}, "nothing to train", id="cls, no epochs"
        ),
    ],
)
def test_settings_that_leave_nothing_to_train(method: str, given: dict, message: str) -> None:
    with pytest.raises(ScReaderError, match=message):
        stages_of(settings_for(method, "default", given))


class Constant(nn.Module):
    """A model whose parameter and buffer are one number."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("mean", torch.zeros(1))

    def set(self, number: float) -> None:
        self.weight.data.fill_(number)
        self.mean.fill_(number)


def best_of(losses: Sequence[float | None]) -> tuple[BestState, Constant]:
    """Validation losses after epochs 0, 1, …; the model's number is the epoch's."""
    best, model = BestState(), Constant()
    for epoch, loss in enumerate(losses):
        model.set(epoch)
        best.update(None if loss is None else ValidationScores(loss, 0, 0), model, epoch)
    return best, model


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        pytest.param([3.0, 1.0, 2.0], 1, id="in the middle"),
        pytest.param([3.0, 2.0, 1.0], 2, id="last"),
        pytest.param([1.0, 2.0, 3.0], 0, id="before training"),
        pytest.param([2.0, 1.0, 1.0], 1, id="the first of equals"),
        pytest.param([None, 2.0, None], 1, id="not all validated"),
        pytest.param([NAN, 2.0, NAN], 1, id="no number"),
        pytest.param([None, NAN], None, id="nothing but no number"),
    ],
)
def test_the_best_weights_are_restored(losses: Sequence[float | None], epoch: int | None) -> None:
    best, model = best_of(losses)
    model.set(9)
    assert best.restore(model) == epoch
    number = 9 if epoch is None else epoch
    assert model.weight.tolist() == [number, number] and model.mean.tolist() == [number]


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [
        pytest.param([3.0, 4.0, 3.0], 2, True, id="two not better"),
        pytest.param([3.0, 4.0], 2, False, id="one worse"),
        pytest.param([3.0, 4.0, 2.0, 4.0], 2, False, id="better between"),
        pytest.param([3.0, None, None], 2, False, id="unvalidated epochs do not count"),
        pytest.param([3.0] * 50, 0, False, id="0 is never"),
    ],
)
def test_patience(losses: Sequence[float | None], patience: int, ends: bool) -> None:
    assert best_of(losses)[0].is_out_of_patience(patience) == ends


def validations(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> list[np.ndarray]:
    """Let a training's validations give these losses; fills in the head at each of them."""
    heads: list[np.ndarray] = []

    def validate(trainer: training.Trainer) -> ValidationScores:
        heads.append(trainer.model.head.weight.detach().numpy().copy())
        return ValidationScores(losses[len(heads) - 1], 0.5, 0.5)

    monkeypatch.setattr(training.Trainer, "validate", validate)
    return heads


@pytest.mark.parametrize(
    ("losses", "patience", "count", "best"),
    [
        pytest.param([5, 4, 3], 0, 3, 2, id="getting better"),
        pytest.param([5, 1, 3, 4], 0, 4, 1, id="to the end"),
        pytest.param([5, 1, 3, 4, 0], 2, 4, 1, id="given up before a better one"),
        pytest.param([5, 1, 3, 0, 4], 2, 5, 3, id="just in time"),
    ],
)
def test_training_ends_with_the_best_head(
    sequences: CellSequences,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
    patience: int,
    count: int,
    best: int,
) -> None:
    """The warm start is validated every fifth epoch."""
    heads, reporter = validations(monkeypatch, losses), RecordingReporter()
    given = {"warm_start_epochs": 5 * len(losses), "patience": patience, "gene_scores": False}
    task = make_task(sequences, settings_for("pooled", "default", given), reporter=reporter)
    reader = training.train_neural(task, None)
    assert len(heads) == count and len(reader.history) == 5 * count
    head = reader.model.head.weight.detach().numpy()
    assert [np.array_equal(head, other) for other in heads] == [n == best for n in range(count)]
    message = f"the weights from epoch {5 * (best + 1)} scored best"
    assert any(message in line for line in reporter.messages) == (best + 1 < len(losses))


@pytest.mark.parametrize("losses", [[1, 2], [2, 1]], ids=["the LLM is worse", "better"])
def test_an_llm_without_weight_is_reported(
    sequences: CellSequences,
    llm: FrozenLLM,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
) -> None:
    given = {"warm_start_epochs": 1, "epochs": 1, "gene_scores": False, "genes_per_cell": 8}
    reporter = RecordingReporter()
    task = make_task(sequences, settings_for("screader", "default", given), reporter=reporter)
    validations(monkeypatch, [0.0, *losses])
    reader = training.train_neural(task, llm)
    is_better = losses[1] < losses[0]
    assert reader.model.uses_llm == is_better
    for message in ("the weights from before this stage scored best", "have no weight"):
        assert any(message in line for line in reporter.messages) != is_better


def test_an_llm_has_no_weight_through_an_empty_head_or_mix(llm: FrozenLLM) -> None:
    settings = settings_for("screader", "default", {"genes_per_cell": 8})
    model = training.ReaderModel(settings, 5, 4, 3, llm)
    assert not model.uses_llm  # the head begins with nothing
    model.head.weight.data.fill_(1.0)
    assert model.uses_llm
    model.mix.fill_(0.0)
    assert not model.uses_llm
