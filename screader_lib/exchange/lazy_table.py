"""Tables with a row for each cell, read and written piece by piece: memory holds one piece.

Columns of a table in an open file, HDF5 or zarr, read piece by piece.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.columns import is_string
from screader_lib.exchange.table import Categorical, Column, Table, strings

ROWS_AT_ONCE = 32_768


class LazyColumn(ABC):
    """A column that is read piece by piece; those of one table come in pieces of equal sizes.

    ``categories`` are None unless it is a categorical; ``dtype`` is that of its values, object
    for strings and int32 for codes.
    """

    dtype: np.dtype
    categories: tuple[str, ...] | None = None

    @abstractmethod
    def sizes(self) -> Iterator[int]:
        """How many rows each piece has."""

    @abstractmethod
    def pieces(self) -> Iterator[Column]:
        """The rows, from the first to the last."""

    def __len__(self) -> int:
        return sum(self.sizes())

    @property
    def is_text(self) -> bool:
        """Whether it holds strings, by codes or not."""
        return self.categories is not None or self.dtype.kind == "O"

    def texts(self) -> Iterator[np.ndarray]:
        """The pieces as object arrays of str, a missing category as the empty one."""
        return (texts_of(piece) for piece in self.pieces())

    def whole(self) -> Column:
        """All rows in memory."""
        values, start = np.empty(len(self), self.dtype), 0
        for piece in self.pieces():
            values[start : start + len(piece)] = (
                piece.codes if isinstance(piece, Categorical) else piece
            )
            start += len(piece)
        return values if self.categories is None else Categorical(values, self.categories)


def texts_of(column: Column) -> np.ndarray:
    """A column in memory as an object array of str."""
    if isinstance(column, Categorical):
        return column.strings()
    return column if column.dtype.kind == "O" else column.astype(str).astype(object)


def even_sizes(rows: int) -> Iterator[int]:
    """Sizes of the pieces of a column that lies at one place."""
    for start in range(0, rows, ROWS_AT_ONCE):
        yield min(ROWS_AT_ONCE, rows - start)


class InMemoryColumn(LazyColumn):
    """A column in memory."""

    def __init__(self, column: Column) -> None:
        self.column = column
        if isinstance(column, Categorical):
            self.dtype, self.categories = np.dtype(np.int32), column.categories
        else:
            self.dtype = np.dtype(object) if column.dtype.kind in "OUST" else column.dtype

    def __len__(self) -> int:
        return len(self.column)

    def sizes(self) -> Iterator[int]:
        return even_sizes(len(self))

    def pieces(self) -> Iterator[Column]:
        start = 0
        for size in self.sizes():
            rows = slice(start, start + size)
            if isinstance(self.column, Categorical):
                yield Categorical(self.column.codes[rows], self.column.categories)
            else:
                yield self.column[rows]
            start += size


class ConstantColumn(LazyColumn):
    """One value in every row of a table that has ``beside`` as a column."""

    def __init__(self, value: object, dtype: type, beside: LazyColumn) -> None:
        self.value, self.dtype, self.beside = value, np.dtype(dtype), beside

    def sizes(self) -> Iterator[int]:
        return self.beside.sizes()

    def pieces(self) -> Iterator[Column]:
        return (np.full(size, self.value, self.dtype) for size in self.sizes())


class FilteredColumn(LazyColumn):
    """The rows of ``source`` where ``wanted``, boolean (rows,), is true."""

    def __init__(self, source: LazyColumn, wanted: np.ndarray) -> None:
        self.source, self.wanted = source, wanted
        self.dtype, self.categories = source.dtype, source.categories

    def __len__(self) -> int:
        return int(self.wanted.sum())

    def _choices(self) -> Iterator[np.ndarray]:
        start = 0
        for size in self.source.sizes():
            yield np.flatnonzero(self.wanted[start : start + size])
            start += size

    def sizes(self) -> Iterator[int]:
        return (len(rows) for rows in self._choices() if len(rows))

    def pieces(self) -> Iterator[Column]:
        for rows, piece in zip(self._choices(), self.source.pieces(), strict=True):
            if len(rows):
                yield piece.take(rows)


class MappedColumn(LazyColumn):
    """What ``change`` makes of each piece of ``source``: as many rows."""

    def __init__(
        self,
        source: LazyColumn,
        change: Callable[[Column], Column],
        dtype: type,
        categories: tuple[str, ...] | None = None,
    ) -> None:
        self.source, self.change = source, change
        self.dtype, self.categories = np.dtype(dtype), categories

    def __len__(self) -> int:
        return len(self.source)

    def sizes(self) -> Iterator[int]:
        return self.source.sizes()

    def pieces(self) -> Iterator[Column]:
        return map(self.change, self.source.pieces())


class ConcatenatedColumn(LazyColumn):
    """Columns of one kind, one after the other."""

    def __init__(self, parts: Sequence[LazyColumn]) -> None:
        self.parts = parts
        self.dtype, self.categories = parts[0].dtype, parts[0].categories

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def sizes(self) -> Iterator[int]:
        return (size for part in self.parts for size in part.sizes())

    def pieces(self) -> Iterator[Column]:
        return (piece for part in self.parts for piece in part.pieces())


@dataclass
class LazyTable:
    """A data frame of any length: a string index and named columns, none of them held."""

    index: LazyColumn
    columns: dict[str, LazyColumn] = field(default_factory=dict)
    index_name: str = "id"

    @classmethod
    def of(cls, table: Table) -> LazyTable:
        """A table that is in memory already."""
        columns = {name: InMemoryColumn(column) for name, column in table.columns.items()}
        return cls(InMemoryColumn(table.index), dict(columns), table.index_name)

    def __len__(self) -> int:
        return len(self.index)

    def column(self, name: str) -> LazyColumn:
        """A column, or the index by its name; KeyError where there is none."""
        return self.index if name == self.index_name else self.columns[name]

    def chosen(self, wanted: np.ndarray) -> LazyTable:
        """The rows where ``wanted``, boolean (rows,), is true."""
        columns: Mapping[str, LazyColumn] = {
            name: FilteredColumn(column, wanted) for name, column in self.columns.items()
        }
        return LazyTable(FilteredColumn(self.index, wanted), dict(columns), self.index_name)

    def pieces(self, names: Iterable[str]) -> Iterator[Table]:
        """The index and the columns of these names, piece by piece."""
        wanted = {name: self.columns[name] for name in names}
        parts = zip(self.index.pieces(), *(column.pieces() for column in wanted.values()),
                    strict=True)  # fmt: skip
        for index, *columns in parts:
            yield Table(texts_of(index), dict(zip(wanted, columns, strict=True)), self.index_name)

    def whole(self) -> Table:
        """All of it in memory."""
        columns = {name: column.whole() for name, column in self.columns.items()}
        return Table(texts_of(self.index.whole()), columns, self.index_name)


TEXT_KINDS = "OUST"  # as numpy, HDF5 and zarr call them


def is_text(values: Any) -> bool:
    """Whether an array of HDF5 or zarr holds strings."""
    if isinstance(values, h5py.Dataset):
        return is_string(values)
    return values.dtype.kind in TEXT_KINDS


class StoredColumn(LazyColumn):
    """An array of numbers, truth values or strings."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.dtype = np.dtype(object) if is_text(values) else values.dtype

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def sizes(self) -> Iterator[int]:
        return even_sizes(len(self))

    def pieces(self) -> Iterator[Column]:
        start = 0
        for size in self.sizes():
            yield self._read(slice(start, start + size))
            start += size

    def _read(self, rows: slice) -> np.ndarray:
        if self.dtype.kind != "O":
            return np.asarray(self.values[rows])
        if not isinstance(self.values, h5py.Dataset):
            return strings(self.values[rows])
        try:
            return np.asarray(self.values.asstr()[rows], dtype=object)
        except UnicodeDecodeError:
            raise ScReaderError(
                f"{self.values.name} holds text that is not UTF-8.",
                file=self.values.file.filename,
            ) from None


class StoredCategorical(StoredColumn):
    """Codes of which each has its category."""

    def __init__(self, codes: Any, categories: Any) -> None:
        super().__init__(codes)
        self.dtype = np.dtype(np.int32)
        self.categories = tuple(texts_of(StoredColumn(categories).whole()))

    def pieces(self) -> Iterator[Column]:
        assert self.categories is not None
        for codes in super().pieces():
            assert isinstance(codes, np.ndarray)
            yield Categorical(codes.astype(np.int32), self.categories)


class StoredNullable(StoredColumn):
    """Values with a mask of those that are missing: NaN, False or empty then."""

    def __init__(self, values: Any, mask: Any) -> None:
        super().__init__(values)
        self.mask = mask
        if self.dtype.kind in "iu":
            self.dtype = np.dtype(np.float64)

    def pieces(self) -> Iterator[Column]:
        start = 0
        for size in self.sizes():
            rows = slice(start, start + size)
            start += size
            missing = np.asarray(self.mask[rows])
            if self.values.dtype.kind == "b":
                yield self.values[rows] & ~missing
            elif self.dtype.kind == "O":
                yield np.where(missing, "", self._read(rows)).astype(object)
            else:
                yield np.where(missing, np.nan, self.values[rows])


def stored_column(element: Any) -> StoredColumn:
    """A column of a data frame of AnnData, of sound structure."""
    if not hasattr(element, "keys"):
        return StoredColumn(element)
    if "codes" in element:
        return StoredCategorical(element["codes"], element["categories"])
    return StoredNullable(element["values"], element["mask"])


def stored_table(group: Any) -> LazyTable:
    """A data frame of AnnData, of sound structure."""
    index = str(group.attrs["_index"])
    names = [str(name) for name in group.attrs["column-order"]]
    columns = {name: stored_column(group[name]) for name in names}
    return LazyTable(stored_column(group[index]), dict(columns), index)
