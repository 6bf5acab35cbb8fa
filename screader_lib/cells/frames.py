"""AnnData's data frames, obs and var, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.long_table import LongTable, even_sizes
from screader_lib.exchange.stored_columns import is_text, stored_table
from screader_lib.exchange.table import Categorical, Column, Table, strings

if TYPE_CHECKING:
    import pandas


def table_of(group: Any, name: str) -> LongTable:
    """obs or var as a table, of any AnnData version, from HDF5 or zarr.

    ScReaderError where it is no data frame; ``name`` is what messages call the file.
    """
    if _is_current(group):
        return stored_table(group)
    import anndata

    try:
        frame = anndata.io.read_elem(group)
        if isinstance(frame, np.ndarray):
            raise TypeError("a compound table of AnnData before 0.7")
        columns = {str(key): _column(frame[key]) for key in frame}
        return LongTable.of(Table(strings(frame.index), columns))
    except Exception as error:
        raise ScReaderError(
            f"{group.name} cannot be read as a data frame ({error}).",
            file=name,
            remedy="Rewrite the file with a current anndata.",
        ) from error


def _is_current(group: Any) -> bool:
    """Whether this is a table as anndata writes it now, so that it need not be read as a whole.

    All columns are there and of one length, of plain numbers, strings or categories of strings.
    """
    attributes = getattr(group, "attrs", {}) if hasattr(group, "keys") else {}
    marks = (attributes.get("encoding-type"), attributes.get("encoding-version"))
    if marks != ("dataframe", "0.2.0") or not {"_index", "column-order"} <= set(attributes):
        return False
    names = [str(attributes["_index"]), *map(str, attributes["column-order"])]
    columns = [_plain(group.get(name)) for name in names]
    lengths = {None if column is None else column.shape for column in columns}
    index = columns[0]
    return index is not None and index.ndim == 1 and len(lengths) == 1 and is_text(index)


def _plain(column: Any) -> Any:
    """The array that holds a column, one entry a row; None for one that is not plain."""
    if hasattr(column, "dtype"):
        return column if is_text(column) or column.dtype.kind in "biuf" else None
    if column is None or column.attrs.get("encoding-type") != "categorical":
        return None
    codes, categories = column.get("codes"), column.get("categories")
    if not hasattr(codes, "dtype") or not hasattr(categories, "dtype"):
        return None
    if not is_text(categories) or codes.dtype.kind != "i" or codes.ndim != 1:
        return None
    return codes if all(_within(codes, categories.shape[0])) else None


def _within(codes: Any, categories: int) -> Iterator[bool]:
    """Whether each code of a piece is −1 or has a category."""
    start = 0
    for size in even_sizes(codes.shape[0]):
        some = codes[start : start + size]
        start += size
        yield bool(some.min() >= -1 and some.max() < categories)


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
