"""A file comes into place whole or not at all, and nothing else is left or lost."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import made_files
import pytest

from screader_lib.errors import ScReaderError
from screader_lib.exchange import writing
from screader_lib.exchange.writing import replacing, temporary_file


def put(target: Path, text: str = "new") -> None:
    with replacing(target) as temporary:
        temporary.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def partials(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*.partial"))


@pytest.mark.parametrize(
    "name", ["x", "x.h5ad", ".x", "a b", "[x]*?", "ü", "-x", "n" * 255, "ü" * 127, "x.partial"]
)
def test_any_name(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)
    put(tmp_path / name, "newer")
    assert (tmp_path / name).read_text() == "newer"
    assert names(tmp_path) == [name]


@pytest.mark.parametrize(
    "raised", [ValueError, KeyboardInterrupt, SystemExit, ScReaderError, MemoryError]
)
@pytest.mark.parametrize("existing", [True, False], ids=["old", "none"])
def test_what_fails_changes_nothing(
    tmp_path: Path, raised: type[BaseException], existing: bool
) -> None:
    target = tmp_path / "x"
    if existing:
        target.write_text("old")
    with pytest.raises(raised), replacing(target) as temporary:
        temporary.write_text("new")
        raise raised("now")
    assert (target.read_text() if existing else target.exists()) == ("old" if existing else False)
    assert partials(tmp_path) == []


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
    assert (tmp_path / "x").read_text() == "old" and partials(tmp_path) == []


def test_a_file_that_came_out_wrong_is_not_kept(tmp_path: Path) -> None:
    made_files.write("cells", tmp_path / "x")
    before = (tmp_path / "x").read_bytes()
    told = pytest.raises(ScReaderError, match="violates its schema: /: attribute")
    with told, writing.create("cells", tmp_path / "x", made_files.PROVENANCE):
        pass
    assert (tmp_path / "x").read_bytes() == before and partials(tmp_path) == []


def test_a_file_that_cannot_be_read_again_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = writing._check_reopens

    def cut(path: Path, kind: str) -> None:
        os.truncate(path, 100)
        check(path, kind)

    monkeypatch.setattr(writing, "_check_reopens", cut)
    with pytest.raises(ScReaderError, match="was not written completely"):
        made_files.write("cells", tmp_path / "x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o027, 0o077], ids=oct)
def test_mode_follows_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        put(tmp_path / "x")
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


def leave(folder: Path, stem: str) -> Path:
    path = folder / f".{stem}.abcdefgh.partial"
    path.write_text("left")
    return path


@pytest.mark.parametrize(("target", "other"), [("x", "y"), ("[xy]", "x")])
def test_what_a_killed_run_left_goes(tmp_path: Path, target: str, other: str) -> None:
    own, foreign = leave(tmp_path, target), leave(tmp_path, other)
    put(tmp_path / target)
    assert not own.exists() and foreign.exists()


def test_a_link_that_looks_like_a_leftover_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / ".x.abcdefgh.partial").symlink_to(tmp_path / "precious")
    put(tmp_path / "x")
    assert (tmp_path / "precious").read_text() == "old"


def test_the_files_of_living_runs_stay(tmp_path: Path) -> None:
    with replacing(tmp_path / "x") as first:
        first.write_text("first")
        put(tmp_path / "x", "second")
        assert first.exists()
    assert (tmp_path / "x").read_text() == "first"


def test_the_files_of_living_processes_stay(tmp_path: Path) -> None:
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


def test_a_file_taken_for_a_leftover_before_it_was_locked(
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


def test_many_writers_at_once(tmp_path: Path) -> None:
    target = tmp_path / "x"
    writers = [
        threading.Thread(target=put, args=(target, str(number) * 1000)) for number in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(target.read_text())) == 1 and names(tmp_path) == ["x"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "x")
    for text in ("first", "second"):
        put(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "x").read_text() == text
    assert partials(tmp_path) == partials(tmp_path / "real") == []


def test_a_named_pipe_gets_the_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    put(tmp_path / "pipe", "n" * 100_000)
    reader.join()
    assert got == ["n" * 100_000] and (tmp_path / "pipe").is_fifo()


def device(folder: Path, minor: int) -> Path:
    """A copy of /dev/null (3) or /dev/full (7): a mistake must not replace the real one."""
    try:
        os.mknod(folder / "device", stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (folder / "device").open("wb").close()
    except OSError:
        pytest.skip("may not make devices")
    return folder / "device"


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    put(device(tmp_path, 3))
    assert (tmp_path / "device").is_char_device() and names(tmp_path) == ["device"]


def test_a_full_device(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        put(device(tmp_path, 7))
    assert (tmp_path / "device").is_char_device() and names(tmp_path) == ["device"]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        pytest.param(".", "is a folder", id="folder"),
        pytest.param("nowhere/x", "no such folder", id="missing folder"),
        pytest.param("file/x", "no such folder", id="below a file"),
    ],
)
def test_impossible_targets(tmp_path: Path, target: str, told: str) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(ScReaderError, match=told):
        put(tmp_path / target)
    assert names(tmp_path) == ["file"]


def test_a_temporary_file_vanishes(tmp_path: Path) -> None:
    left = leave(tmp_path, "spool")
    with temporary_file("spool", tmp_path) as path:
        assert path.exists() and not left.exists()
    assert names(tmp_path) == []


def test_a_temporary_file_may_be_removed_earlier(tmp_path: Path) -> None:
    with temporary_file("spool", tmp_path) as path:
        path.unlink()
    assert list(tmp_path.iterdir()) == []
