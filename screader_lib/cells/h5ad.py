"""Expression from an h5ad file (AnnData)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import h5py
import numpy as np

from screader_lib.cells.expression import (
    CompressedRows,
    Expression,
    Span,
    check_compressed,
    even_spans,
    usual_numbers,
)
from screader_lib.cells.turning import TurnedColumns
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import kind_of
from screader_lib.exchange.table import Categorical, Column, Table, strings

if TYPE_CHECKING:
    import pandas
    from scipy.sparse import csr_matrix


class H5adExpression(Expression):
    """X, ``raw/X`` or a layer of an h5ad: CSR, CSC or dense."""

    def __init__(self, file: h5py.File, name: str, layer: str | None = None) -> None:
        self.name = name
        if kind_of(file) is not None:
            raise ScReaderError(
                f"is a {kind_of(file)} file of scReader, wanted expression.", file=name
            )
        self.matrix, frame = _matrix_of(file, name, layer)
        self.obs = _frame(file["obs"], name)
        self.genes = _frame(frame, name)
        shape = self._shape()
        if shape != (len(self.obs), len(self.genes)):
            raise ScReaderError(
                f"{self.matrix.name} is {shape[0]:,} × {shape[1]:,}, but obs and var have "
                f"{len(self.obs):,} and {len(self.genes):,} rows.",
                file=name,
            )
        self.rows = self._rows(*shape)

    def _rows(self, cells: int, genes: int) -> CompressedRows | TurnedColumns | None:
        """The reader of a sparse matrix, None for a dense one."""
        if self.layout == "array":
            return None
        if self.layout == "csr_matrix":
            check_compressed(self.matrix, cells, genes, self.name)
            return CompressedRows(self.matrix, genes, self.name)
        check_compressed(self.matrix, genes, cells, self.name)
        return TurnedColumns(self.matrix, cells, genes, self.name)

    @property
    def layout(self) -> str:
        """csr_matrix, csc_matrix or array."""
        if isinstance(self.matrix, h5py.Dataset):
            return "array"
        attributes = self.matrix.attrs
        kind = attributes.get("encoding-type") or f"{attributes.get('h5sparse_format', '')}_matrix"
        if kind not in ("csr_matrix", "csc_matrix"):
            raise ScReaderError(
                f"{self.matrix.name} has encoding {kind!r}, wanted a csr, csc or dense matrix.",
                file=self.name,
            )
        return str(kind)

    def _shape(self) -> tuple[int, int]:
        if self.layout == "array":
            if self.matrix.ndim != 2:
                raise ScReaderError(f"{self.matrix.name} is not a matrix.", file=self.name)
            if self.matrix.dtype.kind not in "biuf":
                raise ScReaderError(f"{self.matrix.name} does not hold numbers.", file=self.name)
            return self.matrix.shape
        attributes = self.matrix.attrs
        shape = np.atleast_1d(attributes.get("shape", attributes.get("h5sparse_shape", ())))
        if shape.shape != (2,) or shape.dtype.kind not in "iu":
            raise ScReaderError(f"{self.matrix.name} is damaged: it has no shape.", file=self.name)
        return int(shape[0]), int(shape[1])

    def spans(self) -> Sequence[Span]:
        return even_spans(*self._shape()) if self.rows is None else self.rows.spans()

    def read(self, start: int, stop: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        if self.rows is None:
            return csr_matrix(usual_numbers(self.matrix[start:stop]))
        return self.rows.read(start, stop)


def _matrix_of(
    file: h5py.File, name: str, layer: str | None
) -> tuple[h5py.Group | h5py.Dataset, h5py.Group]:
    path = {None: "X", "X": "X", "raw": "raw/X"}.get(layer, f"layers/{layer}")
    if path not in file:
        known = ["X"] * ("X" in file) + ["raw"] * ("raw" in file) + list(file.get("layers", ()))
        raise ScReaderError(
            f"has no matrix {path}.", file=name, remedy=f"It has: {', '.join(known) or 'none'}."
        )
    return file[path], file["raw/var" if layer == "raw" else "var"]


def _frame(group: h5py.Group, name: str) -> Table:
    """obs or var, of any AnnData version."""
    if _is_current(group):
        return encoding.read_table(group)
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
