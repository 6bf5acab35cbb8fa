"""Work on blocks of cells by several threads, with results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

MAX_THREADS = 8  # each holds a block of cells in memory
Result = TypeVar("Result")


def default_threads() -> int:
    """The processors that this process may use, ``MAX_THREADS`` at most."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        allowed = os.cpu_count() or 1
    return max(1, min(MAX_THREADS, allowed))


def map_in_order(
    function: Callable[..., Result], tasks: Iterable[tuple], pool: Executor, ahead: int
) -> Iterator[Result]:
    """``starmap(function, tasks)`` by the threads of ``pool``, at most ``ahead`` tasks in advance.

    What a task raises is raised where its result would come.
    """
    running: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            running.append(pool.submit(function, *task))
            if len(running) > ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


@contextmanager
def matrix_threads(threads: int | None = None) -> Iterator[Callable[..., Iterator]]:
    """Gives a ``map_in_order`` for functions that are products of matrices on NumPy and SciPy.

    Each thread multiplies alone, so that results do not depend on how many there are. The very
    first task is done before any other begins: what it keeps for them is made once.
    """
    from threadpoolctl import threadpool_limits

    threads, is_first = threads or default_threads(), True

    def mapped(function: Callable[..., Result], tasks: Iterable[tuple]) -> Iterator[Result]:
        nonlocal is_first
        waiting = iter(tasks)
        if is_first:
            for task in waiting:
                is_first = False
                yield function(*task)
                break
        yield from map_in_order(function, waiting, pool, threads)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        yield mapped
