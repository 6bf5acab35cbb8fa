"""Nearest neighbours, found without sorting all cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.largest import GROUPS, largest
from screader_lib.reader.methods.places import nearest


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 12), st.booleans())
def test_the_largest_values_are_those_of_a_sort(
    seed: int, rows: int, count: int, has_ties: bool
) -> None:
    random = np.random.default_rng(seed)
    columns = int(random.integers(count, 3 * GROUPS * count + 7))
    values = random.normal(size=(rows, columns)).astype(np.float32)
    if has_ties:
        values = values.round(0)
    values[random.random(values.shape) < 0.1] = -np.inf
    expected = np.sort(np.argsort(-values, axis=1, kind="stable")[:, :count], axis=1)
    assert (largest(values, count) == expected).all()


@pytest.mark.parametrize("among", [slice(None), slice(0, None, 3)])
def test_neighbours_are_nearest_and_not_the_cell_itself(among: slice) -> None:
    places = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    sketch = np.arange(700)[among]
    cosine = places.astype(np.float64) @ places.T
    np.fill_diagonal(cosine, -np.inf)
    for row, found in enumerate(nearest(places, sketch, 4)):
        assert row not in found and set(found) <= set(sketch)
        assert {*found} == {*sketch[np.argsort(-cosine[row, sketch])[:4]]}
