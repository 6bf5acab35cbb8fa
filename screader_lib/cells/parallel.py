"""Work on blocks of cells by several threads, results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
MOST_THREADS = 8  # each holds a block of cells in memory


def usual_threads() -> int:
    """The processors that this process may use, ``MOST_THREADS`` at most."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        allowed = os.cpu_count() or 1
    return max(1, min(MOST_THREADS, allowed))


def in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], pool: Executor, ahead: int
) -> Iterator[Result]:
    """``map(work, tasks)`` by the threads of ``pool``, at most ``ahead`` tasks before it is used.

    What a task raises is raised where its result would come.
    """
    running: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            running.append(pool.submit(work, task))
            if len(running) > ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
