"""Classifiers give scikit-learn's answers: logistic regression, gene scores, nearest neighbours.

Logistic regression has one optimum, whether the cells are in memory or streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from small_files import GENES

from screader_lib import threads
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.sequences import weight_matrix
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader import task as task_module
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods import baselines, feature_classifier, methods
from screader_lib.reader.methods.baselines import LogisticOnComponents
from screader_lib.reader.methods.feature_classifier import nearest, unit, vote_logits
from screader_lib.reader.model import gene_scores, logistic_regression, principal_components
from screader_lib.reader.model.gene_scores import (
    COMPONENT_LENGTH,
    DEFAULT_STRENGTH,
    fit_gene_scores,
    logits,
)
from screader_lib.reader.model.linear_reader import scores_of_genes
from screader_lib.reader.model.logistic_regression import fit_few_cells, fit_logistic
from screader_lib.reader.model.principal_components import COMPONENTS
from screader_lib.reader.model.reader_model import Batch, GeneTable, ReaderModel
from screader_lib.reader.settings import TrainingSettings, settings_for
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


def with_a_cell_far_away() -> tuple[np.ndarray, np.ndarray]:
    """On the way to the optimum, the exponential of its label's logit vanishes."""
    truth = np.arange(CELLS) % 2
    values = np.random.default_rng(0).standard_normal((CELLS, 2)) + 6 * np.eye(2)[truth] + 50
    values[0] = [-2_000, 2_000]
    return values.astype(np.float32), truth


DATA = {"two": made(2), "three": made(3), "six": made(6), "separable": separable(),
        "one cell": with_a_label_of_one_cell(),
        "far": with_a_cell_far_away()}  # fmt: skip


@EITHER
@pytest.mark.parametrize(("values", "truth"), DATA.values(), ids=DATA)
@pytest.mark.parametrize("kind", [list, sparse.csr_matrix], ids=["dense", "sparse"])
def test_the_optimum(values: np.ndarray, truth: np.ndarray, kind: Callable) -> None:
    found = probabilities(values, truth, kind=kind)
    assert np.abs(found - reference(values, truth)).max() < CLOSE


@EITHER
@pytest.mark.parametrize(("values", "truth"), DATA.values(), ids=DATA)
@pytest.mark.parametrize("kind", [list, sparse.csr_matrix], ids=["dense", "sparse"])
def test_the_optimum_of_many_cells(
    values: np.ndarray, truth: np.ndarray, kind: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logistic_regression, "MANY_CELLS", 40)
    weights = np.linspace(1, 2, truth.max() + 1).astype(np.float32)
    found = probabilities(values, truth, weights, kind)
    assert np.abs(found - reference(values, truth, weights)).max() < 2e-3
    monkeypatch.setattr(threads, "default_threads", lambda: 1)
    assert np.array_equal(found, probabilities(values, truth, weights, kind))


@pytest.mark.parametrize(("values", "truth"), DATA.values(), ids=DATA)
@pytest.mark.parametrize("repeats", [1, 40], ids=["more cells", "more features"])
def test_the_optimum_of_few_cells(values: np.ndarray, truth: np.ndarray, repeats: int) -> None:
    spread = np.tile(values, repeats) / np.sqrt(repeats).astype(np.float32)  # the same products
    weights, biases = fit_few_cells(spread, truth, int(truth.max()) + 1, 1.0, 1e-6)
    found = softmax(spread @ weights + biases)
    assert np.abs(found - reference(values, truth)).max() < 5e-3


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


def whole(task: Task) -> np.ndarray:
    """The training cells' scaled weights, float64 (cells, genes)."""
    return SCALE * task.cells.weights(task.rows).toarray().astype(np.float64)


def centred(values: np.ndarray) -> np.ndarray:
    """What softmax sees of logits."""
    return values - values.mean(1, keepdims=True)


@EITHER
@pytest.mark.parametrize(
    "label_weights", [EQUAL, np.array([0.5, 1.0, 4.0], np.float32)], ids=["alike", "by label"]
)
def test_gene_scores_are_scikit_learns(task: Task, label_weights: np.ndarray) -> None:
    found = fit_gene_scores(task, SCALE, label_weights)
    values, weights = whole(task), dict(enumerate(label_weights.tolist()))
    assert found.means == pytest.approx(values.mean(0), abs=1e-4)
    spread = values.std(0)
    floor = gene_scores.MIN_SPREAD * np.median(spread[spread > 0])
    standardised = values / np.maximum(spread, floor)
    count = min(COMPONENTS, *(np.array(values.shape) - 1))
    principal = PCA(count, svd_solver="full").fit_transform(standardised)
    principal *= COMPONENT_LENGTH / np.sqrt((principal**2).sum(1).mean())
    for table, features in ((found.genes, values), (found.components, principal)):
        other = LogisticRegression(
            C=DEFAULT_STRENGTH, tol=1e-8, max_iter=10_000, class_weight=weights
        )
        wanted = softmax(other.fit(features, task.truth).decision_function(features))
        own = logits(sparse.csr_matrix(values.astype(np.float32)), table)
        assert softmax(own) == pytest.approx(wanted, abs=5e-3)


@EITHER
def test_gene_scores_whatever_the_blocks_and_order(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit_gene_scores(task, SCALE, EQUAL)
    turned = replace(task, rows=task.rows[::-1], truth=task.truth[::-1])
    monkeypatch.setattr(task_module, "ROWS_AT_ONCE", 7)
    for other in (task, turned):
        scores = fit_gene_scores(other, SCALE, EQUAL).genes[0]
        assert centred(scores) == pytest.approx(centred(first.genes[0]), abs=1e-3)


def test_a_sample_has_a_cell_of_each_label(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more cells than are sampled, the scores of rare labels are fitted too."""
    monkeypatch.setattr(principal_components, "SAMPLED_CELLS", 5)
    monkeypatch.setattr(gene_scores, "MAX_VALIDATION_CELLS", 7)
    rare = replace(task, truth=np.where(np.arange(len(task.rows)) == 3, 2, task.truth % 2))
    rare = replace(rare, validation_rows=task.rows[::2], validation_truth=rare.truth[::2])
    assert 2 in rare.truth[principal_components.sampled_cells(rare)]
    assert fit_gene_scores(rare, SCALE, EQUAL).genes[0].shape == (GENES, 3)


def test_strengths_and_mix_are_those_of_least_validation_loss(task: Task) -> None:
    """Labels at random want the strongest penalty, and cells like those of training a weak one."""
    random = np.random.default_rng(0)
    rows = task.rows[::2]
    strict = replace(task, validation_rows=rows, validation_truth=random.integers(0, 3, len(rows)))
    loose = replace(task, validation_rows=rows, validation_truth=task.truth[::2])
    sizes = [np.abs(fit_gene_scores(each, SCALE, EQUAL).genes[0]).max() for each in (strict, loose)]
    assert sizes[0] < sizes[1]


def test_components_are_scikit_learns(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "LIMIT", 2.0)
    settings = TrainingSettings(method="components")
    found = LogisticOnComponents(task.genes, settings, 3)
    found.fit(replace(task, settings=settings))
    values = whole(task) / SCALE
    standardised = (values - values.mean(0)) / np.maximum(values.std(0), 1e-6)
    clipped = np.minimum(standardised, 2)
    assert (clipped < standardised).any() and standardised.min() > -2
    count = min(COMPONENTS, *(np.array(values.shape) - 1))
    principal = PCA(count, svd_solver="full").fit_transform(clipped)
    other = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(principal, task.truth)
    logits, vectors = found.outputs(task.cells, task.rows)
    assert np.abs(vectors) == pytest.approx(np.abs(principal), abs=1e-2)
    assert softmax(logits) == pytest.approx(other.predict_proba(principal), abs=5e-3)


@pytest.mark.parametrize("method", ["logistic", "components", "genept-w", "genept", "pooled"])
def test_logits_of_many_cells_are_those_of_the_outputs(
    cells: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """And wide features are never those of all cells at once."""
    with open_exchange(cells, "cells") as opened:
        settings = settings_for(method, "default", {"warm_start_epochs": 1, "warm_up_steps": 0})
        task = make_task(CellSequences(opened), settings)
        trained, rows = methods.train(task), np.arange(len(task.cells))
        expected, _ = trained.outputs(task.cells, rows)
        sizes, outputs = [0], type(trained).outputs
        monkeypatch.setattr(task_module, "ROWS_AT_ONCE", 7)
        monkeypatch.setattr(
            type(trained),
            "outputs",
            lambda own, some, part: sizes.append(len(part)) or outputs(own, some, part),
        )
        found = trained.logits(task.cells, rows)
        assert max(sizes) <= 7 and np.allclose(found, expected, atol=1e-5)
        assert trained.logits(task.cells, rows[:0]).shape == (0, expected.shape[1])


@pytest.fixture
def model() -> ReaderModel:
    random = torch.Generator().manual_seed(0)
    model = ReaderModel(settings_for("pooled", "default", {}), 4, 2, 3, None)
    for name in ("scores", "component_scores", "score_biases", "component_biases"):
        buffer = getattr(model, name)
        buffer.copy_(torch.randn(buffer.shape, generator=random))
    model.gene_means.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    return model


def gene_logits(
    model: ReaderModel, weights: list[float], presence: list[float], components: bool = False
) -> np.ndarray:
    tensors = {name: buffer.numpy() for name, buffer in model.named_buffers()}
    found = scores_of_genes(tensors, np.array(presence), components)
    table = GeneTable(torch.zeros(4, 2), None, *map(torch.from_numpy, found))
    batch = Batch(torch.arange(4)[None], torch.tensor([weights]))
    return model.gene_logits(table, batch)[0].numpy()


def test_gene_logits_known_answer(model: ReaderModel) -> None:
    cell, every = [0.5, 0, 1, 2], [1.0] * 4
    wanted = np.array(cell) @ model.scores.numpy() + model.score_biases.numpy()
    assert gene_logits(model, cell, every) == pytest.approx(wanted, abs=1e-4)
    model.component_mix.fill_(0.25)
    other = np.array(cell) @ model.component_scores.numpy() + model.component_biases.numpy()
    both = gene_logits(model, cell, every, components=True)
    assert both == pytest.approx(0.75 * wanted + 0.25 * other, abs=1e-4)
    assert gene_logits(model, cell, every) == pytest.approx(wanted, abs=1e-4)


def test_genes_that_were_not_measured_say_what_they_say_on_average(model: ReaderModel) -> None:
    """The mean cell has its logits still; others differ from it as if all genes did as these."""
    means, some = [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0, 0.0]
    mean = gene_logits(model, means, [1.0] * 4)
    assert gene_logits(model, [1, 0, 3, 0], some) == pytest.approx(mean, abs=1e-4)
    assert np.abs(gene_logits(model, [1, 0, 3, 0], [1.0] * 4) - mean).max() > 0.1
    cell = gene_logits(model, [2, 0, 3, 0], some) - mean
    assert cell == pytest.approx(model.scores[0].numpy() / 0.4, abs=1e-4)  # 0.4 = (1 + 3) / 10


def test_a_reader_from_before_the_means_were_stored(model: ReaderModel) -> None:
    model.gene_means.zero_()
    wanted = np.array([1, 0, 3, 0]) @ model.scores.numpy() + model.score_biases.numpy()
    assert gene_logits(model, [1, 0, 3, 0], [1, 0, 1, 0]) == pytest.approx(wanted, abs=1e-4)


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
    assert np.abs(shares - smoothed).max() < 2 * feature_classifier.TIE_BREAK / 10
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
    monkeypatch.setattr(feature_classifier, "SIMILARITIES_AT_ONCE", 250)
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


def test_genes_alone_are_as_sure_as_with_components(model: ReaderModel) -> None:
    cell = [0.5, 0, 1, 2]
    wanted = gene_logits(model, cell, [1.0] * 4)
    model.alone.fill_(3)
    assert gene_logits(model, cell, [1.0] * 4) == pytest.approx(3 * wanted, rel=1e-4)
    assert gene_logits(model, cell, [1.0] * 4, components=True) == pytest.approx(wanted, rel=1e-4)
    logits = np.random.default_rng(0).normal(0, 2, (300, 5))
    assert gene_scores._as_sure(logits / 3, logits) == pytest.approx(3, rel=0.06)
