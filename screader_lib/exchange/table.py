"""Small tables (obs, var) held as columns, without pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Categorical:
    """A column of repeated strings: ``codes`` int32 (rows,) into ``categories``; −1 is missing."""

    codes: np.ndarray
    categories: tuple[str, ...]

    @classmethod
    def of(cls, values: Iterable[str], categories: Sequence[str] | None = None) -> Categorical:
        """Encode strings; categories are sorted unless given."""
        values = [str(value) for value in values]
        names = tuple(sorted(set(values)) if categories is None else categories)
        code_of = {name: code for code, name in enumerate(names)}
        return cls(np.fromiter(map(code_of.__getitem__, values), np.int32, len(values)), names)

    def strings(self, missing: str = "") -> np.ndarray:
        """The values as an object array of str."""
        return np.array([*self.categories, missing], dtype=object)[self.codes]

    def take(self, rows: np.ndarray) -> Categorical:
        """The given rows, same categories."""
        return Categorical(self.codes[rows], self.categories)

    def __len__(self) -> int:
        return len(self.codes)


Column = np.ndarray | Categorical


@dataclass
class Table:
    """A data frame: a string index and named columns of equal length."""

    index: np.ndarray
    columns: dict[str, Column] = field(default_factory=dict)
    index_name: str = "id"

    def __len__(self) -> int:
        return len(self.index)

    def strings(self, name: str) -> np.ndarray:
        """Column ``name`` as an object array of str; KeyError where there is none."""
        return self.index if name == self.index_name else as_strings(self.columns[name])

    def take(self, rows: np.ndarray) -> Table:
        """The given rows, int64, in the given order."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Table(self.index[rows], columns, self.index_name)


def as_strings(column: Column) -> np.ndarray:
    """A column as an object array of str, a missing category as the empty string."""
    if isinstance(column, Categorical):
        return column.strings()
    return column if column.dtype.kind == "O" else column.astype(str).astype(object)


def strings(values: Iterable[object]) -> np.ndarray:
    """An object array of str from any values."""
    return np.array([str(value) for value in values], dtype=object)
