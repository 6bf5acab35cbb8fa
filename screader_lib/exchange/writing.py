"""Write a file next to its target, check it, then move it into place in one step.

Whatever happens before that last step, the target is unchanged.
"""

from __future__ import annotations

import fcntl
import glob
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import h5py

from screader_lib import launch
from screader_lib.errors import ScReaderError, failed_write
from screader_lib.exchange import provenance as provenance_module
from screader_lib.exchange import validation
from screader_lib.exchange.provenance import LaterProvenance
from screader_lib.exchange.schema import ROOT_KIND, ROOT_VERSION, load

STANDARD = "-"
MAX_STEM = 170  # bytes of a file name, which may have 255
MAX_HOST = 40
HOST = re.sub(r"[^\w]", "_", platform.node())[:MAX_HOST] or "host"
MAKER = re.compile(r"\.(?P<host>\w+)-(?P<process>\d+)-\w+\.partial")
ABANDONED = 7 * 24 * 3600  # seconds after which a file of another machine is a leftover
METADATA_CACHE = 8 << 20  # bytes
_UNCLOSED: list[h5py.File] = []  # after a failed write, their destructors crash


@contextmanager
def replacing(destination: str | Path) -> Iterator[Path]:
    """A path to write to, which becomes ``destination`` on success and is removed on failure.

    For standard output (``-``), a device or a named pipe, the content is copied there at the end.
    A symbolic link is kept and its target replaced. Leftovers of killed runs with the same
    destination are removed.
    """
    target = Path(destination)
    if str(destination) == STANDARD:
        with temporary_file("standard-output") as temporary:
            yield temporary
            _copy(temporary, sys.stdout.buffer)
    elif target.is_dir():
        raise ScReaderError("is a folder, expected a file name.", file=target)
    elif target.exists() and not target.is_file():
        with temporary_file("device") as temporary:
            yield temporary
            with target.open("wb") as stream:
                _copy(temporary, stream)
    else:
        target = target.resolve() if target.is_symlink() else target
        with temporary_file(target.name, target.parent) as temporary:
            yield temporary
            _put_in_place(temporary, target)


@contextmanager
def temporary_file(stem: str, folder: Path | None = None) -> Iterator[Path]:
    """A new file that is removed at the end, in ``folder`` or the system's temporary folder.

    Files that killed runs left under the same stem are removed first; those of other machines,
    whose locks may not be seen here, only when they are a week old.
    """
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    stem = os.fsdecode(os.fsencode(stem)[:MAX_STEM])
    _remove_leftovers(folder, stem)
    handle, path = _create_locked(folder, stem)
    try:
        yield path
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)


def _create_locked(folder: Path, stem: str) -> tuple[int, Path]:
    """A new file, locked for as long as this process lives."""
    while True:
        try:
            prefix = f".{stem}.{HOST}-{os.getpid()}-"
            handle, name = tempfile.mkstemp(".partial", prefix, folder)
        except OSError as error:
            raise ScReaderError(f"cannot be written to: {error.strerror}.", file=folder) from None
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if Path(name).exists():  # another run may have removed it before it was locked
            return handle, Path(name)
        os.close(handle)


def _remove_leftovers(folder: Path, stem: str) -> None:
    """Remove temporary files of this stem that no living process has."""
    if not folder.is_dir():
        raise ScReaderError("no such folder.", file=folder, remedy="Create it first.")
    for leftover in folder.glob(f".{glob.escape(stem)}.*.partial"):
        with suppress(OSError):
            if not _is_abandoned(leftover):
                continue
            handle = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(handle)


def _is_abandoned(leftover: Path) -> bool:
    """Whether its process is known to be gone, or it is old.

    Locks do not tell on file systems where each machine sees its own alone, such as some of Lustre.
    """
    maker = MAKER.search(leftover.name)
    if maker and maker["host"] == HOST and not _is_running(int(maker["process"])):
        return True
    return time.time() - leftover.lstat().st_mtime > ABANDONED


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return process != os.getpid()


def _copy(temporary: Path, stream: BinaryIO) -> None:
    with temporary.open("rb") as source:
        shutil.copyfileobj(source, stream, 1 << 20)
    stream.flush()


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename, with the permissions that ``target`` has, or else those of any new file."""
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~mask)
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def create(kind: str, destination: str | Path, provenance: LaterProvenance) -> Iterator[h5py.File]:
    """An HDF5 file of ``kind`` to fill, which is checked against its schema and moved into place.

    Root attributes and provenance are written here, the rest by the caller. Where a function gives
    the ``provenance``, it is called once all else is written: inputs may be hashed until then. In
    worker processes the file is temporary: the first process writes the real one.
    """
    if launch.is_worker():
        with temporary_file("worker") as temporary, new_file(temporary) as file:
            yield file
        return
    schema = load(kind)
    with replacing(destination) as temporary:
        with new_file(temporary) as file:
            file.attrs[ROOT_KIND] = schema.name
            file.attrs[ROOT_VERSION] = schema.version
            yield file
            made = provenance() if callable(provenance) else provenance
            provenance_module.write(file, made)
            problems = validation.problems(file, schema)
            if problems:
                raise ScReaderError(f"the new {kind} file violates its schema: {problems[0]}.")
        _check_reopens(temporary, kind)


@contextmanager
def new_file(path: Path, mode: str = "w") -> Iterator[h5py.File]:
    """A new HDF5 file to fill, or with mode ``r+`` a copy to add to.

    It is left open after a failed write, as closing it crashes HDF5.
    """
    file = h5py.File(path, mode, locking=False)
    _hold_back_little(file)
    try:
        yield file
        file.flush()
    except BaseException as error:
        if failed_write(error):
            _UNCLOSED.append(file)
        else:
            file.close()
        raise
    file.close()


def _hold_back_little(file: h5py.File) -> None:
    """Keep HDF5 from writing metadata in the midst of other work, where a full disk crashes it.

    Its cache has room for what is sent to the disk now and then (``encoding.fill_strings``).
    """
    config = file.id.get_mdc_config()
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = METADATA_CACHE
    config.min_clean_fraction = 0.3
    file.id.set_mdc_config(config)


def _check_reopens(path: Path, kind: str) -> None:
    """On a full disk, a failed write may show only when the file is read again."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            complete = file.attrs.get(ROOT_KIND) == kind
    except OSError:
        complete = False
    if not complete:
        raise ScReaderError("the file was not written completely.", remedy="Is the disk full?")
