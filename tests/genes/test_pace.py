"""The pace of requests, by a clock that waits for nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_clock import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from screader_lib.genes.services.service import RATE_MARGIN, Pace


@given(per_second=st.integers(1, 20), late=st.floats(0, 3), count=st.integers(1, 60))
def test_no_second_sees_more_than_allowed(per_second: int, late: float, count: int) -> None:
    clock = FakeClock(late=late)
    pace = Pace(per_second, clock)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pace.wait(), range(count)))
    assert len(clock.starts) == count
    assert clock.most_in_a_second() <= per_second


def test_first_start_waits_for_nothing_and_a_heavy_one_takes_room() -> None:
    clock = FakeClock()
    pace = Pace(10, clock)
    for weight in (1.0, 5.0, 1.0):
        pace.wait(weight)
    gap = RATE_MARGIN / 10
    assert clock.starts == pytest.approx([100, 100 + gap, 100 + 6 * gap])


def test_time_that_went_by_is_not_waited_for_again() -> None:
    clock = FakeClock()
    pace = Pace(10, clock)
    pace.wait()
    clock.now += 60
    pace.wait()
    pace.wait()
    assert clock.starts == pytest.approx([100, 160, 160 + RATE_MARGIN / 10])
