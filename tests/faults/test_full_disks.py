"""Where there is no room, one line says so and nothing is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running import command, environment
from small_files import write_cells

LINES = {
    "fetch-descriptions": ["--genes", "counts-0.h5ad"],
    "build-cells": ["counts-0.h5ad", "-e", "embeddings.h5ad", "--label", "cell_type"],
    "screader": ["validate", "cells.h5ad"],
}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ready")
    write_cells(folder)
    return folder


def fail(folder: Path, line: list[str], **settings: object) -> str:
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
    assert fail(ready, limited).startswith("build-cells: error: ")
    assert (ready / "output").read_bytes() == b"old"


@pytest.mark.parametrize("tool", LINES)
def test_a_full_disk_behind_standard_output(ready: Path, tool: str) -> None:
    with Path("/dev/full").open("wb") as full:
        told = fail(ready, command(tool, *LINES[tool]), stdout=full)
    assert told.endswith(": error: No space left on device.")
