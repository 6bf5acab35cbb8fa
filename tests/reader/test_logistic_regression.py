"""Logistic regression: one optimum, whether the cells are in memory or streamed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.model import logistic_regression
from screader_lib.reader.model.logistic_regression import fit_logistic, weight_matrix

CELLS, FEATURES = 300, 12
CLOSE = 1e-4  # of probabilities


def made(labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sparse features float32 of badly matched scales and noisy labels."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((CELLS, FEATURES)) * (random.random((CELLS, FEATURES)) < 0.6)
    logits = values @ random.standard_normal((FEATURES, labels)) * 2
    truth = (logits + random.gumbel(size=logits.shape)).argmax(1)
    return (values * np.geomspace(0.1, 10, FEATURES)).astype(np.float32), truth


def probabilities(
    values: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None, kind: Callable = list
) -> np.ndarray:
    features = sparse.csr_matrix(values) if kind is sparse.csr_matrix else values
    cuts = [slice(0, 100), slice(100, 107), slice(107, len(values))]
    labels = int(truth.max()) + 1
    found = fit_logistic(lambda: [(features[cut], truth[cut]) for cut in cuts], labels, weights)
    assert found[0].shape == (values.shape[1], labels) and found[0].dtype == np.float32
    return softmax(values @ found[0] + found[1])


def reference(
    values: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """The optimum in float64 by another solver than those that are tested."""
    counts = np.ones(truth.max() + 1) if weights is None else weights
    wide = np.append(values.astype(np.float64), np.zeros((1, values.shape[1])), axis=0)
    labels = truth.max() + 1
    # a cell of a further label that counts nothing: scikit-learn then fits two labels as three
    more = np.append(truth, labels)
    model = LogisticRegression(C=1.0, solver="lbfgs", tol=1e-9, max_iter=100_000)
    model.fit(wide, more, sample_weight=np.append(counts, 1e-12)[more])
    return softmax(model.decision_function(wide[:-1])[:, :labels])


@pytest.fixture(params=[1 << 30, 0], ids=["in memory", "streaming"], autouse=True)
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic_regression, "MAX_BYTES", request.param)


def separable() -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(60) % 3
    return 5 * np.eye(3, dtype=np.float32)[truth], truth


def with_a_label_of_one_cell() -> tuple[np.ndarray, np.ndarray]:
    values, truth = made(3)
    values[5] = 4 * np.eye(FEATURES)[0]
    truth[5] = 3
    return values, truth


DATA = {"two": made(2), "three": made(3), "six": made(6), "separable": separable(),
        "one cell": with_a_label_of_one_cell()}  # fmt: skip


@pytest.mark.parametrize(("values", "truth"), DATA.values(), ids=DATA)
@pytest.mark.parametrize("kind", [list, sparse.csr_matrix], ids=["dense", "sparse"])
def test_the_optimum(values: np.ndarray, truth: np.ndarray, kind: Callable) -> None:
    found = probabilities(values, truth, kind=kind)
    assert np.abs(found - reference(values, truth)).max() < CLOSE


@pytest.mark.parametrize("labels", [2, 4])
def test_a_weight_is_so_many_copies_of_the_cells(labels: int) -> None:
    values, truth = made(labels)
    weights = np.ones(labels, np.float32)
    weights[-1] = 3
    found = probabilities(values, truth, weights)
    again = np.append(np.arange(CELLS), np.repeat(np.flatnonzero(truth == labels - 1), 2))
    copied = probabilities(values[again], truth[again])
    assert np.abs(found - copied[:CELLS]).max() < CLOSE
    assert np.abs(found - reference(values, truth, weights)).max() < CLOSE
    assert np.abs(found - probabilities(values, truth)).max() > 0.05


def test_neither_the_order_of_cells_nor_a_constant_feature_matters() -> None:
    values, truth = made(4)
    found = probabilities(values, truth)
    turned = probabilities(values[::-1], truth[::-1])[::-1]
    constant = probabilities(np.hstack([values, np.full((CELLS, 1), 3, np.float32)]), truth)
    assert np.abs(turned - found).max() < CLOSE and np.abs(constant - found).max() < CLOSE


@pytest.mark.parametrize("kind", [list, sparse.csr_matrix], ids=["dense", "sparse"])
def test_features_that_are_not_finite(kind: Callable) -> None:
    values, truth = made(3)
    values[3, 2] = np.nan
    with pytest.raises(ScReaderError, match="not all finite"):
        probabilities(values, truth, kind=kind)


def test_weights_of_sequences_known_answer() -> None:
    genes = np.array([[2, 0, -1], [-1, -1, -1], [1, 2, 3]], np.int32)
    weights = np.array([[5, 6, 7], [8, 9, 1], [2, 3, 4]], np.float32)
    wanted = [[6, 0, 5, 0], [0, 0, 0, 0], [0, 2, 3, 4]]
    assert weight_matrix(genes, weights, 4).toarray().tolist() == wanted
