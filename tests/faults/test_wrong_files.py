"""Each tool, handed what it cannot use: one line, status 1, no output, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from running import command, environment
from small_files import ONE_READER, fail, succeed, write_cells

Fault = Callable[[Path, Path], object]


FAULTS: dict[str, Fault] = {
    "folder": lambda bad, other: bad.mkdir(),
    "missing": lambda bad, other: None,
    "empty": lambda bad, other: bad.touch(),
    "text": lambda bad, other: bad.write_text("one\ttwo\n\x00\x01"),
    "truncated": lambda bad, other: bad.write_bytes(other.read_bytes()[:-4000]),
    "wrong kind": lambda bad, other: bad.write_bytes(other.read_bytes()),
}
LINES = {
    "fetch-descriptions": "fetch-descriptions --genes BAD",
    "embed-genes": "embed-genes BAD",
    "build-cells": "build-cells BAD -e embeddings.h5ad",
    "build-cells embeddings": "build-cells counts-0.h5ad -e BAD",
    "build-cells like": "build-cells counts-0.h5ad -e embeddings.h5ad --like BAD",
    "build-cells list": "build-cells counts-0.h5ad -e embeddings.h5ad --cells BAD",
    "train-reader": "train-reader BAD --method majority",
    "predict": "predict BAD -r reader.h5",
    "predict reader": "predict cells.h5ad -r BAD",
    "plot": "plot confusion BAD --format png",
}
FINE = {("fetch-descriptions", "text"), ("fetch-descriptions", "wrong kind")}  # they name genes
CASES = [(line, fault) for line in LINES for fault in FAULTS if (line, fault) not in FINE]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound files that the tools may be given beside the bad one."""
    folder = tmp_path_factory.mktemp("ready")
    write_cells(folder)
    succeed(
        "train-reader",
        folder / "cells.h5ad",
        "--method",
        "majority",
        *ONE_READER,
        "-o",
        folder / "reader.h5",
    )
    return folder


def fault_of(line: str, ready: Path) -> Path:
    """A sound file that is none of the kinds the bad place takes."""
    other = "embeddings.h5ad" if "BAD -r" in line or "train" in line else "cells.h5ad"
    return ready / ("embeddings.h5ad" if "--like" in line else other)


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_input(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = LINES[name]
    old = None if fault in ("empty", "truncated") else b"old"
    bad, output = tmp_path / "bad", tmp_path / "output"
    FAULTS[fault](bad, fault_of(line, ready))
    if old is not None:
        output.write_bytes(old)
    before = sorted(path.name for path in tmp_path.iterdir())
    tool, *words = [str(ready / word) if "." in word else word for word in line.split()]
    told = fail(tool, *[word.replace("BAD", "bad") for word in words], "-o", output)
    assert "bad" in told and len(told) < 500 and "unexpected" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert old is None or output.read_bytes() == old


def without_privileges(line: list[str]) -> list[str]:
    """The line as a process that permissions bind; root is bound without two capabilities."""
    if os.geteuid():
        return line
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may do all, and there is no setpriv")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *line]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["bad", "-o", "out"], "bad: cannot be read", id="input"),
        pytest.param(["cells.h5ad", "-o", "closed/out"], "closed: cannot be written", id="folder"),
    ],
)
def test_permissions(ready: Path, tmp_path: Path, words: list[str], told: str) -> None:
    (tmp_path / "cells.h5ad").write_bytes((ready / "cells.h5ad").read_bytes())
    (tmp_path / "bad").touch(0o200)
    (tmp_path / "closed").mkdir(0o500)
    line = without_privileges(command("train-reader", *words, "--method", "majority"))
    done = subprocess.run(
        line, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.decode().startswith(f"train-reader: error: {told}")
    assert done.stderr.count(b"\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "cells.h5ad", "closed"]
