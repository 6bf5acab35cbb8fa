"""Agreement of ranks with the labels' typical expression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.stats import rankdata

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.model.label_profiles import LabelProfiles, _quantiles, _ranks, sparse_ranks
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Task, make_task


@pytest.fixture(scope="module")
def task(sequences: CellSequences) -> Task:
    return make_task(sequences, TrainingSettings(method="pooled"))


@pytest.fixture(scope="module")
def profiles(task: Task) -> LabelProfiles:
    return LabelProfiles.fit(task)


def _weights(profiles: LabelProfiles, task: Task) -> sparse.csr_matrix:
    columns = profiles.columns_of(task.cells.genes.index)
    return profiles.weights(task.cells, task.validation_rows, columns)


def test_held_out_cells_agree_with_their_own_label(profiles: LabelProfiles, task: Task) -> None:
    every = np.ones(len(profiles.genes), bool)
    scores = profiles.ranked_markers(every).scores(_weights(profiles, task))
    assert (scores.argmax(1) == task.validation_truth).all()
    assert np.abs(scores).max() <= 1


def test_another_scale_changes_nothing(profiles: LabelProfiles, task: Task) -> None:
    """Ranks are the same after any rising function of a cell's weights."""
    every, weights = np.ones(len(profiles.genes), bool), _weights(profiles, task)
    bent = weights.copy()
    bent.data = np.expm1(3 * bent.data)
    assert profiles.ranked_markers(every).scores(bent) == pytest.approx(
        profiles.ranked_markers(every).scores(weights), abs=1e-6
    )


def test_only_genes_that_are_there_count(profiles: LabelProfiles, task: Task) -> None:
    weights = _weights(profiles, task)
    some = np.arange(len(profiles.genes)) % 2 == 0
    altered = weights.toarray()
    altered[:, ~some] = 99
    expected = profiles.ranked_markers(some).scores(weights)
    assert (profiles.ranked_markers(some).scores(sparse.csr_matrix(altered)) == expected).all()
    assert (expected.argmax(1) == task.validation_truth).mean() > 0.9
    assert not profiles.ranked_markers(np.zeros(len(some), bool)).scores(weights).any()


def test_profiles_are_means_of_a_labels_cells(profiles: LabelProfiles, task: Task) -> None:
    columns = profiles.columns_of(task.cells.genes.index)
    for label in range(3):
        of_label = profiles.values[profiles.labels == label]
        cells = profiles.weights(task.cells, task.rows[task.truth == label], columns).toarray()
        assert 1 <= len(of_label) <= 20
        assert (of_label.min(0) >= cells.min(0) - 1e-6).all()
        assert (of_label.max(0) <= cells.max(0) + 1e-6).all()


def test_agreement_of_a_sample(profiles: LabelProfiles, task: Task) -> None:
    """Of one label alone, and of something that expresses none of its genes."""
    every = np.ones(len(profiles.genes), bool)
    cells = _weights(profiles, task)[task.validation_truth == 0]
    mean = cells.mean(0).A1
    assert profiles.agreement(mean, every) > 0.4
    highest = profiles.values.max(0)
    assert profiles.agreement(highest.max() - highest, every) < 0


@settings(deadline=None)
@given(arrays(np.float32, (3, 9), elements=st.integers(0, 4).map(float)))
def test_ranks_are_those_of_scipy(values: np.ndarray) -> None:
    expected = rankdata(values, axis=1)
    expected -= expected.mean(1, keepdims=True)
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    assert _ranks(values) == pytest.approx(expected)
    higher, lowest = sparse_ranks(sparse.csr_matrix(values))
    assert higher.toarray() + lowest[:, None] == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 9)),
        elements=st.floats(-1, 1, width=32),
    ),
    st.sampled_from([0.0, 0.5, 0.8, 1.0]),
)
def test_quantiles_are_those_of_numpy(values: np.ndarray, share: float) -> None:
    assert _quantiles(values, share) == pytest.approx(np.quantile(values, share, 1), abs=1e-6)
