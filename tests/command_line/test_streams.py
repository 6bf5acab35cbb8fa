"""Standard input, output and error: piped, closed, named, missing."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from running import command, environment
from small_files import write_cells

BUILD = ["counts-0.h5ad", "-e", "embeddings.h5ad", "--label", "cell_type"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    write_cells(folder)
    return folder


def shell(folder: Path, script: str, *line: str, **settings: Any) -> subprocess.CompletedProcess:
    """Run a script of bash in which "$@" is the command line."""
    words = ["bash", "-o", "pipefail", "-c", script, "-", *line]
    given = {"stdin": subprocess.DEVNULL, "capture_output": True, **settings}
    return subprocess.run(
        words, cwd=folder, env=environment(folder), check=False, timeout=60, **given
    )


@pytest.fixture
def wanted(folder: Path) -> bytes:
    return (folder / "cells.h5ad").read_bytes()


SAME = {
    "a pipe": '"$@" | cat',
    "redirected": '"$@" > out; cat out',
    "a dash": '"$@" -o - | cat',
    "the terminal's name for it": '"$@" -o /dev/stdout | cat',
    "a named pipe": 'rm -f p; mkfifo p; cat p > out & "$@" -o p; wait; cat out',
    "standard error closed": '"$@" 2>&- | cat',
    "standard error into the pipe's end": '"$@" 2>/dev/null',
}


@pytest.mark.parametrize("script", SAME.values(), ids=SAME.keys())
def test_the_output_is_the_same_wherever_it_goes(folder: Path, wanted: bytes, script: str) -> None:
    done = shell(folder, script, *command("build-cells", *BUILD))
    assert done.returncode == 0, done.stderr
    assert done.stdout == wanted


INPUTS = {
    "a pipe": 'cat embeddings.h5ad | "$@"',
    "a dash": '"$@" -e - < embeddings.h5ad',
    "a process that writes": '"$@" -e <(cat embeddings.h5ad)',
    "the terminal's name for it": 'cat embeddings.h5ad | "$@" -e /dev/stdin',
}


@pytest.mark.parametrize("script", INPUTS.values(), ids=INPUTS.keys())
def test_the_input_is_the_same_wherever_it_comes_from(
    folder: Path, wanted: bytes, script: str
) -> None:
    line = command("build-cells", "counts-0.h5ad", "--label", "cell_type")
    done = shell(folder, script, *line)
    assert done.returncode == 0, done.stderr
    assert done.stdout == wanted


@pytest.mark.parametrize(
    ("script", "words", "told"),
    [
        pytest.param('"$@" >&-', BUILD, "no output", id="output closed"),
        pytest.param('"$@" <&-', ["counts-0.h5ad", "-o", "x"], "no input", id="input closed"),
        pytest.param('"$@"', ["-", "-e", "-", "-o", "x"], "only once", id="two dashes"),
        pytest.param('"$@"', ["-", "-o", "x"], "only once", id="a dash and none"),
        pytest.param('"$@"', [*BUILD, "-o", "./counts-0.h5ad"], "same file", id="output is input"),
        pytest.param('"$@"', [*BUILD, "-o", "link"], "same file", id="output links to input"),
        pytest.param(
            '"$@"', [*BUILD, "-o", "hard"], "same file", id="output is input's other name"
        ),
    ],
)
def test_wrong_usage(folder: Path, script: str, words: list[str], told: str) -> None:
    (folder / "link").unlink(missing_ok=True)
    (folder / "link").symlink_to("embeddings.h5ad")
    (folder / "hard").unlink(missing_ok=True)
    (folder / "hard").hardlink_to(folder / "counts-0.h5ad")
    before = sorted(path.name for path in folder.iterdir())
    done = shell(folder, script, *command("build-cells", *words))
    assert done.returncode == 2 and told in done.stderr.decode()
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-o", "x", "--unmatched", "./x"], "same file"),
        (["-o", "-", "--unmatched", "-"], "only one output"),
        (["--unmatched", "-"], "only one output"),
    ],
    ids=["one file", "two dashes", "a dash and none"],
)
def test_two_outputs_in_one_place(folder: Path, words: list[str], told: str) -> None:
    done = shell(folder, '"$@"', *command("fetch-descriptions", "--genes", "counts-0.h5ad", *words))
    assert done.returncode == 2 and told in done.stderr.decode()
    assert not (folder / "x").exists()


def test_both_outputs_or_none(folder: Path) -> None:
    line = command("fetch-descriptions", "--genes", "counts-0.h5ad", "-o", "x")
    done = shell(folder, '"$@"', *line, "--unmatched", "no/x.tsv")
    assert done.returncode == 1 and b"no such folder" in done.stderr
    assert not (folder / "x").exists()


def test_a_terminal_as_input(folder: Path) -> None:
    ours, theirs = pty.openpty()
    done = shell(folder, '"$@"', *command("train-reader", "-o", "x"), stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2 and b"no input" in done.stderr


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "<(:)"])
def test_an_empty_stream(folder: Path, name: str) -> None:
    done = shell(folder, f': | "$@" {name} -o x', *command("train-reader"))
    told = done.stderr.decode()
    assert done.returncode == 1 and told.count("\n") == 1
    assert "is empty. Did the previous tool fail?" in told
    assert not (folder / "x").exists()


def test_standard_error_closed_at_a_failure(folder: Path) -> None:
    done = shell(folder, '"$@" 2>&- | cat', *command("train-reader", "nothing"))
    assert (done.returncode, done.stdout) == (1, b"")


def test_the_reader_of_what_is_told_has_gone(folder: Path) -> None:
    line = command("screader", "info", *["cells.h5ad"] * 400)
    done = shell(folder, '"$@" | head -1', *line)
    assert done.stdout.startswith(b"cells.h5ad: ")
    assert done.stderr.count(b"\n") <= 1 and b"Traceback" not in done.stderr
