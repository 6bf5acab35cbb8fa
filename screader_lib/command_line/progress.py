"""Messages and progress on standard error: bars on a terminal, elsewhere a line each minute."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from screader_lib.reporting import Reporter, printable

MINUTE = 60.0  # seconds


@dataclass
class Work:
    """A part of a run: ``done`` of ``total`` units since ``start``, by ``time.monotonic``."""

    description: str
    total: int
    unit: str
    done: int = 0
    start: float = field(default_factory=time.monotonic)

    def advance(self, units: int) -> None:
        """Count units that were just done."""
        self.done += units

    def __str__(self) -> str:
        """How far it is, how fast it goes and how long it will take."""
        seconds = time.monotonic() - self.start
        if not self.total or not self.done:
            amount = f"of {self.total:,} {self.unit}" if self.total else self.unit
            return f"{self.description}: {self.done:,} {amount}, {duration(seconds)} so far"
        left = (self.total - self.done) * seconds / self.done
        rate = self.done / max(seconds, 1e-9)
        return (
            f"{self.description}: {self.done:,} of {self.total:,} {self.unit} "
            f"({self.done / self.total:.0%}), {rate:,.3g} {self.unit} per second, "
            f"{duration(left)} left"
        )


def duration(seconds: float) -> str:
    """Seconds in words, such as ``3 h 20 min``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class TerminalReporter(Reporter):
    """Reports on standard error; ``verbosity`` is −1 (quiet), 0 or 1 (verbose)."""

    def __init__(self, tool: str, verbosity: int = 0) -> None:
        self.tool = tool
        self.verbosity = verbosity
        self.work: list[Work] = []
        self.last_line = time.monotonic()

    def info(self, message: str) -> None:
        if self.verbosity >= 0:
            self._print(message)

    def detail(self, message: str) -> None:
        if self.verbosity >= 1:
            self._print(message)

    def warning(self, message: str) -> None:
        self._print(f"warning: {message}")

    def _print(self, message: str) -> None:
        self.last_line = time.monotonic()
        if sys.stderr is not None:
            print(f"{self.tool}: {printable(message)}", file=sys.stderr, flush=True)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Without a terminal, print a line for each minute in which there was none."""
        if self.verbosity < 0 or sys.stderr is None or sys.stderr.isatty():
            yield
            return
        ended, run = threading.Event(), Work("running", 0, "")

        def watch() -> None:
            while not ended.wait(max(MINUTE / 60, self.last_line + MINUTE - time.monotonic())):
                if time.monotonic() - self.last_line >= MINUTE:
                    seconds = time.monotonic() - run.start
                    work = [*self.work]
                    self._print(str(work[-1]) if work else f"running for {duration(seconds)}")

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        if self.verbosity < 0 or sys.stderr is None:
            yield lambda done: None
        elif not sys.stderr.isatty():
            work = Work(description, total, unit)
            self.work.append(work)
            try:
                yield work.advance
            finally:
                self.work.remove(work)
        else:
            from rich.console import Console
            from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

            columns = Progress.get_default_columns()
            extra = (MofNCompleteColumn(), unit, TimeElapsedColumn())
            with Progress(*columns, *extra, console=Console(stderr=True)) as bar:
                task = bar.add_task(printable(description), total=total)
                yield lambda done: bar.advance(task, done)
