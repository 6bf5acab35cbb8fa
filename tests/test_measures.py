"""Measures against scikit-learn's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from screader_lib import label_metrics

LABELS = st.sampled_from(["a", "b", "c", "T cell, CD8+", "ü", ""])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)
CALLS = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60)


@contextmanager
def quiet() -> Iterator[None]:
    """scikit-learn warns where a label is never predicted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@given(PAIRS)
def test_scores(pairs: list[tuple[str, str]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    found = label_metrics.scores(true, predicted)
    with quiet():
        wanted = {
            "accuracy": metrics.accuracy_score(true, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted),
        }
        for average in ("macro", "weighted"):
            of = {"average": average, "zero_division": 0}
            wanted[f"{average}_precision"] = metrics.precision_score(true, predicted, **of)
            wanted[f"{average}_recall"] = metrics.recall_score(true, predicted, **of)
            wanted[f"{average}_f1"] = metrics.f1_score(true, predicted, **of)
    assert found == pytest.approx(wanted)


@given(PAIRS)
def test_scores_of_each_label(pairs: list[tuple[str, str]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    found = label_metrics.per_label(true, predicted)
    assert list(found) == sorted({*true, *predicted})
    with quiet():
        wanted = metrics.precision_recall_fscore_support(
            true, predicted, labels=list(found), zero_division=0
        )
    for number, key in enumerate(("precision", "recall", "f1", "cells")):
        assert [row[key] for row in found.values()] == pytest.approx(list(wanted[number]))


@given(PAIRS, st.permutations(["a", "b", "c", "T cell, CD8+", "ü", ""]))
def test_confusion(pairs: list[tuple[str, str]], labels: list[str]) -> None:
    true, predicted = zip(*pairs, strict=True)
    found = label_metrics.confusion_matrix(true, predicted, labels)
    np.testing.assert_array_equal(found, metrics.confusion_matrix(true, predicted, labels=labels))


def test_a_label_that_is_not_listed() -> None:
    with pytest.raises(KeyError):
        label_metrics.confusion_matrix(["a"], ["b"], ["a"])


@given(PAIRS)
def test_order_of_the_cells_does_not_matter(pairs: list[tuple[str, str]]) -> None:
    ways = [label_metrics.scores(*zip(*each, strict=True)) for each in (pairs, pairs[::-1])]
    assert ways[0] == pytest.approx(ways[1])


def test_arrays_of_objects_are_as_lists() -> None:
    true, predicted = ["a", "b", "b"], ["a", "a", "b"]
    arrays = (np.array(true, object), np.array(predicted, object))
    assert label_metrics.scores(*arrays) == label_metrics.scores(true, predicted)


def test_no_cells_have_no_scores() -> None:
    assert label_metrics.scores([], []) == {}


@given(CALLS, st.integers(1, 20))
def test_calibration(calls: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = map(np.array, zip(*calls, strict=True))
    curve = label_metrics.calibration_curve(confidence, right, bins)
    assert sum(entry["cells"] for entry in curve) == len(calls)
    mean = sum(entry["cells"] * entry["accuracy"] for entry in curve) / len(calls)
    assert mean == pytest.approx(right.mean())
    lowest = [entry["confidence"] for entry in curve]
    assert lowest == sorted(lowest)
    error = label_metrics.expected_calibration_error(confidence, right, bins)
    assert abs(confidence.mean() - right.mean()) - 1e-6 <= error <= 1 + 1e-6


@pytest.mark.parametrize(
    ("confidence", "right", "error"),
    [
        pytest.param([0.95, 0.95, 0.55, 0.55], [1, 1, 1, 0], 0.05, id="two bins"),
        pytest.param([1.0, 1.0], [1, 1], 0.0, id="sure and right"),
        pytest.param([1.0, 1.0], [0, 0], 1.0, id="sure and wrong"),
        pytest.param([0.0], [0], 0.0, id="no confidence"),
        pytest.param([], [], 0.0, id="no cells"),
    ],
)
def test_calibration_error(confidence: list[float], right: list[int], error: float) -> None:
    found = label_metrics.expected_calibration_error(np.array(confidence), np.array(right, bool))
    assert found == pytest.approx(error)
