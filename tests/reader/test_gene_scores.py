"""What genes say by themselves: the same as another program's logistic regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small_files import DIM, GENES

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader import task as task_module
from screader_lib.reader.model.logistic_regression import (
    GENE_SCALE,
    TEXT_SCALE,
    fit_gene_scores,
    weight_matrix,
)
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Task, make_task

SCALE = 0.05  # small, so that the penalty counts and no label is clear-cut
EQUAL = np.ones(3, np.float32)


@pytest.fixture(scope="module")
def task(cells: Path) -> Iterator[Task]:
    """Cells of three labels, fewer of the last; some labels are wrong, so nothing is clear-cut."""
    with open_exchange(cells, "cells") as opened:
        made = make_task(CellSequences(opened), TrainingSettings(validation=0.0))
        random = np.random.default_rng(2)
        truth = np.where(random.random(len(made.rows)) < 0.2, random.integers(0, 3, 90), made.truth)
        kept = (truth < 2) | (random.random(len(truth)) < 0.4)
        yield replace(made, rows=made.rows[kept], truth=truth[kept])


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


@pytest.mark.parametrize(
    "label_weights", [EQUAL, np.array([0.5, 1.0, 4.0], np.float32)], ids=["alike", "by label"]
)
def test_as_scikit_learn(task: Task, features: np.ndarray, label_weights: np.ndarray) -> None:
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


def test_neither_blocks_nor_order_matter(
    task: Task, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = fit_gene_scores(task, features, SCALE, EQUAL)
    turned = replace(task, rows=task.rows[::-1], truth=task.truth[::-1])
    monkeypatch.setattr(task_module, "ROWS_AT_ONCE", 7)
    for made in (task, turned):
        parts, _ = fit_gene_scores(made, features, SCALE, EQUAL)
        assert centred(parts) == pytest.approx(centred(whole), abs=1e-3)


def test_text_tells_of_genes_that_no_cell_had(task: Task, features: np.ndarray) -> None:
    """A gene with the text of another, met in no cell, says a part of what that one says."""
    more = np.vstack([features, features[3], np.zeros(DIM, np.float32)])
    found, _ = fit_gene_scores(task, more, SCALE, EQUAL)
    assert not found[-1].any()
    known, unmet = found[3], found[-2]
    assert np.abs(unmet).max() > 0 and (known - unmet) @ known > 0
    assert found[3] @ unmet > 0
