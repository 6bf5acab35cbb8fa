"""Answers kept on disk, so that what was paid for or waited for is asked once.

One SQLite file per purpose; each write is a transaction, so a killed run loses at most the
batches in hand. Keys and values never hold secrets.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from screader_lib.errors import ScReaderError

KEYS_AT_ONCE = 500
WAIT_FOR_OTHERS = 60.0  # seconds


def default_folder() -> Path:
    """``$SCREADER_CACHE``, or ``screader`` in the user's cache folder."""
    own = os.environ.get("SCREADER_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "screader"


class DiskCache:
    """Key → bytes, on disk; safe for several threads and processes at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(
                path, timeout=WAIT_FOR_OTHERS, check_same_thread=False
            )
            with suppress(sqlite3.OperationalError):  # not every file system can
                self.connection.execute("PRAGMA journal_mode=WAL")
            with self.connection:
                self.connection.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
                )
        except (OSError, sqlite3.Error) as error:
            raise ScReaderError(
                f"cannot be used as a cache ({error}).",
                file=path,
                remedy="Remove it, or name another folder with --cache.",
            ) from error

    def get(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values of those ``keys`` that are kept."""
        listed = list(dict.fromkeys(keys))
        found: dict[str, bytes] = {}
        for start in range(0, len(listed), KEYS_AT_ONCE):
            some = listed[start : start + KEYS_AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, value FROM answers WHERE key IN ({marks})"
            found.update(self._run(query, some))
        return found

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, all or none."""
        try:
            with self.lock, self.connection:
                self.connection.executemany(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?)", entries.items()
                )
        except sqlite3.Error as error:
            raise ScReaderError(f"cannot be written ({error}).", file=self.path) from error

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def _run(self, query: str, values: list[str]) -> list[tuple[str, bytes]]:
        try:
            with self.lock:
                return self.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise ScReaderError(
                f"is damaged ({error}).", file=self.path, remedy="Remove it and run again."
            ) from error
