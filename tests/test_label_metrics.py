"""Label metrics against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from screader_lib import label_metrics

LABELS = ["a", "b", "c", "T cell, CD8+", "ü", ""]
PAIRS = st.lists(st.tuples(*[st.sampled_from(LABELS)] * 2), min_size=1, max_size=60)
CALLS = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_scores(pairs: list[tuple[str, str]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    scores = label_metrics.scores(true, predicted)
    by_label = label_metrics.per_label(true, predicted)
    assert list(by_label) == sorted({*true, *predicted})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of labels that are never predicted
        expected = {
            "accuracy": metrics.accuracy_score(true, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted),
        }
        for average in ("macro", "weighted"):
            values = metrics.precision_recall_fscore_support(
                true, predicted, average=average, zero_division=0
            )
            for name, value in zip(("precision", "recall", "f1"), values, strict=False):
                expected[f"{average}_{name}"] = value
        table = metrics.precision_recall_fscore_support(
            true, predicted, labels=list(by_label), zero_division=0
        )
    assert scores == pytest.approx(expected)
    assert label_metrics.scores(true[::-1], predicted[::-1]) == pytest.approx(scores)
    assert label_metrics.scores(np.array(true, object), np.array(predicted, object)) == scores
    for name, column in zip(("precision", "recall", "f1", "cells"), table, strict=True):
        assert [row[name] for row in by_label.values()] == pytest.approx(list(column))


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.permutations(LABELS))
def test_confusion_matrix(pairs: list[tuple[str, str]], labels: list[str]) -> None:
    true, predicted = zip(*pairs, strict=True)
    matrix = label_metrics.confusion_matrix(true, predicted, labels)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(true, predicted, labels=labels))


def test_labels_that_are_not_listed_and_no_cells() -> None:
    with pytest.raises(KeyError):
        label_metrics.confusion_matrix(["a"], ["b"], ["a"])
    assert label_metrics.scores([], []) == {}


@given(CALLS, st.integers(1, 20))
def test_calibration(calls: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = map(np.array, zip(*calls, strict=True))
    curve = label_metrics.calibration_curve(confidence, correct, bins)
    assert sum(entry["cells"] for entry in curve) == len(calls)
    mean = sum(entry["cells"] * entry["accuracy"] for entry in curve) / len(calls)
    assert mean == pytest.approx(correct.mean())
    assert sorted(curve, key=lambda entry: entry["confidence"]) == curve
    error = label_metrics.expected_calibration_error(confidence, correct, bins)
    assert abs(confidence.mean() - correct.mean()) - 1e-6 <= error <= 1 + 1e-6


@pytest.mark.parametrize(
    ("confidence", "correct", "error"),
    [
        pytest.param([0.95, 0.95, 0.55, 0.55], [1, 1, 1, 0], 0.05, id="two bins"),
        pytest.param([1.0, 1.0], [1, 1], 0.0, id="certain and right"),
        pytest.param([1.0, 1.0], [0, 0], 1.0, id="certain and wrong"),
        pytest.param([0.0], [0], 0.0, id="no confidence"),
        pytest.param([], [], 0.0, id="no cells"),
    ],
)
def test_calibration_error(confidence: list[float], correct: list[int], error: float) -> None:
    value = label_metrics.expected_calibration_error(np.array(confidence), np.array(correct, bool))
    assert value == pytest.approx(error)
