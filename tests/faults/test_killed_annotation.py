"""A file annotated in place is, whatever happens, the old file or the new one."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from killing import Point, partials, run_until
from small_files import write_expression

from screader_lib.annotation import annotated_file, calls_table
from screader_lib.annotation.calls import Calls
from screader_lib.errors import failed_write
from screader_lib.exchange import chunks, provenance
from screader_lib.exchange.table import Categorical, LazyColumn, strings

CELLS = 90
CALLS = Calls(
    CELLS,
    {"screader_label": Categorical.of(["a", "b"] * 45), "screader_confidence": np.ones(CELLS)},
    {"X_screader": np.random.default_rng(0).standard_normal((CELLS, 300)).astype(np.float32)},
)
POINTS = {
    "columns set aside": Point(h5py.Group, "move"),
    "vectors": Point(chunks, "deflated"),
    "after the rename": Point(os, "fsync", 2, done=True),
}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the calls of an earlier run."""
    path = write_expression(tmp_path_factory.mktemp("old") / "cells.h5ad")
    assert annotate(path) == 0
    return path


@pytest.fixture(scope="module")
def new(old: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run that nothing disturbs makes of it."""
    path = tmp_path_factory.mktemp("new") / "cells.h5ad"
    shutil.copy(old, path)
    assert annotate(path) == 0
    assert "screader_label_previous" in anndata.read_h5ad(path).obs
    return path.read_bytes()


def annotate(path: Path) -> int:
    """Annotate in place; 0."""
    made_by = provenance.make("annotate", {}, {}, [])
    annotated_file.write_annotated(path, path, CALLS, made_by)
    return 0


@pytest.mark.parametrize(
    ("number", "point"),
    [
        (signal.SIGKILL, "columns set aside"),
        (signal.SIGKILL, "after the rename"),
        (signal.SIGINT, "vectors"),
    ],
)
def test_killed(old: Path, new: bytes, tmp_path: Path, number: signal.Signals, point: str) -> None:
    path = tmp_path / "cells.h5ad"
    shutil.copy(old, path)
    status = run_until(POINTS[point], number, lambda: annotate(path))
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 99)
    assert path.read_bytes() == (new if POINTS[point].done else old.read_bytes())
    annotate(path)
    assert partials(tmp_path) == []
    if not POINTS[point].done:
        assert path.read_bytes() == new


@pytest.mark.parametrize("spare", [-1000, 4096, 60_000])
def test_a_disk_that_is_full(old: Path, new: bytes, tmp_path: Path, spare: int) -> None:
    """The file may not grow beyond its size and so many bytes."""
    path = tmp_path / "cells.h5ad"
    shutil.copy(old, path)
    limit = path.stat().st_size + spare
    assert limit < len(new)

    def run() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            return annotate(path)
        except Exception as error:
            is_told = failed_write(error) == "File too large" or "File too large" in str(error)
            return 1 if is_told else 2

    assert run_until(Point(os, "abort"), signal.SIGKILL, run) == 1
    assert path.read_bytes() == old.read_bytes() and partials(tmp_path) == []


def test_the_permissions_of_the_file_stay(old: Path, tmp_path: Path) -> None:
    path, link = tmp_path / "cells.h5ad", tmp_path / "link.h5ad"
    shutil.copy(old, path)
    path.chmod(0o640)
    link.symlink_to(path.name)
    annotate(link)
    assert path.stat().st_mode & 0o777 == 0o640 and link.is_symlink()


@pytest.mark.parametrize("name", ["calls.csv", "calls.tsv.gz"])
def test_a_killed_table(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")

    def write() -> int:
        names = LazyColumn.of(strings(range(CELLS)))
        calls_table.write_calls(path, names, CALLS.columns())
        return 0

    point = Point(calls_table, "_texts", 2)
    assert run_until(point, signal.SIGKILL, write) == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write()
    assert path.read_bytes() != b"old" and partials(tmp_path) == []
