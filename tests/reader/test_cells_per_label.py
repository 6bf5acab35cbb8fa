"""Fewer cells of frequent labels."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import at_most_per_label, make_task


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=60),
    st.integers(1, 12),
    st.integers(0, 9),
)
def test_cells_of_a_label_are_drawn_evenly_from_the_donors(
    cells: list[tuple[int, str]], count: int, seed: int
) -> None:
    truth, donors = np.array([each[0] for each in cells]), np.array([each[1] for each in cells])
    used = at_most_per_label(truth, count, donors, seed)
    assert (np.diff(used) > 0).all()
    for label in np.unique(truth):
        there, drawn = (Counter(donors[rows][truth[rows] == label])
                        for rows in (np.arange(len(truth)), used))  # fmt: skip
        assert sum(drawn.values()) == min(count, sum(there.values()))
        most = max(drawn.values())
        assert all(drawn[donor] >= min(there[donor], most - 1) for donor in there)


def test_without_a_limit_all_cells_are_used(sequences: CellSequences) -> None:
    assert at_most_per_label(np.array([0, 0, 1]), 0).tolist() == [0, 1, 2]
    few, again, other = (
        make_task(sequences, TrainingSettings(cells_per_label=11, seed=seed)) for seed in (0, 0, 1)
    )
    assert set(few.labels.counts) == {11}
    used = [np.sort(np.concatenate([task.rows, task.validation_rows]))
            for task in (few, again, other)]  # fmt: skip
    assert (used[0] == used[1]).all() and (used[0] != used[2]).any()
    assert len(used[0]) == 11 * len(few.labels.names)
