"""The click command that every executable is."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import click

from screader_lib import __version__, launch, offline
from screader_lib.command_line import signals
from screader_lib.command_line.group import CommandWithExamples
from screader_lib.command_line.progress import TerminalReporter
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.signals import Stopped
from screader_lib.errors import ScReaderError, failed_write
from screader_lib.reporting import Reporter, printable

EXIT_INTERRUPTED, EXIT_PIPE_CLOSED = 130, 141  # as a shell says of SIGINT and SIGPIPE
MAX_FILES = 65_536


class ToolFailure(click.ClickException):
    """One line on standard error, after the name by which the tool was called."""

    def __init__(self, context: click.Context, message: str, exit_code: int = 1) -> None:
        super().__init__(printable(message))
        self.command = context.command_path
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        process = ""
        if launch.is_worker():
            process = f" (process {launch.process_index() + 1} of {launch.process_count()})"
        if file or sys.stderr:
            with suppress(OSError):  # a terminal that was closed
                click.echo(
                    f"{self.command}{process}: error: {self.message}", file=file or sys.stderr
                )


class Tool(CommandWithExamples):
    """A command with examples, whose failures are one line and exit status 1.

    ``resumes`` says what a run that is stopped and started again goes on from, if anything.
    """

    def __init__(self, *args: Any, resumes: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.resumes = resumes
        self.params.extend(_common_options())

    def invoke(self, context: click.Context) -> Any:
        """Run the tool; every foreseeable failure becomes one line."""
        debug = context.params.pop("debug")
        verbosity = context.params.pop("verbose") - 2 * context.params.pop("quiet")
        reporter = (
            Reporter()
            if launch.is_worker()
            else TerminalReporter(context.command_path, max(-1, verbosity))
        )
        signals.install()
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        offline.set_library_variables()
        if not debug:
            sys.excepthook, sys.unraisablehook = lambda *_: None, signals.when_unraisable
        _allow_many_files()
        try:
            context.obj = ToolRun(self.name or "", context, reporter)
            with reporter.watched():
                return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            _discard_standard_output()
            if not any(param.name == "output" for param in self.params):
                raise click.exceptions.Exit(EXIT_PIPE_CLOSED) from None  # as of "… | head"
            message = "standard output was closed by the program reading it."
            raise ToolFailure(context, message) from None
        except KeyboardInterrupt:
            told = f"interrupted. {self._how_to_go_on()}"
            raise ToolFailure(context, told, EXIT_INTERRUPTED) from None
        except Stopped as stopped:
            told = f"{signals.WORDS[signal.Signals(stopped.number)]}. {self._how_to_go_on()}"
            raise ToolFailure(context, told, stopped.exit_code) from None
        except Exception as error:
            if debug:
                raise
            reason = failed_write(error)
            if reason:  # HDF5's own clean-up crashes after a failed write
                ToolFailure(context, f"writing failed: {reason}.").show()
                sys.stderr.flush()
                os._exit(1)
            raise ToolFailure(context, _one_line(error)) from error

    def _how_to_go_on(self) -> str:
        if self.resumes:
            return f"The same command goes on from {self.resumes}."
        return "The same command starts over."


def _one_line(error: Exception) -> str:
    if isinstance(error, ScReaderError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror}."
    if isinstance(error, MemoryError):
        return "not enough memory. Use smaller batches or a machine with more memory."
    if isinstance(error, ModuleNotFoundError):
        return f"the Python package {error.name!r} is missing. Install it with pip."
    message = " ".join(str(error).split()) or "no message"
    return f"unexpected {type(error).__name__}: {message} (--debug shows the traceback)."


def _allow_many_files() -> None:
    """As many open files as the system lets the user have: inputs may be hundreds."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _discard_standard_output() -> None:
    """Keep Python's flush at exit from failing a second time."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version(context: click.Context, option: click.Parameter, is_given: bool) -> None:
    if is_given and not context.resilient_parsing:
        click.echo(f"{context.command_path} {__version__}")
        context.exit()


def _common_options() -> list[click.Option]:
    return [
        click.Option(["-q", "--quiet"], is_flag=True, help="Print only warnings and errors."),
        click.Option(["-v", "--verbose"], is_flag=True, help="Print more details."),
        click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Show the version and exit.",
        ),
    ]


def tool(name: str, examples: Sequence[str], resumes: str = "") -> Callable[[Callable], Tool]:
    """Make a function a :class:`Tool`; its first argument is the :class:`ToolRun`."""

    def decorate(function: Callable) -> Tool:
        command = click.command(name, cls=Tool, examples=examples, resumes=resumes)
        return command(click.pass_obj(function))

    return decorate
