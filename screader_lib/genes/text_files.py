"""Text files, gzipped or not, and the tables in them."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from screader_lib.errors import ScReaderError

GZIP = b"\x1f\x8b"
LINE = re.compile(r"[^\n]*\n|[^\n]+")
MAX_LINE = 1 << 24  # characters
MAX_LINES = 1 << 20  # of a text read whole
MAX_HELD = 1_000_000_000  # bytes
ROW_BYTES, STRING_BYTES = 64, 57  # of a list, and of a string in it
MAX_SIZE = 1 << 28  # characters of a text read whole; a list of all genes of all species is smaller


@contextmanager
def opened_text(path: Path, remedy: str = "", name: str = "") -> Iterator[TextIO]:
    """A stream of a UTF-8 text, gzipped or not by its content; ``name`` is for messages.

    ScReaderError where the file is missing, empty or damaged; also where damage shows later.
    """
    name = name or str(path)
    head = first_bytes(path, name, len(GZIP))
    if not head:
        raise ScReaderError("is empty.", file=name)
    opener = gzip.open if head == GZIP else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="\n") as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        problem = "is not text, or it is damaged or cut off."
        raise ScReaderError(problem, file=name, remedy=remedy) from error


def first_bytes(path: Path, name: str, number: int) -> bytes:
    """The beginning of a file; ScReaderError, under ``name``, where there is no such file."""
    try:
        with path.open("rb") as stream:
            return stream.read(number)
    except FileNotFoundError:
        problem = "no such file."
        raise ScReaderError(problem, file=name, remedy="Check the name and the folder.") from None
    except PermissionError:
        raise ScReaderError("cannot be read: permission denied.", file=name) from None


def lines_of(stream: TextIO, name: object, most: int = MAX_LINE) -> Iterator[str]:
    """The lines of a text; ScReaderError, under ``name``, for one of more than ``most`` characters.

    A gzipped file of a few megabytes may unpack to one line of gigabytes.
    """
    while line := stream.readline(most + 1):
        if len(line) > most:
            raise ScReaderError(f"has a line of more than {most:,} characters.", file=name)
        yield line


def held(rows: Iterable[list[str]], name: object) -> list[list[str]]:
    """All rows of a table; ScReaderError, under ``name``, where they take more than ``MAX_HELD``.

    A gzipped file of a few megabytes may unpack to gigabytes.
    """
    kept: list[list[str]] = []
    size = 0
    for row in rows:
        size += ROW_BYTES + STRING_BYTES * len(row) + sum(map(len, row))
        if size > MAX_HELD:
            raise ScReaderError(f"holds more than {len(kept):,} lines, too many.", file=name)
        kept.append(row)
    return kept


def read_text(path: Path, name: str, remedy: str = "") -> str:
    """A whole UTF-8 text, gzipped or not; ScReaderError, under ``name``, where it is none."""
    with opened_text(path, remedy, name) as stream:
        text = stream.read(MAX_SIZE + 1)
    if len(text) > MAX_SIZE or text.count("\n") > MAX_LINES:
        raise ScReaderError("is too large to be a list or table of genes.", file=name)
    if "\0" in text:
        raise ScReaderError("is not text.", file=name, remedy=remedy)
    return text


def lines_in(text: str) -> Iterator[str]:
    """The lines of a text one by one, each with its end."""
    return (found[0] for found in LINE.finditer(text))


def read_table(text: str, name: str, *required: str) -> list[dict[str, str]]:
    """Rows of a table with a header, tab-separated where the header has a tab, else by commas.

    ScReaderError where a ``required`` column is missing.
    """
    header = text.split("\n", 1)[0]
    rows = csv.DictReader(lines_in(text), delimiter="\t" if "\t" in header else ",")
    columns = [str(column) for column in rows.fieldnames or ()]
    for column in required:
        if column not in columns:
            raise ScReaderError(
                f"has no column {column!r}.", file=name, remedy=f"It has: {', '.join(columns)}."
            )
    try:
        return list(rows)
    except csv.Error as error:
        raise ScReaderError(f"is not a well-formed table ({error}).", file=name) from None


GENE_EXPRESSION = "Gene Expression"
