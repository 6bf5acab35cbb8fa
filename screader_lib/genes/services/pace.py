"""So many requests a second and no more."""

from __future__ import annotations

import threading
import time

MARGIN = 1.1  # pauses are this much longer, so that no second sees more requests than allowed


class Pace:
    """At most ``per_second`` starts a second, over all threads."""

    def __init__(self, per_second: float) -> None:
        self.gap = MARGIN / per_second
        self.next = 0.0
        self.lock = threading.Lock()

    def wait(self, weight: float = 1.0) -> None:
        """Sleep until the next start is due; one of ``weight`` 2 takes the room of two."""
        with self.lock:
            now = time.monotonic()
            start = max(now, self.next)
            self.next = start + self.gap * weight
        time.sleep(start - now)
