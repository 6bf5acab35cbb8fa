"""The exception that reaches users as a single line, and why HDF5 could not write a file."""

from __future__ import annotations

import re

WRITE_FAILED = re.compile(r"file write failed.*error message = '([^']*)'", re.DOTALL)


class ScReaderError(Exception):
    """A foreseeable failure in one line: file, element, what was expected, what to do.

    The command line prints ``str(error)`` and exits with status 1.
    """

    def __init__(self, message: str, *, file: object = None, remedy: str = "") -> None:
        parts = [f"{file}: {message}" if file is not None else message]
        if remedy:
            parts.append(remedy)
        super().__init__(" ".join(" ".join(part.split()) for part in parts))


def failed_write(error: BaseException) -> str:
    """Why HDF5 could not write, such as "No space left on device"; empty for other errors."""
    match = WRITE_FAILED.search(str(error))
    return match[1] if match else ""
