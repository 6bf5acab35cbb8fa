"""Small parts of the reader against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from screader_lib.reader.confidence.calibration import fit_temperature, softmax
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import split_validation


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 4))
    truth = np.array([random.choice(4, p=row / row.sum()) for row in softmax(logits).astype(float)])
    found = fit_temperature(logits * temperature, truth)
    assert found["temperature"] == pytest.approx(temperature, rel=0.06)
    assert found["error_after"] < 0.02


def test_too_few_cells_leave_the_temperature_alone() -> None:
    assert fit_temperature(np.zeros((3, 2)), np.zeros(3, int))["temperature"] == 1


def test_calls_that_are_all_right_leave_the_temperature_alone() -> None:
    truth = np.arange(60) % 3
    found = fit_temperature(np.eye(3)[truth] * 2, truth)
    assert found["temperature"] == 1


def test_validation_is_stratified_and_spares_rare_labels() -> None:
    truth = np.array([0] * 100 + [1] * 40 + [2] * 5)
    training, validation = split_validation(np.arange(145), truth, 0.1, seed=3)
    assert (training ^ validation).all()
    assert np.bincount(truth[validation], minlength=3).tolist() == [10, 4, 0]
    assert not np.array_equal(validation, split_validation(np.arange(145), truth, 0.1, 4)[1])


def test_recipe_and_given_options() -> None:
    paper = settings_for("screader", "paper", {"epochs": 3, "learning_rate": None})
    assert (paper.learning_rate, paper.warm_up_steps, paper.batch_size) == (5e-5, 1000, 64)
    assert (paper.epochs, paper.projector_layers, paper.pooling) == (3, 5, ("cls",))
    assert settings_for("pooled", "default", {}).pooling == ("pool",)
