"""Columns of a table in an open file, HDF5 or zarr, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.columns import is_string
from screader_lib.exchange.long_table import LongColumn, LongTable, even_sizes, texts_of
from screader_lib.exchange.table import Categorical, Column, strings

TEXT_KINDS = "OUST"  # as numpy, HDF5 and zarr call them


def is_text(values: Any) -> bool:
    """Whether an array of HDF5 or zarr holds strings."""
    if isinstance(values, h5py.Dataset):
        return is_string(values)
    return values.dtype.kind in TEXT_KINDS


class StoredColumn(LongColumn):
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


def stored_table(group: Any) -> LongTable:
    """A data frame of AnnData, of sound structure."""
    index = str(group.attrs["_index"])
    names = [str(name) for name in group.attrs["column-order"]]
    columns = {name: stored_column(group[name]) for name in names}
    return LongTable(stored_column(group[index]), dict(columns), index)
