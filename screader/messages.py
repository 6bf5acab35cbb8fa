"""Messages, warnings and progress of the library as Python's users expect them."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from screader_lib.errors import ScReaderError
from screader_lib.reporting import Reporter

if TYPE_CHECKING:
    from rich.console import Console

OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
FLAGS = ("force",)


def in_python(text: str) -> str:
    """A message with arguments in place of the command's options."""

    def argument(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        return f"{name}=True" if name in FLAGS else name

    return OPTION.sub(argument, text)


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Any ScReaderError with arguments in place of the command's options.

    A file that is not there or cannot be read is one too.
    """
    try:
        yield
    except ScReaderError as error:
        error.args = (in_python(str(error)),)
        raise
    except OSError as error:
        if error.filename is None or not error.strerror:
            raise
        raise ScReaderError(f"{error.strerror}.", file=error.filename) from error


class PythonReporter(Reporter):
    """Lines on standard error, and bars on a terminal or in a notebook, if ``verbose``.

    Warnings are Python's, of the line by which the user called this package.
    """

    def __init__(self, verbose: bool) -> None:
        self.console = _console() if verbose else None

    def info(self, message: str) -> None:
        if self.console is not None:
            self.console.print(in_python(message), markup=False, highlight=False, soft_wrap=True)

    def warning(self, message: str) -> None:
        warnings.warn(in_python(message), UserWarning, stacklevel=_users_level())

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        if self.console is None or not (self.console.is_terminal or self.console.is_jupyter):
            yield lambda done: None
            return
        from rich.progress import Progress

        with Progress(console=self.console, transient=True) as bar:
            task = bar.add_task(description, total=total)
            yield lambda done: bar.advance(task, done)


def _console() -> Console:
    """Where messages go."""
    from rich.console import Console

    return Console(stderr=True)


def _users_level() -> int:
    """The stacklevel, for its caller, of the nearest frame that is not of scReader."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("screader"):
        frame, level = frame.f_back, level + 1
    return level
