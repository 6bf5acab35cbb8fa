"""Answers kept on disk, so that what was paid for or waited for is asked only once.

One SQLite file per purpose; each write is a transaction, so a killed run loses at most the
batches in hand. Keys and values never hold secrets.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.records import Gene
from screader_lib.reporting import Reporter

LOCK_TIMEOUT = 60.0  # seconds

Answers = dict[str, list[Gene]]


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
            self.connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT, check_same_thread=False)
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
        """The values of those ``keys`` that are in the cache."""
        query = "SELECT key, value FROM answers WHERE key IN (SELECT value FROM json_each(?))"
        try:
            with self.lock:
                return dict(self.connection.execute(query, [json.dumps(list(keys))]))
        except sqlite3.Error as error:
            raise ScReaderError(
                f"is damaged ({error}).", file=self.path, remedy="Remove it and run again."
            ) from error

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep ``entries``, all or none."""
        try:
            with self.lock, self.connection:
                self.connection.executemany(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?)", entries.items()
                )
        except sqlite3.Error as error:
            raise ScReaderError(f"cannot be written ({error}).", file=self.path) from error


@dataclass
class GeneCache:
    """Genes by question, kept under ``prefix`` in ``cache`` as JSON of their filled fields.

    ``refresh`` ignores what is there from earlier runs.
    """

    cache: DiskCache
    prefix: str
    refresh: bool = False
    refreshed: set[str] = field(default_factory=set)

    def known(self, questions: Iterable[str]) -> Answers:
        """The cached answers, by question."""
        keys = {
            f"{self.prefix}/{question}": question
            for question in questions
            if not self.refresh or question in self.refreshed
        }
        try:
            return {keys[key]: _genes(value) for key, value in self.cache.get(keys).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise ScReaderError(
                "contains an answer that cannot be read.",
                file=self.cache.path,
                remedy="Remove it and run again.",
            ) from error

    def keep(self, answers: Mapping[str, Iterable[Gene]]) -> None:
        """Keep the answers of one request, all or none."""
        self.cache.put({f"{self.prefix}/{key}": _to_json(genes) for key, genes in answers.items()})
        self.refreshed.update(answers)

    def complete(
        self,
        questions: Iterable[str],
        ask: Callable[[Sequence[str]], Answers],
        batch: int,
        reporter: Reporter,
        task: str,
    ) -> Answers:
        """The answers, cached or else of ``ask``, a ``batch`` of questions at a time.

        In the order of the questions, without those that ``ask`` does not answer; what it answers
        is kept at once.
        """
        questions = list(dict.fromkeys(questions))
        answers = self.known(questions)
        missing = [question for question in questions if question not in answers]
        with reporter.progress(task, len(missing), "genes") as advance:
            for start in range(0, len(missing), batch):
                some = missing[start : start + batch]
                new = ask(some)
                self.keep(new)
                answers.update(new)
                advance(len(some))
        return {question: answers[question] for question in questions if question in answers}


def _to_json(genes: Iterable[Gene]) -> bytes:
    filled = [{key: value for key, value in asdict(gene).items() if value} for gene in genes]
    return json.dumps(filled, sort_keys=True, ensure_ascii=False).encode()


def _genes(value: bytes) -> list[Gene]:
    genes: list[dict[str, Any]] = json.loads(value)
    for gene in genes:
        gene.update({key: tuple(items) for key, items in gene.items() if isinstance(items, list)})
    return [Gene(**gene) for gene in genes]
