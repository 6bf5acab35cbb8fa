"""The one exception that reaches a user as a single line."""

from __future__ import annotations


class ScReaderError(Exception):
    """Bad input or failed work, said in one line: file, element, what was wanted, what to do.

    The command line prints ``str(error)`` and exits with status 1.
    """

    def __init__(self, message: str, *, file: object = None, remedy: str = "") -> None:
        parts = [f"{file}: {message}" if file is not None else message]
        if remedy:
            parts.append(remedy)
        super().__init__(" ".join(" ".join(part.split()) for part in parts))
