"""How long-running work reports progress, whoever is listening.

The library takes a ``Reporter``; the command line passes one that prints to standard error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Reporter:
    """Discards everything; the base class of reporters that do not."""

    def info(self, message: str) -> None:
        """A line that every user should see."""

    def detail(self, message: str) -> None:
        """A line for users who asked for more (``--verbose``)."""

    def warning(self, message: str) -> None:
        """A line about something that is probably not what the user intended."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """The whole of a run, which may have to show now and then that it is alive."""
        yield

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        """A progress bar; call the yielded function with the number of units just done."""
        yield lambda done: None


class WithoutInfo(Reporter):
    """Passes warnings, details and progress to another reporter, and no lines of information."""

    def __init__(self, reporter: Reporter) -> None:
        self.detail = reporter.detail  # type: ignore[method-assign]
        self.warning = reporter.warning  # type: ignore[method-assign]
        self.progress = reporter.progress  # type: ignore[method-assign]


SILENT = Reporter()


CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` for a terminal: control characters, which may do anything there, as their codes."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 gene``, ``2,000 genes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
