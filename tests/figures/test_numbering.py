"""Numbers and names written into a panel."""

from __future__ import annotations

import numpy as np
import pytest

from screader_lib.figures.drawing.point_labels import MOST, apart, middle


def overlaps(centres: np.ndarray, boxes: np.ndarray) -> bool:
    room = (boxes[:, None] + boxes[None]) / 2
    meets = (np.abs(centres[:, None] - centres[None]) < room - 1e-3).all(axis=2)
    np.fill_diagonal(meets, False)
    return bool(meets.any())


def test_boxes_that_do_not_meet_stay() -> None:
    centres = np.array([[0.0, 0.0], [20.0, 0.0]])
    np.testing.assert_array_equal(apart(centres, np.full((2, 2), 8.0)), centres)


@pytest.mark.parametrize(
    "centres",
    [
        np.zeros((2, 2)),
        np.zeros((9, 2)),
        np.random.default_rng(0).uniform(0, 60, (40, 2)),
    ],
    ids=["two_at_one_place", "nine_at_one_place", "crowd"],
)
def test_boxes_part(centres: np.ndarray) -> None:
    boxes = np.full((len(centres), 2), 7.0)
    assert overlaps(centres, boxes)
    moved = apart(centres, boxes)
    assert not overlaps(moved, boxes)
    np.testing.assert_array_equal(apart(centres, boxes), moved)


def test_very_many_are_left_where_they_are() -> None:
    centres = np.zeros((MOST + 1, 2))
    np.testing.assert_array_equal(apart(centres, np.ones((MOST + 1, 2))), centres)


def test_the_middle_of_a_ring_is_on_the_ring() -> None:
    angle = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    assert np.hypot(*middle(ring)) == pytest.approx(1)
