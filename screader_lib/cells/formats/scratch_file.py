"""A temporary file without a name, so that nothing is left of it however the process ends."""

from __future__ import annotations

import os
import tempfile
from typing import IO

from screader_lib.errors import ScReaderError


class ScratchFile:
    """Bytes on disk, as long as this object lives; several threads may read at a time."""

    def __init__(self) -> None:
        self._file = _new_file()
        self.size = 0

    def write(self, content: bytes | memoryview, place: int | None = None) -> None:
        """Put ``content`` at a place, the end unless given.

        ScReaderError where the disk is full.
        """
        place = self.size if place is None else place
        view = memoryview(content)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, place)
                view, place = view[written:], place + written
        except OSError as error:
            raise _unwritable(error) from error
        self.size = max(self.size, place)

    def read(self, count: int, place: int) -> bytes:
        """``count`` bytes at a place, fewer where the file ends."""
        parts = []
        while count > 0 and (part := os.pread(self._file.fileno(), count, place)):
            parts.append(part)
            count, place = count - len(part), place + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _new_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="screader-", buffering=0)
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> ScReaderError:
    return ScReaderError(
        f"the folder of temporary files cannot be written to: {error.strerror}.",
        file=_folder(),
        remedy="Free some space there, or name another folder in TMPDIR.",
    )


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # none can be written to
        return os.environ.get("TMPDIR", "/tmp")
