"""A clock that passes the time without waiting."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class FakeClock:
    """Seconds go by where somebody sleeps; ``starts`` are the ends of all sleeps so far."""

    now: float = 100.0
    late: float = 0.0  # every sleeper wakes so many seconds late
    starts: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        with self.lock:
            self.now += seconds + self.late
            self.starts.append(self.now)

    def most_in_a_second(self) -> int:
        """The greatest number of starts that any one second saw."""
        return max(sum(start <= one < start + 1 for one in self.starts) for start in self.starts)
