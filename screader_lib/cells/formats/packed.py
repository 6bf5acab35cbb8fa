"""What a file is by its first bytes, and packed files unpacked into a temporary folder."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from screader_lib.errors import ScReaderError
from screader_lib.exchange import safety
from screader_lib.genes.text_files import first_bytes

HDF5, R, MATRIX_MARKET, TEXT, ZIP = "HDF5", "R", "Matrix Market", "text", "zip"
BEGINNINGS = {
    safety.SIGNATURE: HDF5,
    b"RDX2\n": R, b"RDX3\n": R, b"RDA2\n": R, b"RDA3\n": R, b"RDB2\n": R, b"RDB3\n": R,
    b"X\n\0\0\0": R, b"B\n\x02\0\0": R, b"B\n\x03\0\0": R, b"A\n2\n": R, b"A\n3\n": R,
    b"%%MatrixMarket": MATRIX_MARKET,
    b"PK\3\4": ZIP,
}  # fmt: skip
OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
OTHERS = {  # what is not read: its name and what to do
    b"PAR1": ("a parquet table", "Write it as .csv.gz or h5ad."),
    b"\x0b\x0e\x0a\x0c": ("a qs file of R", "In R: saveRDS(qs::qread('{name}'), 'x.rds')."),
    b"\x0b\x0e\x0a\xc1": (
        "a qs2 file of R",
        "In R: saveRDS(qs2::qs_read('{name}'), 'x.rds').",
    ),
    b"%PDF": ("a PDF", ""),
    b"<!DO": ("a web page", "Was the download refused?"),
    b"<htm": ("a web page", "Was the download refused?"),
}
UNPACKING = (OSError, EOFError, zlib.error, lzma.LZMAError)
TAR_AT, TAR = 257, b"ustar"
MAX_BYTES_PER_BYTE = 1_100  # that unpacking makes of one; deflate reaches 1,032


def content_of(path: Path, name: str) -> str:
    """What a file, unpacked by gzip, bzip2 or xz if need be, is: one of the constants above.

    ScReaderError, calling it ``name``, where it is missing, empty, damaged or nothing that is read.
    """
    head = first_bytes(path, name, 4096)
    if not head:
        raise ScReaderError("is empty.", file=name, remedy="Did the previous step fail?")
    opener = _opener(head)
    if opener is not None:
        try:
            with opener(path) as stream:
                head = stream.read(4096)
        except UNPACKING as error:
            raise _not_unpacked(error, name) from error
    if head[TAR_AT : TAR_AT + len(TAR)] == TAR:
        raise ScReaderError(
            "is a tar archive.",
            file=name,
            remedy=f"Unpack it (tar xf {name}) and give its contents.",
        )
    for beginning, (what, remedy) in OTHERS.items():
        if head.startswith(beginning):
            raise ScReaderError(f"is {what}.", file=name, remedy=remedy.format(name=name))
    for beginning, kind in BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    if any(head[place:].startswith(safety.SIGNATURE) for place in safety.USER_BLOCKS):
        return HDF5
    return TEXT


def opener_of(path: Path, name: str) -> Any:
    """What opens a file, such as ``gzip.open``, by its first bytes."""
    return _opener(first_bytes(path, name, 8)) or open


def _opener(head: bytes) -> Any:
    return next((opener for magic, opener in OPENERS.items() if head.startswith(magic)), None)


def decompress(path: Path, target: BinaryIO, name: str) -> None:
    """Copy a file, without its compression by gzip, bzip2 or xz if it has one, to ``target``.

    ScReaderError, calling the file ``name``, where it is damaged or the disk is full.
    """
    try:
        with opener_of(path, name)(path, "rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
    except UNPACKING as error:
        raise _not_unpacked(error, name) from error


def _not_unpacked(error: Exception, name: str) -> ScReaderError:
    reason = getattr(error, "strerror", None)  # of the disk
    if reason:
        return ScReaderError(
            f"cannot be unpacked: {reason}.",
            file=name,
            remedy="Free some space in the folder of temporary files, or name another in TMPDIR.",
        )
    return ScReaderError("is damaged or cut off: it cannot be unpacked.", file=name)


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[Path]:
    """An HDF5 file that is compressed as a whole, or the content of a zip archive, unpacked.

    Any other file or folder is yielded as it is. ScReaderError, calling it ``name``, where it is
    damaged.
    """
    if path.is_dir():
        yield path
        return
    content = content_of(path, name)
    opener = _opener(first_bytes(path, name, 8))
    if content == ZIP:
        with tempfile.TemporaryDirectory(prefix="screader-") as folder:
            yield _extracted(path, Path(folder), name)
    elif content == HDF5 and opener is not None:
        with tempfile.TemporaryDirectory(prefix="screader-") as folder:
            target = Path(folder) / "unpacked.h5"
            with target.open("wb") as stream:
                decompress(path, stream, name)
            yield target
    else:
        yield path


def _extracted(path: Path, folder: Path, name: str) -> Path:
    """What is in an archive: its one file or folder, else the folder of all."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if size > MAX_BYTES_PER_BYTE * path.stat().st_size:
                raise ScReaderError(
                    f"would unpack to {size:,} bytes.", file=name, remedy="Refused as unsafe."
                )
            if "[Content_Types].xml" in archive.namelist():
                raise ScReaderError("is an Excel workbook.", file=name, remedy="Save it as csv.")
            archive.extractall(folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, *UNPACKING) as error:
        raise _not_unpacked(error, name) from error
    while len(inside := [entry for entry in folder.iterdir() if entry.name != "__MACOSX"]) == 1:
        folder = inside[0]
        if folder.is_file():
            break
    return folder
