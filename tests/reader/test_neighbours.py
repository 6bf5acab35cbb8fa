"""Nearest neighbours: scikit-learn's answers, votes, ties, and one answer however cells are cut."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from screader_lib.reader.methods import nearest_neighbours
from screader_lib.reader.methods.nearest_neighbours import nearest, unit, vote_logits


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
