"""Messages, warnings and progress of the library as Python's users expect them."""

from __future__ import annotations

import re
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
    """Any ScReaderError with arguments in place of the command's options."""
    try:
        yield
    except ScReaderError as error:
        error.args = (in_python(str(error)),)
        raise


class PythonReporter(Reporter):
    """Lines and bars by rich, on a terminal or in a notebook, if ``verbose``; Python's warnings."""

    def __init__(self, verbose: bool) -> None:
        self.console = _console() if verbose else None

    def info(self, message: str) -> None:
        if self.console is not None:
            self.console.print(in_python(message), markup=False, highlight=False, soft_wrap=True)

    def warning(self, message: str) -> None:
        warnings.warn(in_python(message), UserWarning, stacklevel=2)

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        if self.console is None:
            yield lambda done: None
            return
        from rich.progress import Progress

        with Progress(console=self.console, transient=True) as bar:
            task = bar.add_task(description, total=total)
            yield lambda done: bar.advance(task, done)


def _console() -> Console | None:
    """Where messages go; None where nobody reads them."""
    from rich.console import Console

    console = Console(stderr=True)
    return console if console.is_terminal or console.is_jupyter else None
