"""Without a terminal there is a line each minute, and no other."""

from __future__ import annotations

import re
import time

import pytest

from screader_lib.command_line import progress
from screader_lib.command_line.progress import TerminalReporter, Work, duration


@pytest.fixture(autouse=True)
def short_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "MINUTE", 0.1)


def test_how_far_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work("Embedding", 2_000, "genes", start=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: 220.0)
    assert str(work) == "Embedding: 0 of 2,000 genes, 2 min so far"
    work.advance(500)
    expected = "Embedding: 500 of 2,000 genes (25%), 4.17 genes per second, 6 min left"
    assert str(work) == expected
    assert str(Work("Downloading", 0, "bytes", 7, 100.0)) == "Downloading: 7 bytes, 2 min so far"


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "3 s"), (90, "2 min"), (3_599, "1 h 0 min"), (12_000, "3 h 20 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_line_for_each_minute_of_silence(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = TerminalReporter("tool")
    with reporter.watched():
        with reporter.progress("Predicting", 400, "cells") as advance:
            advance(100)
            time.sleep(0.35)
        time.sleep(0.25)
    lines = capsys.readouterr().err.splitlines()
    assert 4 <= len(lines) <= 6
    assert re.fullmatch(
        r"tool: Predicting: 100 of 400 cells \(25%\), [\d,.e+]+ cells per second, \d s left",
        lines[0],
    )
    assert lines[-1].startswith("tool: running for")
    time.sleep(0.2)
    assert not capsys.readouterr().err


def test_no_line_while_there_are_others_or_where_quiet_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = TerminalReporter("tool")
    with reporter.watched():
        for _ in range(8):
            reporter.info("news")
            time.sleep(0.04)
    assert set(capsys.readouterr().err.splitlines()) == {"tool: news"}
    quiet = TerminalReporter("quiet", -1)
    with quiet.watched(), quiet.progress("Predicting", 400, "cells"):
        time.sleep(0.3)
    assert not capsys.readouterr().err
