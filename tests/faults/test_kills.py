"""A kill at any moment leaves the old output or the new one, never a broken file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from running import command, environment
from small_files import call, succeed, write_embeddings, write_expression

from screader_lib.exchange.writing import replacing


def words(folder: Path) -> list[object]:
    return [
        folder / "x.h5ad", "-e", folder / "e.h5ad", "--label", "cell_type", "-o", folder / "c.h5ad"
    ]  # fmt: skip


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    write_expression(tmp_path / "x.h5ad", cells=900)
    write_embeddings(tmp_path / "e.h5ad")
    return tmp_path


def start(folder: Path) -> subprocess.Popen:
    line = command("build-cells", *words(folder))
    return subprocess.Popen(line, env=environment(folder), stderr=subprocess.DEVNULL)


def usual_seconds(folder: Path) -> float:
    begun = time.monotonic()
    assert start(folder).wait() == 0
    return time.monotonic() - begun


@pytest.mark.parametrize("existing", [False, True], ids=["no output before", "output before"])
def test_kill_9(ready: Path, existing: bool) -> None:
    whole = usual_seconds(ready)
    output = ready / "c.h5ad"
    new, old = output.read_bytes(), b"old"
    for share in (0.2, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05):
        output.unlink(missing_ok=True)
        if existing:
            output.write_bytes(old)
        process = start(ready)
        time.sleep(share * whole)
        process.kill()
        process.wait()
        allowed = {old if existing else None, new}
        assert (output.read_bytes() if output.exists() else None) in allowed
    succeed("build-cells", *words(ready))
    assert output.read_bytes() == new
    assert not list(ready.glob(".*.partial"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_signals_leave_nothing(ready: Path, number: signal.Signals) -> None:
    seconds = usual_seconds(ready)
    output = ready / "c.h5ad"
    new = output.read_bytes()
    output.unlink()
    seen = set()
    for share in (0.4, 0.6, 0.8):
        process = start(ready)
        time.sleep(share * seconds)
        process.send_signal(number)
        seen.add(process.wait())
        assert not output.exists() or output.read_bytes() == new
        assert not list(ready.glob(".*.partial"))
        output.unlink(missing_ok=True)
    # before the tool is set up, Python's own handling answers
    assert seen <= {0, 1, 130, 143, -number}


def test_leftovers_of_the_living_stay(tmp_path: Path) -> None:
    target = tmp_path / "out.h5ad"
    with replacing(target) as first:
        first.write_text("first")
        with replacing(target) as second:
            second.write_text("second")
            assert first.exists()
    assert target.read_text() == "first"


def test_mode_follows_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "out") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_full_disk(ready: Path) -> None:
    line = ["bash", "-c", 'ulimit -f 8; exec "$@"', "-", *command("build-cells", *words(ready))]
    done = subprocess.run(
        line, capture_output=True, text=True, env=environment(ready), check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "build-cells: error: writing failed: File too large."
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in ready.glob("[!c]*.h5ad")) == ["e.h5ad", "x.h5ad"]
    assert not (ready / "c.h5ad").exists() and not list(ready.glob(".*.partial"))


def test_full_standard_output(ready: Path) -> None:
    line = command("build-cells", *words(ready)[:-2])
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            line, stdout=full, stderr=subprocess.PIPE, env=environment(ready), check=False
        )
    assert done.returncode == 1
    assert done.stderr.count(b"error:") == 1 and b"Traceback" not in done.stderr


def test_usage_errors_are_status_2(ready: Path) -> None:
    assert call("build-cells").exit_code == 2
    same = [ready / "x.h5ad", "-e", ready / "e.h5ad", "-o", ready / "x.h5ad"]
    assert call("build-cells", *same).exit_code == 2
    assert call("build-cells", "-", "-e", "-", "-o", ready / "y").exit_code == 2
    assert call("build-cells", ready / "x.h5ad", "--weight", "heavy").exit_code == 2
