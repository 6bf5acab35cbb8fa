"""Data frames (obs, var) without pandas: in memory, or read in blocks of rows.

A :class:`Table` is in memory. A :class:`LazyTable` may be of any length: memory holds one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from screader_lib.errors import ScReaderError

ROWS_AT_ONCE = 32_768
STRING_KINDS = "OUST"  # as numpy, HDF5 and zarr call them


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

    @classmethod
    def with_missing(cls, values: Iterable[str]) -> Categorical:
        """Encode strings by sorted categories, the empty one as missing."""
        known = cls.of(values)
        if "" not in known.categories:
            return known
        return cls(known.codes - 1, known.categories[1:])  # it is the first

    def strings(self, missing: str = "") -> np.ndarray:
        """The values as an object array of str."""
        return np.array([*self.categories, missing], dtype=object)[self.codes]

    def take(self, rows: np.ndarray) -> Categorical:
        """The given rows, same categories."""
        return Categorical(self.codes[rows], self.categories)

    def __len__(self) -> int:
        return len(self.codes)


Column = np.ndarray | Categorical
Read = Callable[[int, int], Column]


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


def row_blocks(rows: int, size: int | None = None) -> Iterator[tuple[int, int]]:
    """Start and stop of each block of rows, ``ROWS_AT_ONCE`` at a time unless ``size`` says."""
    size = size or ROWS_AT_ONCE
    return ((start, min(start + size, rows)) for start in range(0, rows, size))


def is_string(values: Any) -> bool:
    """Whether an array of HDF5 or zarr holds strings."""
    if isinstance(values, h5py.Dataset):
        return h5py.check_string_dtype(values.dtype) is not None
    return values.dtype.kind in STRING_KINDS


class LazyColumn:
    """A column of ``length`` rows, read where and when they are needed.

    ``read(start, stop)`` returns those rows: an array of ``dtype`` (object for strings) or, where
    ``categories`` is not None, a Categorical of them, whose codes are of ``dtype`` int32.
    """

    def __init__(
        self,
        length: int,
        dtype: DTypeLike,
        read: Read,
        categories: tuple[str, ...] | None = None,
    ) -> None:
        self.length, self.dtype = length, np.dtype(dtype)
        self.read, self.categories = read, categories

    @classmethod
    def of(cls, column: Column) -> LazyColumn:
        """A column that is in memory already."""
        if isinstance(column, Categorical):
            codes, names = column.codes, column.categories
            return cls(
                len(codes), np.int32, lambda *rows: Categorical(codes[slice(*rows)], names), names
            )
        dtype = object if column.dtype.kind in STRING_KINDS else column.dtype
        return cls(len(column), dtype, lambda *rows: column[slice(*rows)])

    def __len__(self) -> int:
        return self.length

    @property
    def is_string(self) -> bool:
        """Whether it holds strings, categorical or not."""
        return self.categories is not None or self.dtype.kind == "O"

    def blocks(self) -> Iterator[Column]:
        """All rows, in blocks of ``ROWS_AT_ONCE``."""
        return (self.read(start, stop) for start, stop in row_blocks(len(self)))

    def string_blocks(self) -> Iterator[np.ndarray]:
        """The blocks as object arrays of str, a missing category as the empty string."""
        return map(as_strings, self.blocks())

    def load(self) -> Column:
        """All rows in memory."""
        return self._joined(len(self), self.blocks())

    def take(self, rows: np.ndarray) -> LazyColumn:
        """The given ``rows``, int64, in ascending order."""

        def read(start: int, stop: int) -> Column:
            return self._joined(stop - start, self._at(rows[start:stop]))

        return LazyColumn(len(rows), self.dtype, read, self.categories)

    def _at(self, rows: np.ndarray) -> Iterator[Column]:
        """The rows, from no more than ``ROWS_AT_ONCE`` of the source at a time."""
        while len(rows):
            first = int(rows[0])
            count = int(np.searchsorted(rows, first + ROWS_AT_ONCE))
            yield self.read(first, int(rows[count - 1]) + 1).take(rows[:count] - first)
            rows = rows[count:]

    def map(
        self,
        function: Callable[[Column], Column],
        dtype: DTypeLike,
        categories: tuple[str, ...] | None = None,
    ) -> LazyColumn:
        """What ``function`` makes of any block of rows: as many rows of ``dtype``."""
        return LazyColumn(
            len(self), dtype, lambda start, stop: function(self.read(start, stop)), categories
        )

    def _joined(self, size: int, parts: Iterable[Column]) -> Column:
        values, start = np.empty(size, self.dtype), 0
        for part in parts:
            codes = part.codes if isinstance(part, Categorical) else part
            values[start : start + len(part)] = codes
            start += len(part)
        return values if self.categories is None else Categorical(values, self.categories)


def constant_column(value: object, dtype: DTypeLike, length: int) -> LazyColumn:
    """One value in every row."""
    return LazyColumn(length, dtype, lambda start, stop: np.full(stop - start, value, dtype))


def concatenated_columns(columns: Sequence[LazyColumn]) -> LazyColumn:
    """Columns of one dtype and the same categories, one after the other."""
    first, ends = columns[0], np.cumsum([0, *map(len, columns)]).tolist()

    def read(start: int, stop: int) -> Column:
        parts = (
            column.read(max(start - low, 0), min(stop, high) - low)
            for column, (low, high) in zip(columns, pairwise(ends), strict=True)
            if low < stop and start < high
        )
        return first._joined(stop - start, parts)

    return LazyColumn(ends[-1], first.dtype, read, first.categories)


def stored_column(element: Any) -> LazyColumn:
    """A column of an AnnData data frame in an open file, HDF5 or zarr, of sound structure.

    Nullable values that are masked come as NaN, False or the empty string; any negative code is
    missing, such as R's of NA, −2³¹. Reading raises
    ScReaderError where strings are not UTF-8.
    """
    if not hasattr(element, "keys"):
        return _stored_array(element)
    if "codes" not in element:
        return _stored_nullable(element["values"], element["mask"])
    codes = element["codes"]
    names = tuple(as_strings(_stored_array(element["categories"]).load()))

    def read(start: int, stop: int) -> Column:
        return Categorical(np.maximum(codes[start:stop], -1).astype(np.int32), names)

    return LazyColumn(codes.shape[0], np.int32, read, names)


def _stored_array(values: Any) -> LazyColumn:
    def read(start: int, stop: int) -> np.ndarray:
        if not is_string(values):
            return np.asarray(values[start:stop])
        if not isinstance(values, h5py.Dataset):
            return strings(values[start:stop])
        try:
            return np.asarray(values.asstr()[start:stop], dtype=object)
        except UnicodeDecodeError:
            raise ScReaderError(
                f"{values.name} holds text that is not UTF-8.", file=values.file.filename
            ) from None

    return LazyColumn(values.shape[0], object if is_string(values) else values.dtype, read)


def _stored_nullable(values: Any, mask: Any) -> LazyColumn:
    column = _stored_array(values)
    dtype = np.dtype(np.float64) if column.dtype.kind in "iu" else column.dtype
    missing: Any = {"O": "", "b": False}.get(dtype.kind, np.nan)

    def read(start: int, stop: int) -> np.ndarray:
        known = column.read(start, stop)
        assert isinstance(known, np.ndarray)
        return np.where(mask[start:stop], missing, known).astype(dtype)

    return LazyColumn(len(column), dtype, read)


@dataclass
class LazyTable:
    """A data frame of any length: a string index and named columns, none of them in memory."""

    index: LazyColumn
    columns: dict[str, LazyColumn] = field(default_factory=dict)
    index_name: str = "id"

    @classmethod
    def of(cls, table: Table) -> LazyTable:
        """A table that is in memory already."""
        columns = {name: LazyColumn.of(column) for name, column in table.columns.items()}
        return cls(LazyColumn.of(table.index), columns, table.index_name)

    def __len__(self) -> int:
        return len(self.index)

    def column(self, name: str) -> LazyColumn:
        """A column, or the index by its name; KeyError where there is none."""
        return self.index if name == self.index_name else self.columns[name]

    def take(self, rows: np.ndarray) -> LazyTable:
        """The given ``rows``, int64, in ascending order."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return LazyTable(self.index.take(rows), columns, self.index_name)

    def blocks(self, names: Iterable[str]) -> Iterator[Table]:
        """The index and the columns of these names, in blocks of ``ROWS_AT_ONCE`` rows."""
        names = list(names)
        for start, stop in row_blocks(len(self)):
            columns = {name: self.columns[name].read(start, stop) for name in names}
            yield Table(as_strings(self.index.read(start, stop)), columns, self.index_name)

    def load(self) -> Table:
        """All of it in memory."""
        columns = {name: column.load() for name, column in self.columns.items()}
        return Table(as_strings(self.index.load()), columns, self.index_name)


def stored_table(group: Any) -> LazyTable:
    """An AnnData data frame in an open file, HDF5 or zarr, of sound structure."""
    index = str(group.attrs["_index"])
    names = [str(name) for name in group.attrs["column-order"]]
    columns = {name: stored_column(group[name]) for name in names}
    return LazyTable(stored_column(group[index]), columns, index)
