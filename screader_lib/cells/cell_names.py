"""Names of cells, made unique, and their hashes, which stand for them where all are looked at."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from screader_lib.exchange.lazy_table import LazyColumn
from screader_lib.exchange.table import as_strings


def hash_of(name: str) -> int:
    """A number below 2⁶⁴ that is the same in every run."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def hashes_of(names: LazyColumn) -> np.ndarray:
    """uint64 (cells,)."""
    found, start = np.empty(len(names), np.uint64), 0
    for piece in names.string_blocks():
        found[start : start + len(piece)] = np.fromiter(map(hash_of, piece), np.uint64, len(piece))
        start += len(piece)
    return found


def new_names(names: LazyColumn, hashes: np.ndarray) -> dict[int, str]:
    """By row, the names with -1, -2, … for those that came before."""
    ordered = np.sort(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return {}
    seen: Counter[str] = Counter()
    given: set[str] = set()
    result: dict[int, str] = {}

    def taken(name: str) -> bool:
        number = np.uint64(hash_of(name))
        place = np.searchsorted(ordered, number)
        return name in given or bool(place < len(ordered) and ordered[place] == number)

    for row, name in _at(np.flatnonzero(np.isin(hashes, repeated)), names):
        new = name
        while seen[name] and taken(new):
            new = f"{name}-{seen[name]}"
            seen[name] += 1
        seen[name] = max(1, seen[name])
        if new != name:
            given.add(new)
            result[row] = new
    return result


def _at(rows: np.ndarray, names: LazyColumn) -> Iterator[tuple[int, str]]:
    """The names at ``rows``, ascending."""
    start = 0
    for piece in names.string_blocks():
        low, high = np.searchsorted(rows, [start, start + len(piece)])
        yield from ((int(row), piece[row - start]) for row in rows[low:high])
        start += len(piece)


def renamed(names: LazyColumn, new: Mapping[int, str]) -> LazyColumn:
    """The names, of which some are ``new``, by row (ascending)."""
    rows = np.fromiter(new, np.int64, len(new))

    def read(start: int, stop: int) -> np.ndarray:
        result = np.array(as_strings(names.read(start, stop)))
        low, high = np.searchsorted(rows, [start, stop])
        for row in rows[low:high].tolist():
            result[row - start] = new[row]
        return result

    return LazyColumn(len(names), object, read)


def unique_names(names: np.ndarray) -> np.ndarray:
    """Names in memory with -1, -2, … added to those that came before."""
    held = LazyColumn.of(names)
    return np.asarray(renamed(held, new_names(held, hashes_of(held))).load())
