"""Stop a run at a chosen call of a chosen function."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A moment: the ``call``-th call of a function, and whether the new output is in place."""

    where: Any
    function: str
    call: int = 1
    done: bool = False


def stopped_at(point: Point, number: signal.Signals) -> Callable:
    """The function of the point, which sends this process a signal at the call asked for."""
    usual, calls = getattr(point.where, point.function), []

    def function(*words: Any, **named: Any) -> Any:
        calls.append(words)
        if len(calls) == point.call:
            os.kill(os.getpid(), number)
        return usual(*words, **named)

    return function


def run_until(point: Point, number: signal.Signals, run: Callable[[], int]) -> int:
    """Call ``run`` in a fork that stops itself; its exit status, negative for a signal."""
    child = os.fork()
    if not child:
        try:
            # What a shell starts in the background would ignore it, and so would its tests.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            setattr(point.where, point.function, stopped_at(point, number))
            os._exit(run())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def partials(folder: Path) -> list[str]:
    """Temporary files in a folder."""
    return sorted(path.name for path in folder.glob(".*.partial"))
