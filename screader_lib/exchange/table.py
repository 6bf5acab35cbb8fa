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
        place = {name: number for number, name in enumerate(names)}
        codes = np.fromiter((place[value] for value in values), np.int32, len(values))
        return cls(codes, names)

    def strings(self, missing: str = "") -> np.ndarray:
        """The values as an object array of str."""
        names = np.array([*self.categories, missing], dtype=object)
        return names[self.codes]

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
        if name == self.index_name:
            return self.index
        column = self.columns[name]
        if isinstance(column, Categorical):
            return column.strings()
        return column.astype(str).astype(object)

    def take(self, rows: np.ndarray) -> Table:
        """The given rows, in the given order."""
        columns = {
            name: column.take(rows) if isinstance(column, Categorical) else column[rows]
            for name, column in self.columns.items()
        }
        return Table(self.index[rows], columns, self.index_name)


def strings(values: Iterable[object]) -> np.ndarray:
    """An object array of str from any values."""
    return np.array([str(value) for value in values], dtype=object)
