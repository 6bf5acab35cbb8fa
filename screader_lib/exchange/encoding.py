"""AnnData's on-disk encoding, on h5py alone, so that the GPU tools need no anndata.

Source: the AnnData documentation, "On-disk format" (encoding versions of AnnData 0.8 and later).
Datasets carry no time stamps, so that the same content gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from screader_lib.exchange.table import (
    Categorical,
    Column,
    LazyColumn,
    LazyTable,
    Table,
    as_strings,
    row_blocks,
    stored_column,
    stored_table,
)

STRING = h5py.string_dtype("utf-8")
COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
COMPRESS_FROM = 4096  # bytes; smaller datasets stay contiguous
LONGEST_PADDED = 1024  # bytes of a string
MANY_COLUMNS = 3_000  # whose names come near to the 64 kB that a plain group has for an attribute
STRINGS_AT_ONCE = 1 << 20  # characters that are written before they are sent to the disk


def _mark(element: h5py.Group | h5py.Dataset, kind: str, version: str) -> None:
    element.attrs["encoding-type"] = kind
    element.attrs["encoding-version"] = version


def write_group(parent: h5py.Group, name: str) -> h5py.Group:
    """An AnnData dictionary."""
    group = parent.create_group(name)
    _mark(group, "dict", "0.1.0")
    return group


def write_text(parent: h5py.Group, name: str, value: str) -> None:
    """A string scalar."""
    _mark(parent.create_dataset(name, data=value, dtype=STRING), "string", "0.2.0")


def write_json(parent: h5py.Group, name: str, value: object) -> None:
    """A nested value as JSON in a string scalar, keys sorted."""
    write_text(parent, name, json.dumps(value, sort_keys=True, ensure_ascii=False))


def write_number(parent: h5py.Group, name: str, value: int | float) -> None:
    """A numeric scalar (int64 or float64)."""
    dtype = np.int64 if isinstance(value, int) else np.float64
    _mark(parent.create_dataset(name, data=dtype(value)), "numeric-scalar", "0.2.0")


def write_strings(parent: h5py.Group, name: str, values: np.ndarray) -> None:
    """A string array, shape (n,)."""
    values = np.asarray(values, dtype=object)
    dataset = parent.create_dataset(name, values.shape, STRING)
    fill_strings(dataset, 0, values)
    _mark(dataset, "string-array", "0.2.0")


def fill_strings(dataset: h5py.Dataset, start: int, values: np.ndarray) -> None:
    """Put an object array of str into a string array from row ``start`` on.

    Piece by piece, each sent to the disk: HDF5 crashes where it finds the disk full among strings
    that it holds back.
    """
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)))
    first = 0
    while first < len(values):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + STRINGS_AT_ONCE)))
        dataset[start + first : start + last] = values[first:last]
        if ends[-1] > COMPRESS_FROM:
            dataset.file.flush()
        first = last


def write_padded_strings(parent: h5py.Group, name: str, values: np.ndarray) -> None:
    """A string array whose strings are padded to the longest, so that they can be compressed.

    HDF5 never compresses strings of variable length, which AnnData's encoding asks for: this is for
    other files. Arrays with a string of more than ``LONGEST_PADDED`` bytes are not padded.
    """
    encoded = [str(value).encode() for value in values]
    length = max((1, *map(len, encoded)))
    if length > LONGEST_PADDED:
        write_strings(parent, name, values)
        return
    padded = np.array(encoded, h5py.string_dtype("utf-8", length))
    options = COMPRESSION if padded.nbytes > COMPRESS_FROM else {}
    _mark(parent.create_dataset(name, data=padded, **options), "string-array", "0.2.0")


def write_array(parent: h5py.Group, name: str, values: np.ndarray) -> None:
    """A numeric or boolean array; compressed where it is large."""
    values = np.asarray(values)
    options = COMPRESSION if values.nbytes > COMPRESS_FROM and values.ndim else {}
    _mark(parent.create_dataset(name, data=values, **options), "array", "0.2.0")


def create_rows(
    parent: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any, rows_per_chunk: int
) -> h5py.Dataset:
    """An empty array to be filled by rows; chunks hold whole rows."""
    chunks = (max(1, min(rows_per_chunk, shape[0])), *(max(1, size) for size in shape[1:]))
    options = {"chunks": chunks, **COMPRESSION} if all(shape) else {}
    dataset = parent.create_dataset(name, shape=shape, dtype=dtype, **options)
    _mark(dataset, "array", "0.2.0")
    return dataset


def create_filled(
    parent: h5py.Group,
    name: str,
    shape: tuple[int, int],
    dtype: Any,
    fill: int | float,
    chunk: tuple[int, int],
) -> h5py.Dataset:
    """A matrix whose chunks are stored only where they hold something other than ``fill``.

    Compressed at level 1: on gene indices, higher levels save a tenth and are much slower.
    """
    options: dict[str, Any] = {}
    if all(shape):
        chunks = (min(chunk[0], shape[0]), min(chunk[1], shape[1]))
        options = {**COMPRESSION, "compression_opts": 1, "chunks": chunks}
    dataset = parent.create_dataset(name, shape=shape, dtype=dtype, fillvalue=fill, **options)
    _mark(dataset, "array", "0.2.0")
    return dataset


def write_column(parent: h5py.Group, name: str, column: Column | LazyColumn) -> None:
    """One column of a table, encoded by what it holds."""
    column = column if isinstance(column, LazyColumn) else LazyColumn.of(column)
    if column.categories is None:
        _write_blocks(parent, name, column, STRING if column.is_string else column.dtype)
        return
    group = parent.create_group(name)
    _mark(group, "categorical", "0.2.0")
    group.attrs["ordered"] = False
    _write_blocks(group, "codes", column, np.min_scalar_type(-max(1, len(column.categories))))
    write_strings(group, "categories", np.array(column.categories, dtype=object))


def _write_blocks(parent: h5py.Group, name: str, column: LazyColumn, dtype: Any) -> None:
    """The values of a column, or its codes, block by block; compressed as by write_array."""
    rows = len(column)
    large = dtype is not STRING and rows * dtype.itemsize > COMPRESS_FROM
    dataset = parent.create_dataset(name, (rows,), dtype, **(COMPRESSION if large else {}))
    _mark(dataset, "string-array" if dtype is STRING else "array", "0.2.0")
    for start, stop in row_blocks(rows):
        block = column.read(start, stop)
        if dtype is STRING:
            fill_strings(dataset, start, np.asarray(block, dtype=object))
        else:
            dataset[start:stop] = block.codes if isinstance(block, Categorical) else block


def write_table(parent: h5py.Group, name: str, table: Table | LazyTable) -> None:
    """A data frame with a string index."""
    is_wide = len(table.columns) > MANY_COLUMNS
    group = group_for_long_attributes(parent, name) if is_wide else parent.create_group(name)
    _mark(group, "dataframe", "0.2.0")
    group.attrs["_index"] = table.index_name
    order = np.array(list(table.columns), dtype=object)
    group.attrs.create("column-order", order, dtype=STRING if len(order) else np.float64)
    write_column(group, table.index_name, table.index)
    for column_name, column in table.columns.items():
        write_column(group, column_name, column)


def group_for_long_attributes(parent: h5py.Group, name: str) -> h5py.Group:
    """A new group whose attributes may be larger than 64 kB: its header is of version 2."""
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_attr_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
    properties.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=properties))


def begin_anndata(file: h5py.File, obs: Table | LazyTable, var: Table) -> None:
    """Everything an AnnData file needs but X: obs, var and those dictionaries that are missing."""
    _mark(file, "anndata", "0.1.0")
    write_table(file, "obs", obs)
    write_table(file, "var", var)
    for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
        if name not in file:
            write_group(file, name)


def read_text(parent: h5py.Group, name: str) -> str:
    """A string scalar."""
    return parent[name].asstr()[()]


def read_json(parent: h5py.Group, name: str) -> Any:
    """A value written by :func:`write_json`."""
    return json.loads(read_text(parent, name))


def read_strings(dataset: h5py.Dataset) -> np.ndarray:
    """A string array as object array of str (n,); ScReaderError if it is not UTF-8."""
    return as_strings(stored_column(dataset).load())


def read_column(element: h5py.Group | h5py.Dataset) -> Column:
    """A column of a data frame; masked values become NaN, False or the empty string."""
    return stored_column(element).load()


def read_table(group: h5py.Group) -> Table:
    """A data frame written by anndata or :func:`write_table`."""
    return stored_table(group).load()
