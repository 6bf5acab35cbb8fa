"""A short attack on all tools by damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacked_files import commands, write_all
from attacking import attack, attacked
from bombs import BOMBS, lines_of

RUNS = 66


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("files"))


def test_damaged_files_are_refused_in_one_line_or_read(files: Path, tmp_path: Path) -> None:
    """No signal, no traceback, neither memory nor time taken, and nothing lost or left behind."""
    ends = list(attack(commands(files), tmp_path, seed=5, count=RUNS))
    findings = [
        f"{name} [{what}]: {outcome.findings} {outcome.told[-300:]}"
        for name, what, outcome in ends
        if outcome.findings
    ]
    assert not findings, "\n".join(findings)
    assert sum(outcome.status == 1 for *_, outcome in ends) > RUNS // 3


QUICK = (
    "gzip chunk of zarr",
    "short names",
    "features of one line",
    "matrix",
    "huge chunk",
    "many attributes",
)


@pytest.mark.parametrize("name", QUICK)
def test_small_files_take_neither_memory_nor_time(files: Path, tmp_path: Path, name: str) -> None:
    """Those that are quick to make."""
    write, source, target = BOMBS[name]
    write(tmp_path / target, files / source)
    words = lines_of(name, source, commands(files))[0]
    outcome = attacked([word.replace("BAD", target) for word in words], tmp_path)
    assert outcome.status == 1 and not outcome.findings, outcome
