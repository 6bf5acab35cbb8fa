"""Small parts of the reader against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screader_lib.reader.confidence.calibration import fit_temperature, softmax
from screader_lib.reader.model.batches import split_by_length
from screader_lib.reader.model.scaling import fit_scaling, scaled
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import split_validation


def test_whitening_gives_unit_covariance_and_drops_dead_directions() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((500, 6)) @ random.standard_normal((6, 6)) + 30
    vectors = np.hstack([vectors, np.full((500, 2), 7.0)]).astype(np.float32)
    features = scaled(vectors, fit_scaling(vectors, "whiten"))
    assert features.shape == (500, 6)
    assert np.allclose(np.cov(features.T, bias=True), np.eye(6), atol=1e-2)
    assert np.allclose(features.mean(0), 0, atol=1e-3)


def test_standardising_keeps_dead_dimensions_at_zero() -> None:
    vectors = np.random.default_rng(0).normal(5, 3, (100, 3)).astype(np.float32)
    vectors[:, 1] = 4
    features = scaled(vectors, fit_scaling(vectors, "standardise"))
    assert features.std(0) == pytest.approx([1, 0, 1], abs=1e-4)


def test_no_scaling_changes_nothing() -> None:
    vectors = np.random.default_rng(0).normal(5, 3, (10, 3)).astype(np.float32)
    assert np.array_equal(scaled(vectors, fit_scaling(vectors, "none")), vectors)


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


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 100))
def test_batches_hold_every_cell_once_within_the_budget(lengths: list[int], most: int) -> None:
    groups = list(split_by_length(np.array(lengths), most, 2))
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        tokens = len(group) * (max(lengths[row] for row in group) + 2)
        assert tokens <= most or len(group) == 1


def test_recipe_and_given_options() -> None:
    paper = settings_for("screader", "paper", {"epochs": 3, "learning_rate": None})
    assert (paper.learning_rate, paper.warm_up_steps, paper.batch_size) == (5e-5, 1000, 64)
    assert (paper.epochs, paper.projector_layers, paper.pooling) == (3, 5, ("cls",))
    assert settings_for("pooled", "default", {}).pooling == ("pool",)
