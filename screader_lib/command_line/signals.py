"""Signals end a run in one line, after what it has written in part is removed."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

WORDS = {signal.SIGTERM: "terminated", signal.SIGHUP: "stopped, as the terminal was closed"}
AGAIN = 0.05  # seconds


class Stopped(BaseException):
    """A signal arrived; raised so that temporary files are removed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell has it for a program that the signal ended."""
        return 128 + self.number


def install() -> None:
    """Let the signals raise Stopped, but those that are ignored, as under nohup."""
    for number in WORDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for other in WORDS:  # another one would interrupt the removal of temporary files
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def when_unraisable(unraisable: Any) -> None:
    """A ``sys.unraisablehook``: a signal that arrived where nothing can be raised comes again.

    Python drops what is raised in destructors and in callbacks of weak references, such as those
    of its imports. Anything else is not told: what h5py's destructors raise after a failed write
    only repeats the error.
    """
    number = 0
    if isinstance(unraisable.exc_value, Stopped):
        number = unraisable.exc_value.number
        for one in WORDS:
            signal.signal(one, _stop)
    elif isinstance(unraisable.exc_value, KeyboardInterrupt):
        number = signal.SIGINT
    if number:
        timer = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
