"""Silhouette and neighbour purity."""

from __future__ import annotations

import numpy as np
import pytest

from screader_lib.exchange.table import strings
from screader_lib.figures.data.cell_vectors import Vectors
from screader_lib.figures.data.separation import Separation, neighbour_purity, separation


class Held(Vectors):
    """An array in memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(np.float32)
        self.rows, self.width = values.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.values[start:stop]


def test_purity_by_hand() -> None:
    """On a line 0 1 2 10 with labels a a b b: nearest are 1, 0 or 2 (tie), 1, 2."""
    values = np.array([[0.0], [1.0], [2.1], [10.0]])
    assert neighbour_purity(values, np.array([0, 0, 1, 1]), k=1) == pytest.approx(3 / 4)


def test_purity_of_many_cells_against_a_plain_count() -> None:
    random = np.random.default_rng(0)
    values, codes = random.normal(size=(1500, 5)), random.integers(0, 3, 1500)
    shares = []
    for row in range(1500):
        distance = ((values - values[row]) ** 2).sum(axis=1)
        distance[row] = np.inf
        shares.append((codes[np.argsort(distance)[:10]] == codes[row]).mean())
    assert neighbour_purity(values, codes) == pytest.approx(np.mean(shares), abs=1e-9)


def test_purity_does_not_depend_on_where_the_cells_lie() -> None:
    """Far from the origin, distances by inner products lose their digits unless centred."""
    random = np.random.default_rng(0)
    values, codes = random.normal(size=(200, 4)), random.integers(0, 2, 200)
    moved = (values + 1000).astype(np.float32)
    assert neighbour_purity(moved, codes) == pytest.approx(
        neighbour_purity(values, codes), abs=0.01
    )


def test_types_far_apart_are_pure() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(m, 0.1, (30, 3)) for m in (0, 50)])
    labels = strings(["a"] * 30 + ["b"] * 30)
    found = separation(Held(values), labels)
    assert found.purity == 1
    assert found.silhouette is not None and found.silhouette > 0.98
    assert str(found) == "silhouette 1.00, 10-NN purity 1.00"


def test_cells_without_a_label_do_not_count() -> None:
    values = np.concatenate([np.zeros((20, 2)), np.ones((20, 2)), np.full((20, 2), 0.5)])
    values = values + np.random.default_rng(0).normal(0, 0.01, values.shape)
    found = separation(Held(values), strings(["a"] * 20 + ["b"] * 20 + [""] * 20))
    assert (found.cells, found.purity) == (40, 1)


@pytest.mark.parametrize("labels", [["a"] * 5, [""] * 5, ["a", *[""] * 4]], ids=str)
def test_one_type_or_none_has_no_separation(labels: list[str]) -> None:
    found = separation(Held(np.eye(5)), strings(labels))
    assert (found.silhouette, found.purity) == (None, None)
    assert str(found) == "silhouette –, 10-NN purity –"


def test_each_cell_its_own_type_has_no_silhouette() -> None:
    assert separation(Held(np.eye(4)), strings("abcd")).silhouette is None


def test_negative_values_have_a_minus_sign() -> None:
    assert str(Separation(-0.25, 0.5, 9)) == "silhouette −0.25, 10-NN purity 0.50"
