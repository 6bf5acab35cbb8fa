"""Names of cells made unique, and their hashes, so that not all names are held in memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from itertools import chain

import numpy as np

from screader_lib.exchange.table import LazyColumn, as_strings


def hash_of(name: str) -> int:
    """A number below 2⁶⁴ that is the same in every run."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def hashes_of(names: LazyColumn) -> np.ndarray:
    """:func:`hash_of` each name, uint64 (cells,)."""
    hashes = (hash_of(name) for piece in names.string_blocks() for name in piece)
    return np.fromiter(hashes, np.uint64, len(names))


def duplicate_names(names: LazyColumn, hashes: np.ndarray) -> dict[int, str]:
    """By row, the names that came before, with a suffix: -1, -2, …"""
    ordered = np.sort(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return {}
    seen: Counter[str] = Counter()
    given: set[str] = set()
    new_names: dict[int, str] = {}

    def is_taken(name: str) -> bool:
        number = np.uint64(hash_of(name))
        index = np.searchsorted(ordered, number)
        return name in given or bool(index < len(ordered) and ordered[index] == number)

    rows = np.flatnonzero(np.isin(hashes, repeated))
    repeats = chain.from_iterable(names.take(rows).string_blocks())
    for row, name in zip(rows.tolist(), repeats, strict=True):
        new = name
        while seen[name] and is_taken(new):
            new = f"{name}-{seen[name]}"
            seen[name] += 1
        seen[name] = max(1, seen[name])
        if new != name:
            given.add(new)
            new_names[row] = new
    return new_names


def renamed_cells(names: LazyColumn, new_names: Mapping[int, str]) -> LazyColumn:
    """Names of cells, some of them replaced by ``new_names``, by row, ascending."""
    rows = np.fromiter(new_names, np.int64, len(new_names))

    def read(start: int, stop: int) -> np.ndarray:
        result = np.array(as_strings(names.read(start, stop)))
        low, high = np.searchsorted(rows, [start, stop])
        for row in rows[low:high].tolist():
            result[row - start] = new_names[row]
        return result

    return LazyColumn(len(names), object, read)


def unique_names(names: np.ndarray) -> np.ndarray:
    """Names in memory with a suffix, -1, -2, …, for those that came before."""
    column = LazyColumn.of(names)
    return np.asarray(renamed_cells(column, duplicate_names(column, hashes_of(column))).load())
