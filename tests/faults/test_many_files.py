"""More inputs than the files that a process may usually have open."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import h5py
from killing import Point, run_until
from small_files import call, write_expression


def test_many_inputs(tmp_path: Path, cells: Path) -> None:
    embeddings = cells.parent / "embeddings.h5ad"
    inputs = [write_expression(tmp_path / f"{number}.h5ad", number, 6) for number in range(30)]

    def run() -> int:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
        return call("build-cells", *inputs, "-e", embeddings, "-o", tmp_path / "c").exit_code

    assert run_until(Point(os, "abort"), signal.SIGKILL, run) == 0
    with h5py.File(tmp_path / "c") as file:
        assert len(file["obs/id"]) == 180
