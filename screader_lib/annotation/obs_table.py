"""Columns added to obs of an h5ad in place, of any version of anndata.

Source: AnnData's on-disk format. Versions 0.8 and later, and 0.7 (``__categories``), have a group
with an array a column, whose order is an attribute. Before 0.7, obs was one compound dataset,
whose categorical columns were codes with their categories in ``uns/NAME_categories``; such a
table, and such an obsm, is written anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.table import (
    Categorical,
    Column,
    LazyColumn,
    LazyTable,
    as_strings,
    row_blocks,
    stored_column,
)

ORDER = "column-order"
OLD_CATEGORIES = "__categories"


def number_of_cells(file: h5py.File, name: str) -> int:
    """Rows of obs; ScReaderError where columns cannot be added to it."""
    obs = file.get("obs")
    if isinstance(obs, h5py.Dataset) and obs.ndim == 1 and obs.dtype.names:
        return len(obs)
    if isinstance(obs, h5py.Group) and {"_index", ORDER} <= set(obs.attrs):
        index = obs.get(_text(obs.attrs["_index"]))
        if isinstance(index, h5py.Group):
            index = index.get("codes", index.get("values"))
        if isinstance(index, h5py.Dataset) and index.ndim == 1:
            return len(index)
    raise ScReaderError(
        "obs is not a data frame; columns cannot be added.",
        file=name,
        remedy="Rewrite the file with a current anndata.",
    )


def column_names(file: h5py.File) -> list[str]:
    """The columns of obs, in order, without the index."""
    return [_text(name) for name in file["obs"].attrs[ORDER]]


def all_names(file: h5py.File) -> list[str]:
    """The columns in order, then the index and whatever else the group of obs holds."""
    columns = column_names(file)
    known = {*columns, *(name.partition("/")[0] for name in columns)}  # some have a slash
    return [*columns, *(name for name in file["obs"] if name not in known)]


def rename_columns(file: h5py.File, new_names: Mapping[str, str]) -> None:
    """Give members of obs other names, and the colours that scanpy keeps of them in uns."""
    obs, uns = file["obs"], file.get("uns", {})
    for name, new in new_names.items():
        for group in (obs, obs.get(OLD_CATEGORIES, {})):
            if name in group:
                group.move(name, new)
        if f"{name}_colors" in uns:
            uns.move(f"{name}_colors", f"{new}_colors")
    index = _text(obs.attrs["_index"])
    if index in new_names:
        obs.attrs["_index"] = new_names[index]
    if new_names:
        _set_order(file, [new_names.get(name, name) for name in column_names(file)])


def add_columns(file: h5py.File, columns: Mapping[str, LazyColumn]) -> None:
    """Append columns to obs, which has none of these names."""
    for name, column in columns.items():
        encoding.write_column(file["obs"], name, column)
    _set_order(file, [*column_names(file), *columns])


def _set_order(file: h5py.File, names: list[str]) -> None:
    """Write the order of columns; where it is too long for its group, into a new group."""
    obs = file["obs"]
    with suppress(OSError):
        _write_order(obs, names)
        return
    attributes = {name: obs.attrs[name] for name in obs.attrs if name != ORDER}
    new = encoding.group_for_long_attributes(file, "obs.new")
    for name, value in attributes.items():
        new.attrs[name] = value
    _write_order(new, names)
    for name in list(obs):
        file.move(f"obs/{name}", f"obs.new/{name}")
    del file["obs"]
    file.move("obs.new", "obs")


def _write_order(obs: h5py.Group, names: list[str]) -> None:
    obs.attrs.create(ORDER, np.array(names, dtype=object), dtype=encoding.STRING)


def make_groups(file: h5py.File) -> None:
    """Make obs and obsm groups, where they are compound datasets or, for obsm, missing."""
    if isinstance(file["obs"], h5py.Dataset):
        file.move("obs", "obs.old")
        index, *names = file["obs.old"].dtype.names
        columns = {name: _old_column(file, name) for name in names}
        table = LazyTable(_field(file["obs.old"], index), columns, index)
        encoding.write_table(file, "obs", table)
        del file["obs.old"]
    if "obsm" not in file:
        encoding.write_group(file, "obsm")
    elif isinstance(file["obsm"], h5py.Dataset):
        file.move("obsm", "obsm.old")
        old, group = file["obsm.old"], encoding.write_group(file, "obsm")
        for name in old.dtype.names or ():
            dtype = old.dtype[name]
            dataset = encoding.create_rows(group, name, (len(old), *dtype.shape), dtype.base, 1024)
            for start, stop in row_blocks(len(old)):
                dataset[start:stop] = old.fields(name)[start:stop]
        del file["obsm.old"]


def _old_column(file: h5py.File, name: str) -> LazyColumn:
    """A column of ``obs.old``; categories that uns has for it are moved out of there."""
    column, path = _field(file["obs.old"], name), f"uns/{name}_categories"
    if column.dtype.kind not in "iu" or not isinstance(file.get(path), h5py.Dataset):
        return column
    names = tuple(as_strings(stored_column(file[path]).load())) if file[path].ndim == 1 else ()
    bounds = [(block.min(), block.max()) for block in map(np.asarray, column.blocks())]
    if any(low < -1 or high >= len(names) for low, high in bounds):
        return column  # other numbers
    del file[path]
    return column.map(
        lambda block: Categorical(np.asarray(block).astype(np.int32), names), np.int32, names
    )


def _field(table: h5py.Dataset, name: str) -> LazyColumn:
    dtype = table.dtype[name]
    is_text = dtype.kind in "SUO"

    def read(start: int, stop: int) -> Column:
        values = table.fields(name)[start:stop]
        return np.array([_text(value) for value in values], dtype=object) if is_text else values

    return LazyColumn(len(table), object if is_text else dtype, read)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
