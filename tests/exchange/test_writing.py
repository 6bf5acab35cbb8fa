"""A file comes into place whole or not at all, and nothing else is left or lost."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from copy import copy
from pathlib import Path

import made_files
import pytest

from screader_lib.errors import ScReaderError
from screader_lib.exchange import writing
from screader_lib.exchange.writing import ABANDONED, HOST, replacing


def put(target: Path, text: str = "new") -> None:
    with replacing(target) as temporary:
        temporary.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


NO_PROCESS = 2**22 + 9  # more than Linux counts to


def leave(folder: Path, stem: str, host: str = HOST, process: int = NO_PROCESS) -> Path:
    """What a killed run leaves."""
    path = folder / f".{stem}.{host}-{process}-abcdefgh.partial"
    path.write_text("left")
    return path


@pytest.mark.parametrize(
    "name", ["x.h5ad", ".x", "a b", "[x]*?", "-x", "n" * 255, "ü" * 127, "x.partial"]
)
def test_any_name(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)
    put(tmp_path / name, "newer")
    assert (tmp_path / name).read_text() == "newer"
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("existing", [["x"], []], ids=["old", "none"])
def test_a_failure_changes_nothing(
    tmp_path: Path, raised: type[BaseException], existing: list[str]
) -> None:
    for name in existing:
        (tmp_path / name).write_text("old")
    with pytest.raises(raised), replacing(tmp_path / "x") as temporary:
        temporary.write_text("new")
        raise raised("now")
    assert names(tmp_path) == existing
    assert all((tmp_path / name).read_text() == "old" for name in existing)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "x").write_text("old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output"):
        put(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "old" and names(tmp_path) == ["x"]


def test_a_file_that_violates_its_schema_is_discarded(tmp_path: Path) -> None:
    made_files.write("cells", tmp_path / "x")
    before = (tmp_path / "x").read_bytes()
    refused = pytest.raises(ScReaderError, match="violates its schema: /: attribute")
    with refused, writing.create("cells", tmp_path / "x", made_files.PROVENANCE):
        pass
    assert (tmp_path / "x").read_bytes() == before and names(tmp_path) == ["x"]


def test_a_file_that_cannot_be_read_again_is_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = writing._check_reopens

    def cut(path: Path, kind: str) -> None:
        os.truncate(path, 100)
        check(path, kind)

    monkeypatch.setattr(writing, "_check_reopens", cut)
    with pytest.raises(ScReaderError, match="was not written completely"):
        made_files.write("cells", tmp_path / "x", copy(made_files.PROVENANCE))  # not a cached one
    assert names(tmp_path) == []


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=oct)
def test_mode_follows_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        put(tmp_path / "x")
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(("target", "other"), [("x", "y"), ("[xy]", "x")])
def test_leftovers_of_killed_runs_are_removed(tmp_path: Path, target: str, other: str) -> None:
    own, foreign = leave(tmp_path, target), leave(tmp_path, other)
    put(tmp_path / target)
    assert not own.exists() and foreign.exists()


def test_files_of_other_machines_stay_for_a_week(tmp_path: Path) -> None:
    """Their locks are not seen on every file system, nor is it known whether they run."""
    young, old = leave(tmp_path, "x", "elsewhere"), leave(tmp_path, "x", "far_away")
    unknown = tmp_path / ".x.abcdefgh.partial"
    unknown.touch()
    os.utime(old, (0, time.time() - ABANDONED - 60))
    put(tmp_path / "x")
    assert young.exists() and unknown.exists() and not old.exists()


def test_files_of_running_processes_stay_without_a_lock(tmp_path: Path) -> None:
    theirs = leave(tmp_path, "x", process=os.getppid())
    put(tmp_path / "x")
    assert theirs.exists()


def test_a_link_that_looks_like_a_leftover_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / f".x.{HOST}-{NO_PROCESS}-abcdefgh.partial").symlink_to(tmp_path / "precious")
    put(tmp_path / "x")
    assert (tmp_path / "precious").read_text() == "old"


def test_files_of_living_processes_stay(tmp_path: Path) -> None:
    code = (
        "import sys; from screader_lib.exchange.writing import replacing\n"
        "with replacing(sys.argv[1]) as path:\n"
        "    path.write_text('theirs'); print(path, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "x"], text=True, **pipes)
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    put(tmp_path / "x", "ours")
    assert theirs.exists() and (tmp_path / "x").read_text() == "ours"
    other.kill()
    other.communicate()
    put(tmp_path / "x", "ours")
    assert not theirs.exists()


def test_a_file_removed_as_a_leftover_before_it_was_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, rivals = fcntl.flock, [True]

    def late(handle: int, how: int) -> None:
        if rivals:
            rivals.pop()
            next(tmp_path.glob(".x.*.partial")).unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    put(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "new" and names(tmp_path) == ["x"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "x")
    for text in ("first", "second"):
        put(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "x").read_text() == text
    assert names(tmp_path) == ["link", "real"] and names(tmp_path / "real") == ["x"]


def test_a_named_pipe_gets_the_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content: list[str] = []
    reader = threading.Thread(target=lambda: content.append((tmp_path / "pipe").read_text()))
    reader.start()
    put(tmp_path / "pipe", "n" * 100_000)
    reader.join()
    assert content == ["n" * 100_000] and (tmp_path / "pipe").is_fifo()


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """Copies of /dev/null (3) and /dev/full (7): a mistake must not replace the real ones."""
    null, full = tmp_path / "null", tmp_path / "full"
    try:
        for path, minor in ((null, 3), (full, 7)):
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            path.open("wb").close()
    except OSError:
        pytest.skip("may not make devices")
    put(null)
    with pytest.raises(OSError, match="No space left"):
        put(full)
    assert null.is_char_device() and full.is_char_device() and names(tmp_path) == ["full", "null"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (".", "is a folder"),
        ("nowhere/x", "no such folder"),
        ("file/x", "no such folder"),
        ("/proc/x", "cannot be written to"),
    ],
)
def test_impossible_targets(tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(ScReaderError, match=message):
        put(tmp_path / target)
    assert names(tmp_path) == ["file"]
