"""AnnData's data frames, obs and var, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Categorical, Column, Table, strings

if TYPE_CHECKING:
    import pandas


NAMES_AT_ONCE = 65_536


def table_of(group: Any, name: str) -> Table:
    """obs or var as a table, of any AnnData version, from HDF5 or zarr.

    ScReaderError where it is no data frame; ``name`` is what messages call the file.
    """
    if _is_current(group):
        index_name = str(group.attrs["_index"])
        columns = {key: encoding.read_column(group[key]) for key in group.attrs["column-order"]}
        return Table(_names(group[index_name]), columns, index_name)
    import anndata

    try:
        frame = anndata.io.read_elem(group)
        if isinstance(frame, np.ndarray):
            raise TypeError("a compound table of AnnData before 0.7")
        return Table(strings(frame.index), {str(key): _column(frame[key]) for key in frame})
    except Exception as error:
        raise ScReaderError(
            f"{group.name} cannot be read as a data frame ({error}).",
            file=name,
            remedy="Rewrite the file with a current anndata.",
        ) from error


def _names(dataset: h5py.Dataset) -> np.ndarray:
    """A string array as objects, read bit by bit: h5py holds all of it twice meanwhile."""
    names = np.empty(len(dataset), dtype=object)
    for start in range(0, len(names), NAMES_AT_ONCE):
        stop = min(len(names), start + NAMES_AT_ONCE)
        try:
            names[start:stop] = dataset.asstr()[start:stop]
        except UnicodeDecodeError:
            return encoding.read_strings(dataset)  # which says what is wrong
    return names


def _is_current(group: h5py.Group) -> bool:
    """Whether this is a table as anndata writes it now, so that anndata, slow to load, is spared.

    All columns are there and of one length, of plain numbers, strings or categories of strings.
    """
    attributes = group.attrs if isinstance(group, h5py.Group) else {}
    marks = (attributes.get("encoding-type"), attributes.get("encoding-version"))
    if marks != ("dataframe", "0.2.0") or not {"_index", "column-order"} <= set(attributes):
        return False
    names = [str(attributes["_index"]), *map(str, attributes["column-order"])]
    columns = [_stored(group.get(name)) for name in names]
    lengths = {None if column is None else column.shape for column in columns}
    index = columns[0]
    if index is None or index.ndim != 1 or len(lengths) != 1:
        return False
    return h5py.check_string_dtype(index.dtype) is not None


def _stored(column: h5py.Group | h5py.Dataset | None) -> h5py.Dataset | None:
    """The dataset that holds a column, one entry a row; None for one that is not plain."""
    if isinstance(column, h5py.Dataset):
        text = h5py.check_string_dtype(column.dtype) is not None
        return column if text or column.dtype.kind in "biuf" else None
    if not isinstance(column, h5py.Group) or column.attrs.get("encoding-type") != "categorical":
        return None
    codes, categories = column.get("codes"), column.get("categories")
    if not isinstance(codes, h5py.Dataset) or not isinstance(categories, h5py.Dataset):
        return None
    named = h5py.check_string_dtype(categories.dtype) is not None
    if not named or codes.dtype.kind != "i":
        return None
    values = codes[()]
    low, high = values.min(initial=-1), values.max(initial=-1)
    return codes if low >= -1 and high < len(categories) else None


def _column(series: pandas.Series) -> Column:
    """A pandas column as strings, a categorical, numbers or booleans."""
    if series.dtype.name == "category":
        categories = tuple(str(value) for value in series.cat.categories)
        return Categorical(np.asarray(series.cat.codes, np.int32), categories)
    values = series.to_numpy()
    if values.dtype.kind in "biuf":
        return values
    if series.dtype.kind in "iufb":  # nullable numbers
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return strings(series.fillna("").to_numpy())
