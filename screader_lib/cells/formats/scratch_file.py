"""A temporary file without a name, so that nothing is left of it however the process ends."""

from __future__ import annotations

import os
import tempfile

from screader_lib.errors import ScReaderError


class ScratchFile:
    """Bytes on disk, as long as this object lives; several threads may read at a time."""

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(prefix="screader-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _not_writable(error) from error
        self.size = 0

    def write(self, content: bytes | memoryview, offset: int | None = None) -> None:
        """Write ``content`` at ``offset``, by default the end; ScReaderError on a full disk."""
        offset = self.size if offset is None else offset
        view = memoryview(content)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise _not_writable(error) from error
        self.size = max(self.size, offset)

    def read(self, count: int, offset: int) -> bytes:
        """``count`` bytes from ``offset`` on, fewer where the file ends."""
        parts = []
        while count > 0 and (part := os.pread(self._file.fileno(), count, offset)):
            parts.append(part)
            count, offset = count - len(part), offset + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _not_writable(error: OSError) -> ScReaderError:
    return ScReaderError(
        f"the folder of temporary files cannot be written to: {error.strerror}.",
        file=tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"),  # None: no folder can be
        remedy="Free some space there, or name another folder in TMPDIR.",
    )
