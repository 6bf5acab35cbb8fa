"""A signal ends a run in one line, wherever it arrives, and says how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from running import restored

from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import Tool, tool

STOPS = {signal.SIGTERM: "terminated", signal.SIGHUP: "stopped", signal.SIGINT: "interrupted"}


def waiting(number: int, resumes: str = "") -> Tool:
    """A tool that a signal reaches while Python cannot raise anything."""

    @tool("wait", examples=[], resumes=resumes)
    def main(run: ToolRun) -> None:
        class Something:
            pass

        one = Something()
        reference = weakref.ref(one, lambda _: os.kill(os.getpid(), number))
        del one
        for _ in range(200):
            time.sleep(0.05)
        click.echo(f"not stopped {reference}")

    return main


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("resumes", ["", "the last block"])
def test_a_signal_in_a_callback_of_a_weak_reference(number: int, resumes: str) -> None:
    start = time.monotonic()
    with restored(None, os.environ):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        result = CliRunner().invoke(waiting(number, resumes), [], prog_name="wait")
    assert result.exit_code == 128 + number and time.monotonic() - start < 5
    told = result.stderr
    assert told.startswith(f"wait: error: {STOPS[signal.Signals(number)]}")
    assert told.count("\n") == 1
    assert told.endswith(f"goes on from {resumes}.\n" if resumes else "starts over.\n")


def test_signals_that_are_ignored_stay_so() -> None:
    """As under nohup."""
    with restored(None, os.environ):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        main = waiting(signal.SIGTERM)
        CliRunner().invoke(main, [], prog_name="wait")
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


STARTING = """
import sys
sys.argv[0] = {name!r}
import screader_tools, os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(5)
"""


@pytest.mark.parametrize(("name", "quiet"), [("predict", True), ("screader-plot", True),
                                             ("pytest", False)])  # fmt: skip
def test_control_c_while_a_program_starts(tmp_path: Path, name: str, quiet: bool) -> None:
    code = STARTING.format(name=str(tmp_path / name))
    words = [sys.executable, "-c", code]
    ready = subprocess.run(
        words, capture_output=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (ready.returncode == 130) == quiet
    assert (ready.stderr == b"") == quiet
