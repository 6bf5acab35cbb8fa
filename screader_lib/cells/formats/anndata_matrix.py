"""The matrix of an AnnData, from HDF5 or zarr: by rows, by columns or dense.

Expression from an h5ad file (AnnData).

Expression from AnnData's zarr folders.

AnnData's data frames, obs and var, as tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from screader_lib.cells.formats.expression import (
    CompressedRows,
    Expression,
    Span,
    check_compressed,
    even_spans,
    usual_numbers,
)
from screader_lib.cells.formats.transpose import TransposedColumns
from screader_lib.cells.organisms import KEY
from screader_lib.errors import ScReaderError
from screader_lib.exchange.lazy_table import LazyTable, is_string, row_blocks, stored_table
from screader_lib.exchange.opening import kind_of
from screader_lib.exchange.table import Categorical, Column, Table, strings

if TYPE_CHECKING:
    import pandas
    from scipy.sparse import csr_matrix


class AnnotatedMatrix(Expression):
    """X, ``raw/X`` or a layer of ``root``, an open HDF5 file or zarr group.

    ScReaderError where there is no such matrix, or it does not fit obs and var.
    """

    def __init__(self, root: Any, name: str, layer: str | None = None) -> None:
        self.name = name
        raw = root.get("raw")  # an empty array where there is none
        self.has_raw = hasattr(raw, "keys") and "X" in raw
        self.matrix, frame = _matrix_of(root, name, layer)
        self.obs = table_of(root["obs"], name)
        self.genes = table_of(frame, name).load()
        shape = self._shape()
        if shape != (len(self.obs), len(self.genes)):
            raise ScReaderError(
                f"{self.matrix.name} is {shape[0]:,} × {shape[1]:,}, but obs and var have "
                f"{len(self.obs):,} and {len(self.genes):,} rows.",
                file=name,
            )
        self.rows = self._rows(*shape)

    def _rows(self, cells: int, genes: int) -> CompressedRows | TransposedColumns | None:
        """The reader of a sparse matrix, None for a dense one."""
        if self.layout == "array":
            return None
        if self.layout == "csr_matrix":
            check_compressed(self.matrix, cells, genes, self.name)
            return CompressedRows(self.matrix, genes, self.name)
        check_compressed(self.matrix, genes, cells, self.name)
        return TransposedColumns(self.matrix, cells, genes, self.name)

    @property
    def layout(self) -> str:
        """csr_matrix, csc_matrix or array."""
        if hasattr(self.matrix, "dtype"):
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
            return int(self.matrix.shape[0]), int(self.matrix.shape[1])
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


def _matrix_of(root: Any, name: str, layer: str | None) -> tuple[Any, Any]:
    path = {None: "X", "X": "X", "raw": "raw/X"}.get(layer, f"layers/{layer}")
    if path not in root:
        layers = list(root["layers"]) if "layers" in root else []
        known = ["X"] * ("X" in root) + ["raw"] * ("raw" in root) + layers
        raise ScReaderError(
            f"has no matrix {path}.", file=name, remedy=f"It has: {', '.join(known) or 'none'}."
        )
    return root[path], root["raw/var" if layer == "raw" else "var"]


class H5adExpression(AnnotatedMatrix):
    """X, ``raw/X`` or a layer of an h5ad that is no exchange file; ``facts`` are texts of uns."""

    def __init__(self, file: h5py.File, name: str, layer: str | None = None) -> None:
        if kind_of(file) is not None:
            raise ScReaderError(
                f"is a {kind_of(file)} file of scReader, wanted expression.", file=name
            )
        super().__init__(file, name, layer)
        self.facts = _facts(file)


def _facts(file: h5py.File) -> dict[str, str]:
    """The single texts in uns."""
    uns = file.get("uns")
    if not isinstance(uns, h5py.Group):
        return {}
    return {
        key: value.asstr()[()]
        for key, value in uns.items()
        if isinstance(value, h5py.Dataset)
        and value.shape == ()
        and h5py.check_string_dtype(value.dtype) is not None
    }


MARKS = (".zgroup", "zarr.json")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return any((path / mark).is_file() for mark in MARKS)


class ZarrExpression(AnnotatedMatrix):
    """X, ``raw/X`` or a layer of an AnnData zarr store."""

    def __init__(self, path: Path, name: str, layer: str | None = None) -> None:
        import zarr

        with _damage_in_words(name):
            root = zarr.open_group(path, mode="r")
            for part in ("obs", "var"):
                if part not in root:
                    raise ScReaderError(f"has no {part}, so it is no AnnData.", file=name)
            super().__init__(root, name, layer)
            uns: Any = root.get("uns", {})
            self.facts = {KEY: str(uns[KEY][()])} if KEY in uns else {}

    def read(self, start: int, stop: int) -> csr_matrix:
        with _damage_in_words(self.name):
            return super().read(start, stop)


@contextmanager
def _damage_in_words(name: str) -> Iterator[None]:
    """Any failure of the zarr library as one line."""
    try:
        yield
    except ScReaderError:
        raise
    except Exception as error:
        raise ScReaderError(f"cannot be read as a zarr store ({error}).", file=name) from error


def table_of(group: Any, name: str) -> LazyTable:
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
        return LazyTable.of(Table(strings(frame.index), columns))
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
    return index is not None and index.ndim == 1 and len(lengths) == 1 and is_string(index)


def _plain(column: Any) -> Any:
    """The array that holds a column, one entry a row; None for one that is not plain."""
    if hasattr(column, "dtype"):
        return column if is_string(column) or column.dtype.kind in "biuf" else None
    if column is None or column.attrs.get("encoding-type") != "categorical":
        return None
    codes, categories = column.get("codes"), column.get("categories")
    if not hasattr(codes, "dtype") or not hasattr(categories, "dtype"):
        return None
    if not is_string(categories) or codes.dtype.kind != "i" or codes.ndim != 1:
        return None
    return codes if all(_within(codes, categories.shape[0])) else None


def _within(codes: Any, categories: int) -> Iterator[bool]:
    """Whether each code of a piece is −1 or has a category."""
    for start, stop in row_blocks(codes.shape[0]):
        some = codes[start:stop]
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
