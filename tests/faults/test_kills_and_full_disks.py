"""A kill or a full disk leaves the old output or the new one, never a broken file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from killing import Point, partials, run_until
from running import command, environment
from small_files import ONE_READER, call, succeed, write_cells
from torch import nn

from screader_lib.errors import failed_write
from screader_lib.exchange import encoding
from screader_lib.exchange.table import strings
from screader_lib.exchange.writing import new_file, replacing, temporary_file
from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint, TrainingState
from screader_lib.reader.prediction.prediction_checkpoint import ARRAYS, PredictionCheckpoint
from screader_lib.reader.prediction.predictions import PredictionBlock

POINTS = {
    "temporary file": Point(tempfile, "mkstemp"),
    "first dataset": Point(h5py.Group, "create_dataset"),
    "ninth dataset": Point(h5py.Group, "create_dataset", 9),
    "flush": Point(os, "fsync"),
    "rename": Point(os, "replace"),
    "after the rename": Point(os, "fsync", 2, done=True),
}
LINES = {
    "fetch-descriptions": ["--genes", "genes.txt"],
    "build-cells": ["counts-0.h5ad", "-e", "embeddings.h5ad", "--label", "cell_type"],
    "train-reader": ["cells.h5ad", "--method", "majority", *ONE_READER],
}
KILLS = [
    ("build-cells", "flush", b"old"),
    ("build-cells", "rename", b"old"),
    ("build-cells", "after the rename", b"old"),
    *((tool, "ninth dataset", None) for tool in LINES),
]
SIGNALS = [
    (signal.SIGTERM, "rename"),
    (signal.SIGTERM, "temporary file"),
    (signal.SIGINT, "after the rename"),
    (signal.SIGHUP, "first dataset"),
]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of all tools, and every tool's output as NAME.new."""
    folder = tmp_path_factory.mktemp("ready")
    write_cells(folder)
    (folder / "genes.txt").write_text("INS\nGCG\nSST\nPPY\nTTR\n")
    before = Path.cwd()
    os.chdir(folder)
    for tool, words in LINES.items():
        succeed(tool, *words, "-o", f"{tool}.new")
    os.chdir(before)
    return folder


def running(tool: str, words: list[str]) -> Callable[[], int]:
    """Runs the tool and returns its exit status."""
    return lambda: call(tool, *words).exit_code


@pytest.mark.parametrize(("tool", "point", "old"), KILLS)
def test_kill_9(
    ready: Path, monkeypatch: pytest.MonkeyPatch, tool: str, point: str, old: bytes | None
) -> None:
    monkeypatch.chdir(ready)
    output = ready / "output"
    output.unlink(missing_ok=True)
    if old is not None:
        output.write_bytes(old)
    words = [*LINES[tool], "-o", "output"]
    assert run_until(POINTS[point], signal.SIGKILL, running(tool, words)) == -signal.SIGKILL
    wanted = (ready / f"{tool}.new").read_bytes() if POINTS[point].done else old
    assert (output.read_bytes() if output.exists() else None) == wanted
    with temporary_file("output", ready):
        assert len(partials(ready)) == 1  # its own; what was killed is gone


@pytest.mark.parametrize(
    ("number", "point"), SIGNALS, ids=[f"{number.name} at {point}" for number, point in SIGNALS]
)
def test_signals_leave_nothing(
    ready: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, point: str
) -> None:
    monkeypatch.chdir(ready)
    (ready / "output").write_bytes(b"old")
    words = [*LINES["build-cells"], "-o", "output"]
    status = run_until(POINTS[point], number, running("build-cells", words))
    assert status == 128 + number
    wanted = (ready / "build-cells.new").read_bytes() if POINTS[point].done else b"old"
    assert (ready / "output").read_bytes() == wanted
    if point != "temporary file":  # between its making and its use, the next run removes it
        assert partials(ready) == []


def test_what_a_killed_run_spooled_goes(ready: Path, tmp_path: Path) -> None:
    settings = {"stdin": subprocess.PIPE, "env": environment(tmp_path, TMPDIR=str(tmp_path))}
    line = command("screader", "info", "-")
    process = subprocess.Popen(line, **settings)
    assert process.stdin is not None
    process.stdin.write((ready / "cells.h5ad").read_bytes())
    process.stdin.flush()
    while not partials(tmp_path):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert len(partials(tmp_path)) == 1
    del settings["stdin"]
    with (ready / "cells.h5ad").open("rb") as stream:
        assert subprocess.run(line, stdin=stream, check=False, **settings).returncode == 0
    assert partials(tmp_path) == []


def fail_in_process(folder: Path, line: list[str], **settings: object) -> str:
    before = sorted(path.name for path in folder.iterdir())
    done = subprocess.run(
        line, cwd=folder, env=environment(folder), stderr=subprocess.PIPE, check=False, **settings
    )  # type: ignore[call-overload]
    told = done.stderr.decode()
    assert done.returncode == 1, (done.returncode, told)
    assert told.count("error:") == 1 and "Traceback" not in told and "Exception" not in told, told
    assert sorted(path.name for path in folder.iterdir()) == before
    return told.splitlines()[-1]


@pytest.mark.parametrize("blocks", [0, 4], ids="{} kB".format)
def test_a_file_that_grows_too_large(ready: Path, blocks: int) -> None:
    (ready / "output").write_bytes(b"old")
    line = command("build-cells", *LINES["build-cells"], "-o", "output")
    limited = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "-", *line]
    assert fail_in_process(ready, limited).startswith("build-cells: error: ")
    assert (ready / "output").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("fetch-descriptions", LINES["fetch-descriptions"]),
        ("build-cells", LINES["build-cells"]),
        ("screader", ["validate", "cells.h5ad"]),
    ],
)
def test_a_full_disk_behind_standard_output(ready: Path, tool: str, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        told = fail_in_process(ready, command(tool, *words), stdout=full)
    assert told.endswith(": error: No space left on device.")


def write_texts(path: Path) -> None:
    with replacing(path) as temporary, new_file(temporary) as file:
        for number in range(6):
            encoding.write_strings(file, f"s{number}", strings(f"{n} " * 60 for n in range(9_000)))
            encoding.write_array(file, f"a{number}", np.arange(4_000.0))


def save_training(path: Path) -> None:
    model = nn.Linear(200, 200)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(200)).sum().backward()
    optimiser.step()
    TrainingCheckpoint(path, "f" * 64).save(TrainingState(0), model, optimiser, last=True)


def save_block(path: Path) -> None:
    arrays = {name: np.random.default_rng(0).random((4_000, 9)) for name in ARRAYS}
    path.mkdir()
    PredictionCheckpoint(path).save(0, PredictionBlock(**arrays))


@pytest.mark.parametrize("write", [write_texts, save_training, save_block])
def test_a_disk_that_is_full_at_any_byte(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """Whatever is written, it is told, and nothing is left; HDF5 would crash the process."""
    write(tmp_path / "whole")
    whole = max(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    for share in (0.0001, 0.01, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.999, 1.5):
        status = run_until(
            Point(os, "abort"),
            signal.SIGKILL,
            limited(int(share * whole), write, tmp_path / f"{share}"),
        )
        assert status == (1 if share < 1 else 0), share
        files = [file for file in (tmp_path / f"{share}").rglob("*") if file.is_file()]
        assert partials(tmp_path) == [] and bool(files) == (share > 1 and write is save_block)


def limited(size: int, write: Callable[[Path], None], output: Path) -> Callable[[], int]:
    """Writes where no file may have more bytes; 1 where that is told."""

    def run() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            write(output)
        except Exception as error:
            return 1 if "File too large" in (failed_write(error) or str(error)) else 2
        return 0

    return run
