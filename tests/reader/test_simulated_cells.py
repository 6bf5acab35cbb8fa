"""A classifier for just the genes that a sample has, fitted on simulated cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from screader_lib.reader.model.label_profiles import LabelProfiles
from screader_lib.reader.model.simulated_cells import SimulatedCells

GENES = np.array([f"g{number}" for number in range(60)], object)


def typical(seed: int = 0) -> np.ndarray:
    """Expression of three labels: each has ten genes of its own, thirty are alike."""
    base = np.random.default_rng(seed).uniform(1, 4, 60)
    values = np.tile(base, (3, 1))
    for label in range(3):
        values[label, 10 * label : 10 * label + 10] *= 6
    return values


@pytest.fixture(scope="module")
def profiles() -> LabelProfiles:
    """Labels 0, 1 and 3; label 2 has no training cell."""
    values = typical() / typical().sum(1, keepdims=True) * 1e4
    return LabelProfiles(GENES, np.log1p(values).astype(np.float32), np.array([0, 1, 3]))


def cells(depth: float, seed: int = 1) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Three hundred cells of this many counts, log-normalised, and their labels."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, 300)
    rates = typical()[truth]
    counts = random.poisson(rates / rates.sum(1, keepdims=True) * depth)
    total = np.maximum(counts.sum(1, keepdims=True), 1)
    return sparse.csr_matrix(np.log1p(counts / total * 1e4)), np.array([0, 1, 3])[truth]


@pytest.mark.parametrize("depth", [100, 1_000, 20_000])
def test_cells_of_any_depth_get_their_label(profiles: LabelProfiles, depth: float) -> None:
    fitted = SimulatedCells.fit(profiles, np.ones(60, bool))
    weights, truth = cells(depth)
    probability = fitted.probability(weights, 4)
    assert probability.sum(1) == pytest.approx(1, abs=1e-5)
    assert (probability.argmax(1) == truth).mean() > 0.97
    assert not probability[:, 2].any()


def test_genes_that_are_not_there_do_not_count(profiles: LabelProfiles) -> None:
    """And a panel's scale does not: its genes are normalised among themselves."""
    present = np.zeros(60, bool)
    present[[0, 1, 2, 10, 11, 12, 20, 21, 22, *range(40, 60)]] = True
    fitted = SimulatedCells.fit(profiles, present)
    weights, truth = cells(2_000)
    altered = weights.toarray()
    altered[:, ~present] = 9
    expected = fitted.probability(weights, 4)
    assert np.array_equal(fitted.probability(sparse.csr_matrix(altered), 4), expected)
    assert (expected.argmax(1) == truth).mean() > 0.9
    panel = np.expm1(weights.toarray()) * present
    panel = np.log1p(panel / panel.sum(1, keepdims=True) * 1e4)
    assert fitted.probability(sparse.csr_matrix(panel), 4) == pytest.approx(expected, abs=1e-4)


def test_probabilities_are_those_of_cells_written_out(profiles: LabelProfiles) -> None:
    """Genes that are 0 in a cell count like others, though they are not stored."""
    present = np.arange(60) % 7 > 0
    fitted = SimulatedCells.fit(profiles, present)
    weights, _ = cells(1_000)
    linear = np.expm1(weights.toarray()[:, fitted.genes])
    logs = np.log1p(linear / linear.sum(1, keepdims=True) * 1e4)
    features = ((logs - fitted.mean) / fitted.spread).clip(-10, 10)
    exponential = np.exp(features @ fitted.weights[0] + fitted.weights[1])
    expected = exponential / exponential.sum(1, keepdims=True)
    assert fitted.probability(weights, 4)[:, [0, 1, 3]] == pytest.approx(expected, abs=1e-5)


def test_the_fit_is_the_same_every_time_and_of_no_cell(profiles: LabelProfiles) -> None:
    every = np.ones(60, bool)
    first, second = (SimulatedCells.fit(profiles, every) for _ in range(2))
    assert np.array_equal(first.weights[0], second.weights[0])
    weights, _ = cells(500)
    whole = first.probability(weights, 4)
    alone = first.probability(weights[7:9], 4)
    assert alone == pytest.approx(whole[7:9], abs=1e-6)


def test_without_genes_or_with_one_label_nothing_is_told(profiles: LabelProfiles) -> None:
    weights, _ = cells(500)
    none = SimulatedCells.fit(profiles, np.zeros(60, bool)).probability(weights, 4)
    assert none[:, [0, 1, 3]] == pytest.approx(1 / 3)
    one = LabelProfiles(GENES, profiles.values[:1], profiles.labels[:1])
    alone = SimulatedCells.fit(one, np.ones(60, bool)).probability(weights, 1)
    assert alone == pytest.approx(1)
