"""Measures against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from screader_lib import measures

PAIRS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1)


@given(PAIRS)
def test_scores(pairs: list[tuple[str, str]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    found = measures.scores(true, predicted)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        balanced = metrics.balanced_accuracy_score(true, predicted)
    assert found["balanced_accuracy"] == pytest.approx(balanced)
    for average in ("macro", "weighted"):
        wanted = metrics.precision_recall_fscore_support(
            true, predicted, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), wanted, strict=False):
            assert found[f"{average}_{name}"] == pytest.approx(value)


def test_no_cells_have_no_scores() -> None:
    assert measures.scores([], []) == {}


def test_calibration_error() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False])
    assert measures.expected_calibration_error(confidence, right) == pytest.approx(0.05)
