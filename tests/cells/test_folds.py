"""Which cells a fold holds out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.cells.folds import assign_folds, groups_of
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, Table, strings


def cells(count: int, **columns: Column) -> Table:
    """As much of cells as folds look at."""
    return Table(strings(range(count)), dict(columns))


def folds(truth: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    rows = np.arange(len(truth)) * 2
    return assign_folds(cells(2 * len(truth)), rows, truth, count, "", seed, "c.h5ad")


labels = st.lists(st.integers(0, 4), min_size=6, max_size=80).map(np.array)


@settings(deadline=None)
@given(truth=labels, count=st.integers(2, 6), seed=st.integers(0, 9))
def test_folds_have_the_same_labels_but_for_one_cell(
    truth: np.ndarray, count: int, seed: int
) -> None:
    fold = folds(truth, count, seed)
    assert len(fold) == len(truth) and set(fold) == set(range(1, count + 1))
    for members in (fold, *(fold[truth == label] for label in np.unique(truth))):
        sizes = np.bincount(members, minlength=count + 1)[1:]
        assert sizes.max() - sizes.min() <= 1
    assert (folds(truth, count, seed) == fold).all()


def test_the_seed_counts_and_other_columns_do_not() -> None:
    truth, rows = np.arange(30) % 2, np.arange(30)
    donor, age = Categorical.of(["x", "y", "z"] * 10), np.arange(30)
    one, two = cells(30, donor=donor, age=age), cells(30, age=age[::-1], donor=donor)
    for group_by in ("", "donor"):
        found = [assign_folds(some, rows, truth, 3, group_by, 7, "c.h5ad") for some in (one, two)]
        assert (found[0] == found[1]).all()
    assert (folds(truth, 3, 1) != folds(truth, 3, 2)).any()


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abcdefg"), min_size=12, max_size=60).filter(
        lambda groups: len(set(groups)) >= 3
    ),
    st.integers(2, 3),
)
def test_groups_are_never_split(groups: list[str], count: int) -> None:
    rows = np.arange(len(groups))
    some = cells(len(groups), donor=Categorical.of(groups))
    fold = assign_folds(some, rows, rows % 2, count, "donor", 0, "c.h5ad")
    assert set(fold) == set(range(1, count + 1))
    for name in set(groups):
        assert len(set(fold[np.array(groups) == name])) == 1
    sizes = np.bincount(fold, minlength=count + 1)[1:]
    largest = max(groups.count(name) for name in set(groups))
    assert sizes.max() - sizes.min() <= largest  # the smallest fold takes the next group


def test_groups_known_answer() -> None:
    """The largest group comes first, each into the smallest fold."""
    groups = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2
    some, rows = cells(14, donor=Categorical.of(groups)), np.arange(14)
    fold = assign_folds(some, rows, rows % 2, 2, "donor", 0, "c.h5ad")
    by_number = cells(14, donor=np.array([ord(name) * 1.0 for name in groups]))
    assert (assign_folds(by_number, rows, rows % 2, 2, "donor", 0, "c.h5ad") == fold).all()
    assert fold.tolist() == [1] * 5 + [2] * 4 + [2] * 3 + [1] * 2
    # A donor whose cells have no label makes no fold.
    assert groups_of(some, rows[:9], "donor", "c.h5ad").tolist() == groups[:9]
    with pytest.raises(ScReaderError, match="has 2 groups, too few for 3 folds"):
        assign_folds(some, rows[:9], rows[:9] % 2, 3, "donor", 0, "c.h5ad")


NUMBERS = np.array([1.0, 1.0, 2.0, 2.0])
MISSING = np.array([1.0, np.nan, 2.0, np.nan])
NO_DONOR = Categorical(np.array([0, 1, -1, 1], np.int32), ("a", "b"))


@pytest.mark.parametrize(
    ("column", "count", "group_by", "message"),
    [
        pytest.param(NUMBERS, 5, "", "has 4 labelled cells, too few for 5 folds", id="few cells"),
        pytest.param(np.ones(4), 1, "x", "has 1 group, too few for 2 folds", id="one group"),
        pytest.param(NUMBERS, 2, "donr", r"no column 'donr'.*It has x", id="no such column"),
        pytest.param(NO_DONOR, 2, "x", "1 cells have no x", id="no donor"),
        pytest.param(Categorical.of(["a", "", "b", ""]), 2, "x", "2 cells have no x", id="empty"),
        pytest.param(MISSING, 2, "x", "2 cells have no x", id="no number"),
    ],
)  # fmt: skip
def test_cells_that_cannot_be_folds(
    column: Column, count: int, group_by: str, message: str
) -> None:
    some, rows = cells(4, x=column), np.arange(4)
    with pytest.raises(ScReaderError, match=message) as caught:
        assign_folds(some, rows, rows % 2, count, group_by, 0, "c.h5ad")
    assert str(caught.value).startswith("c.h5ad") and "\n" not in str(caught.value)
