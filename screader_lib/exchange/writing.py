"""Write a file beside its target, check it, then put it in place in one step.

Whatever happens before the last step, the target is what it was.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import h5py

from screader_lib import launch
from screader_lib.errors import ScReaderError, failed_write
from screader_lib.exchange import provenance as provenance_module
from screader_lib.exchange import validation
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.schema import ROOT_KIND, ROOT_VERSION, load

STANDARD = "-"
_BROKEN: list[h5py.File] = []  # kept from their destructors
LONGEST_STEM = 200  # bytes; a name may have 255


@contextmanager
def replacing(destination: str | Path) -> Iterator[Path]:
    """A path to write to; on success its content becomes ``destination``, else it vanishes.

    ``-`` is standard output: the content is spooled to a temporary file and copied at the end,
    as it is for a device or a named pipe. A symbolic link stays, what it points to is replaced.
    Leftovers of killed runs with the same target are removed.
    """
    target = Path(destination)
    if str(destination) == STANDARD:
        with temporary_file("standard-output") as temporary:
            yield temporary
            _copy(temporary, sys.stdout.buffer)
    elif target.is_dir():
        raise ScReaderError("is a folder, wanted a file name.", file=target)
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
    """A new file that vanishes at the end, in the system's folder for such files unless given.

    What killed runs left under the same stem is removed first.
    """
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    stem = os.fsdecode(os.fsencode(stem)[:LONGEST_STEM])
    _remove_leftovers(folder, stem)
    handle, path = _make(folder, stem)
    try:
        yield path
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)


def _make(folder: Path, stem: str) -> tuple[int, Path]:
    """A new file, locked: in use for as long as this process lives."""
    while True:
        try:
            handle, name = tempfile.mkstemp(".partial", f".{stem}.", folder)
        except OSError as error:
            raise ScReaderError(f"cannot be written into: {error.strerror}.", file=folder) from None
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if Path(name).exists():  # else another run took it for a leftover before it was locked
            return handle, Path(name)
        os.close(handle)


def _remove_leftovers(folder: Path, stem: str) -> None:
    """Remove temporary files of this target whose process is gone (nobody holds the lock)."""
    if not folder.is_dir():
        raise ScReaderError("no such folder.", file=folder, remedy="Make it first.")
    for leftover in folder.glob(f".{_escaped(stem)}.*.partial"):
        with suppress(OSError):
            handle = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(handle)


def _escaped(stem: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in stem)


def _copy(temporary: Path, stream: BinaryIO) -> None:
    with temporary.open("rb") as source:
        shutil.copyfileobj(source, stream, 1 << 20)
    stream.flush()


def _put_in_place(temporary: Path, target: Path) -> None:
    _give_usual_mode(temporary)
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(folder)
    finally:
        os.close(folder)


def _give_usual_mode(path: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


@contextmanager
def create(kind: str, destination: str | Path, provenance: Provenance) -> Iterator[h5py.File]:
    """An HDF5 file of ``kind`` to fill; checked against its schema and put in place at the end.

    The root attributes and the provenance are written here, the rest by the caller. Where another
    process writes for all, the file is one to throw away.
    """
    if launch.is_worker():
        with temporary_file("assisting") as temporary, new_file(temporary) as file:
            yield file
        return
    schema = load(kind)
    with replacing(destination) as temporary:
        with new_file(temporary) as file:
            file.attrs[ROOT_KIND] = schema.name
            file.attrs[ROOT_VERSION] = schema.version
            yield file
            provenance_module.write(file, provenance)
            found = validation.problems(file, schema)
            if found:
                raise ScReaderError(f"the {kind} file came out wrong: {found[0]}.")
        _check_reopens(temporary, kind)


@contextmanager
def new_file(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file to fill; after a failed write it stays open: closing it crashes HDF5."""
    file = h5py.File(path, "w", locking=False)
    try:
        yield file
    except BaseException as error:
        if failed_write(error):
            _BROKEN.append(file)
        else:
            file.close()
        raise
    file.close()


def _check_reopens(path: Path, kind: str) -> None:
    """A full disk can show itself only when the file is read again."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            complete = file.attrs.get(ROOT_KIND) == kind
    except OSError:
        complete = False
    if not complete:
        raise ScReaderError("the file could not be written completely.", remedy="Disk full?")
