"""Messages and progress bars on standard error; bars only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from screader_lib.reporting import Reporter


class TerminalReporter(Reporter):
    """Reports on standard error; ``verbosity`` is −1 (quiet), 0 or 1 (verbose)."""

    def __init__(self, tool: str, verbosity: int = 0) -> None:
        self.tool = tool
        self.verbosity = verbosity

    def info(self, message: str) -> None:
        if self.verbosity >= 0:
            self._print(message)

    def detail(self, message: str) -> None:
        if self.verbosity >= 1:
            self._print(message)

    def warning(self, message: str) -> None:
        self._print(f"warning: {message}")

    def _print(self, message: str) -> None:
        if sys.stderr is not None:
            print(f"{self.tool}: {message}", file=sys.stderr, flush=True)

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        if self.verbosity < 0 or sys.stderr is None or not sys.stderr.isatty():
            yield lambda done: None
            return
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

        columns = Progress.get_default_columns()
        extra = (MofNCompleteColumn(), unit, TimeElapsedColumn())
        with Progress(*columns, *extra, console=Console(stderr=True)) as bar:
            task = bar.add_task(description, total=total)
            yield lambda done: bar.advance(task, done)
