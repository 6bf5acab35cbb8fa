"""Classifiers give scikit-learn's answers: logistic regression, gene scores, nearest neighbours.

Logistic regression has one optimum, whether the cells are in memory or streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from small_files import DIM, GENES

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader import task as task_module
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods import methods, nearest_neighbours
from screader_lib.reader.methods.nearest_neighbours import nearest, unit, vote_logits
from screader_lib.reader.model import logistic_regression
from screader_lib.reader.model.logistic_regression import (
    GENE_SCALE,
    TEXT_SCALE,
    fit_gene_scores,
    fit_logistic,
    weight_matrix,
)
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Task, make_task

CELLS, FEATURES = 300, 12
EITHER = pytest.mark.usefixtures("either")
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


@pytest.fixture(params=[1 << 30, 0], ids=["in memory", "streaming"])
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


@EITHER
@pytest.mark.parametrize(("values", "truth"), DATA.values(), ids=DATA)
@pytest.mark.parametrize("kind", [list, sparse.csr_matrix], ids=["dense", "sparse"])
def test_the_optimum(values: np.ndarray, truth: np.ndarray, kind: Callable) -> None:
    found = probabilities(values, truth, kind=kind)
    assert np.abs(found - reference(values, truth)).max() < CLOSE


@EITHER
@pytest.mark.parametrize("labels", [2, 4])
def test_the_optimum_of_weighted_labels(labels: int) -> None:
    values, truth = made(labels)
    weights = np.ones(labels, np.float32)
    weights[-1] = 3
    found = probabilities(values, truth, weights)
    assert np.abs(found - reference(values, truth, weights)).max() < CLOSE
    assert np.abs(found - probabilities(values, truth)).max() > 0.05


@EITHER
def test_neither_the_order_of_cells_nor_a_constant_feature_matters() -> None:
    values, truth = made(4)
    found = probabilities(values, truth)
    turned = probabilities(values[::-1], truth[::-1])[::-1]
    constant = probabilities(np.hstack([values, np.full((CELLS, 1), 3, np.float32)]), truth)
    assert np.abs(turned - found).max() < CLOSE and np.abs(constant - found).max() < CLOSE


@EITHER
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


SCALE = 0.05  # small, so that the penalty counts and no label is clear-cut
EQUAL = np.ones(3, np.float32)


@pytest.fixture(scope="module")
def task(cells: Path) -> Iterator[Task]:
    """Cells of three labels, fewer of the last; some labels are wrong, so nothing is clear-cut."""
    with open_exchange(cells, "cells") as opened:
        whole = make_task(CellSequences(opened), TrainingSettings(validation=0.0))
        random = np.random.default_rng(2)
        truth = np.where(random.random(90) < 0.2, random.integers(0, 3, 90), whole.truth)
        selected = (truth < 2) | (random.random(90) < 0.4)
        yield replace(whole, rows=whole.rows[selected], truth=truth[selected])


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1, (GENES, DIM)).astype(np.float32)


def inputs(task: Task, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scaled weights (cells, genes), and those of the regression beside them."""
    values = weight_matrix(*task.cells.rows(task.rows), GENES).toarray() * SCALE
    texts = TEXT_SCALE * values @ features / np.sqrt(DIM)
    return values, np.hstack([GENE_SCALE * values, texts])


def centred(values: np.ndarray) -> np.ndarray:
    """What softmax sees of logits."""
    return values - values.mean(1, keepdims=True)


@EITHER
@pytest.mark.parametrize(
    "label_weights", [EQUAL, np.array([0.5, 1.0, 4.0], np.float32)], ids=["alike", "by label"]
)
def test_gene_scores_are_scikit_learns(
    task: Task, features: np.ndarray, label_weights: np.ndarray
) -> None:
    scores, biases = fit_gene_scores(task, features, SCALE, label_weights)
    assert scores.shape == (GENES, 3) and scores.dtype == np.float32
    weights = dict(enumerate(label_weights.tolist()))
    other = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000, class_weight=weights)
    other.fit(inputs(task, features)[1], task.truth)
    wanted = other.decision_function(inputs(task, features)[1])
    assert centred(inputs(task, features)[0] @ scores + biases) == pytest.approx(
        centred(wanted), abs=1e-3
    )
    own = GENE_SCALE * other.coef_[:, :GENES].T
    own += TEXT_SCALE * features @ other.coef_[:, GENES:].T / np.sqrt(DIM)
    assert centred(scores) == pytest.approx(centred(own), abs=1e-3)


@EITHER
def test_gene_scores_whatever_the_blocks_and_order(
    task: Task, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = fit_gene_scores(task, features, SCALE, EQUAL)
    turned = replace(task, rows=task.rows[::-1], truth=task.truth[::-1])
    monkeypatch.setattr(task_module, "ROWS_AT_ONCE", 7)
    for other in (task, turned):
        parts, _ = fit_gene_scores(other, features, SCALE, EQUAL)
        assert centred(parts) == pytest.approx(centred(whole), abs=1e-3)


@EITHER
def test_text_tells_of_genes_that_no_cell_had(task: Task, features: np.ndarray) -> None:
    """A gene with the text of another, met in no cell, says a part of what that one says."""
    more = np.vstack([features, features[3], np.zeros(DIM, np.float32)])
    found, _ = fit_gene_scores(task, more, SCALE, EQUAL)
    assert not found[-1].any()
    known, unmet = found[3], found[-2]
    assert np.abs(unmet).max() > 0 and (known - unmet) @ known > 0
    assert found[3] @ unmet > 0


def vectors(cells: int, seed: int, dim: int = 7) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((cells, dim)).astype(np.float32) + 0.3)


def test_neighbours_and_votes_equal_scikit_learn() -> None:
    known, values = vectors(200, 0), vectors(60, 1)
    truth = np.random.default_rng(2).integers(0, 4, 200)
    model = KNeighborsClassifier(9, metric="cosine", algorithm="brute").fit(known, truth)
    near = nearest(values, known, 9)
    assert np.array_equal(near, model.kneighbors(values, return_distance=False))
    shares = np.exp(vote_logits(truth[near], 4))
    smoothed = (model.predict_proba(values) * 9 + 1 / 4) / 10
    assert np.abs(shares - smoothed).max() < 2 * nearest_neighbours.TIE_BREAK / 10
    assert shares.sum(1) == pytest.approx(np.ones(60), abs=1e-6) and shares.min() > 0


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        pytest.param([2, 0, 0, 2], [2, 0, 1], id="equal votes go to the nearer"),
        pytest.param([1, 0, 0, 0], [0, 1, 2], id="more votes beat the nearest"),
        pytest.param([2, 1, 0], [2, 1, 0], id="one vote each"),
        pytest.param([1], [1, 0, 2], id="one neighbour"),
    ],
)
def test_votes(labels: list[int], order: list[int]) -> None:
    logits = vote_logits(np.array([labels]), 3)
    assert logits.dtype == np.float32
    assert np.argsort(-logits[0], kind="stable").tolist() == order


def test_equal_cells_go_to_the_earlier_whatever_the_rounding() -> None:
    known = np.repeat(vectors(3, 0, dim=129), 40, axis=0)
    values = vectors(50, 1, dim=129)
    for row in nearest(values, known, 5):
        assert row.tolist() == list(range(row[0], row[0] + 5)) and row[0] % 40 == 0


def test_blocks_do_not_change_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    known, values = vectors(100, 0), vectors(30, 1)
    whole = nearest(values, known, 6)
    monkeypatch.setattr(nearest_neighbours, "SIMILARITIES_AT_ONCE", 250)
    assert np.array_equal(nearest(values, known, 6), whole)
    assert nearest(values, known[:2], 10).shape == (30, 2)  # fewer cells than neighbours
    assert not unit(np.zeros((2, 3), np.float32)).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"method": "guess"}, "unknown method 'guess'", id="method"),
        pytest.param({"method": "genept-w", "classifier": "guess"}, "'guess'", id="classifier"),
        pytest.param({"method": "logistic", "classifier": "knn"}, "'knn'", id="not of the method"),
    ],
)
def test_nothing_unknown_becomes_a_logistic_regression(
    sequences: CellSequences, given: dict[str, str], message: str
) -> None:
    with pytest.raises(ScReaderError, match=message):
        methods.train(make_task(sequences, TrainingSettings(**given)))
