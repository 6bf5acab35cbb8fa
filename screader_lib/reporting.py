"""How long work tells what it does, without knowing who listens.

The library takes a ``Reporter``; the command line gives one that prints to standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Reporter:
    """Says nothing; the base of those that do."""

    def say(self, message: str) -> None:
        """A line that every user should see."""

    def detail(self, message: str) -> None:
        """A line for those who asked for more."""

    def warn(self, message: str) -> None:
        """A line on something that is probably not what the user wants."""

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        """A progress bar; call the yielded function with the number of units just done."""
        yield lambda done: None


SILENT = Reporter()
