"""So many requests a second and no more."""

from __future__ import annotations

import threading
import time
from typing import Protocol

MARGIN = 1.1  # pauses are this much longer, so that no second sees more requests than allowed


class Clock(Protocol):
    """What Pace asks of the module ``time``, in seconds."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Pace:
    """At most ``per_second`` starts a second, over all threads.

    The pause is counted from when a start was made, not from when it was due: threads that woke
    late on a busy machine do not start together.
    """

    def __init__(self, per_second: float, clock: Clock = time) -> None:
        self.gap = MARGIN / per_second
        self.next = 0.0
        self.clock = clock
        self.lock = threading.Lock()

    def wait(self, weight: float = 1.0) -> None:
        """Sleep until the next start is due; one of ``weight`` 2 takes the room of two."""
        with self.lock:
            self.clock.sleep(max(0.0, self.next - self.clock.monotonic()))
            self.next = self.clock.monotonic() + self.gap * weight
