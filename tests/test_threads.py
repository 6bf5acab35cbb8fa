"""Blocks of matrices in threads: in order, with the first one's work done once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from screader_lib.threads import matrix_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads: int) -> None:
    """The first task runs alone, the last ones are the fastest."""
    running: list[int] = []
    alone = threading.Event()

    def task(number: int) -> int:
        running.append(number)
        time.sleep(0.02 * (number < 3))
        if number == 0:
            assert running == [0]
            alone.set()
        assert alone.is_set()
        return number

    with matrix_threads(threads) as mapped:
        assert [*mapped(task, ((number,) for number in range(20)))] == list(range(20))
        assert [*mapped(task, [])] == []


def test_what_a_task_raises_ends_the_others() -> None:
    done: list[int] = []

    def task(number: int) -> int:
        if number == 4:
            raise ValueError("four")
        done.append(number)
        return number

    with matrix_threads(2) as mapped, pytest.raises(ValueError, match="four"):
        for _ in mapped(task, ((number,) for number in range(1000))):
            pass
    assert len(done) < 20


def test_products_do_not_depend_on_the_number_of_threads() -> None:
    values = np.random.default_rng(0).random((300, 400), np.float32)

    def product(number: int) -> np.ndarray:
        return values[number * 30 : (number + 1) * 30] @ values.T

    found = []
    for threads in (1, 3):
        with matrix_threads(threads) as mapped:
            found.append(np.concatenate([*mapped(product, ((number,) for number in range(10)))]))
    assert np.array_equal(*found)
