"""Each tool, handed what it cannot use: one line, status 1, no output, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from running import command, environment
from small_files import fail, succeed, write_cells, write_embeddings, write_expression

Fault = Callable[[Path, Path], None]


def folder(path: Path, other: Path) -> None:
    path.mkdir()


def missing(path: Path, other: Path) -> None:
    pass


def empty(path: Path, other: Path) -> None:
    path.touch()


def text(path: Path, other: Path) -> None:
    path.write_text("one\ttwo\n\x00\x01")


def truncated(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes()[:-4000])


def wrong_kind(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def shortened(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes()[:900])


FAULTS = [folder, missing, empty, text, truncated, shortened, wrong_kind]

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
FINE = {("fetch-descriptions", "text"), ("fetch-descriptions", "wrong_kind")}  # they name genes
CASES = [
    pytest.param(line, fault, id=f"{name}-{fault.__name__}")
    for name, line in LINES.items()
    for fault in FAULTS
    if (name, fault.__name__) not in FINE
]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound files that the tools may be given beside the bad one."""
    folder = tmp_path_factory.mktemp("ready")
    write_cells(folder)
    succeed(
        "train-reader", folder / "cells.h5ad", "--method", "majority", "-o", folder / "reader.h5"
    )
    return folder


def fault_of(line: str, ready: Path) -> Path:
    """A sound file that is none of the kinds the bad place takes."""
    other = "embeddings.h5ad" if "BAD -r" in line or "train" in line else "cells.h5ad"
    return ready / ("embeddings.h5ad" if "--like" in line else other)


@pytest.mark.parametrize(("line", "fault"), CASES)
def test_input(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, fault: Fault
) -> None:
    monkeypatch.chdir(tmp_path)
    old = None if fault in (empty, truncated) else b"old"
    bad, output = tmp_path / "bad", tmp_path / "output"
    fault(bad, fault_of(line, ready))
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


@pytest.mark.parametrize(
    ("output", "told"),
    [
        pytest.param("nowhere/out.h5ad", "no such folder", id="missing folder"),
        pytest.param(".", "is a folder", id="folder"),
        pytest.param("file/out.h5ad", "file", id="below a file"),
        pytest.param("/proc/out.h5ad", "/proc", id="the kernel's"),
    ],
)
def test_output(tmp_path: Path, output: str, told: str) -> None:
    source = write_expression(tmp_path / "x.h5ad")
    write_embeddings(tmp_path / "e.h5ad")
    (tmp_path / "file").touch()
    line = fail("build-cells", source, "-e", tmp_path / "e.h5ad", "-o", tmp_path / output)
    assert told in line


def test_wrong_kinds_are_named(tmp_path: Path) -> None:
    built = write_cells(tmp_path)
    line = fail("embed-genes", built, "-o", tmp_path / "out")
    assert "is a cells file, expected descriptions (from fetch-descriptions)" in line
