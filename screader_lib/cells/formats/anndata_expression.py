"""Expression from AnnData: h5ad files and zarr stores, of any version of anndata.

The matrix (X, ``raw/X`` or a layer) is sparse by rows, sparse by columns or dense. obs and var are
read piece by piece where they are written as anndata does now, and by anndata as a whole where not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from screader_lib.cells.formats.expression import (
    DEFAULTS,
    ORGANISM_KEY,
    SPIKE_IN,
    CompressedRows,
    Expression,
    ReadOptions,
    Span,
    as_scipy_type,
    even_spans,
)
from screader_lib.cells.formats.transpose import TransposedColumns
from screader_lib.cells.formats.zarr_chunks import check_chunks
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import (
    Categorical,
    Column,
    LazyTable,
    Table,
    as_strings,
    is_string,
    row_blocks,
    stored_table,
    strings,
)
from screader_lib.genes.text_files import GENE_EXPRESSION

if TYPE_CHECKING:
    import pandas
    from scipy.sparse import csr_matrix

PARTS = ("layers", "obsm", "varm", "obsp", "varp", "uns", "raw")
KIND_COLUMNS = ("feature_types", "feature_type")  # as scanpy and 10x call it
NO_NAME = "_index"  # AnnData's name of an index that has none
MAX_WHOLE = 1 << 29  # bytes of a data frame that cannot be read piece by piece
MOST_GENES = 5_000_000
REWRITE = "Rewrite the file with a current anndata."
ZARR_FILES = (".zgroup", "zarr.json")


class AnnDataExpression(Expression):
    """X, ``raw/X`` or a layer of ``root``, an open h5ad file or zarr group.

    ScReaderError where there is no such matrix, or it does not fit obs and var.
    """

    format = "h5ad"

    def __init__(self, root: Any, name: str, wanted: ReadOptions = DEFAULTS) -> None:
        self.name = name
        self.has_raw = bool(_raw_paths(root))
        if wanted.genes_only:
            self._set_all_genes(root)
            return
        layer = wanted.layer
        self.matrix, group = _matrix_and_var(root, name, layer)
        self.matrix_name = matrix_path(layer)
        self.layers = tuple(one for one in _layers(root) if one != (layer or "X"))
        self.obs = read_frame(root["obs"], name)
        var = _table_of_genes(group, name)
        self.organism = _organism(root)
        self.matrices = tuple(_layers(root))
        self.others = ", ".join(
            key for key in PARTS if hasattr(root.get(key), "keys") and len(root[key])
        )
        self.log_base = _log_base(root)
        layout, self.shape = _layout_and_shape(self.matrix, name)
        if self.shape != (len(self.obs), len(var)):
            raise ScReaderError(
                f"{self.matrix.name} is {self.shape[0]:,} × {self.shape[1]:,}, but obs and var "
                f"have {len(self.obs):,} and {len(var):,} rows.",
                file=name,
            )
        self.set_features(var, kinds_of(var))
        self.rows: CompressedRows | TransposedColumns | None = None  # of a dense matrix
        if layout == "csr_matrix":
            self.rows = CompressedRows(self.matrix, *self.shape, name)
        elif layout == "csc_matrix":
            self.rows = TransposedColumns(self.matrix, *self.shape, name)

    def _set_all_genes(self, root: Any) -> None:
        """The genes of var, then those of raw that are not among them, but no cells."""
        var = _table_of_genes(root["var"], self.name)
        self.set_features(var, kinds_of(var))
        if (raw := _raw_paths(root)) and raw[1] in root:
            more = _table_of_genes(root[raw[1]], self.name)
            known = set(self.genes.index)
            more = more.take(np.flatnonzero([name not in known for name in more.index]))
            columns: dict[str, Column] = {
                name: np.concatenate([self.genes.strings(name), more.strings(name)])
                for name in self.genes.columns
                if name in more.columns
            }
            index = np.concatenate([self.genes.index, more.index])
            self.genes = Table(index, columns, self.genes.index_name)

    def spans(self) -> Sequence[Span]:
        return even_spans(*self.shape) if self.rows is None else self.rows.spans()

    def read_features(self, start: int, stop: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        if self.rows is None:
            return csr_matrix(as_scipy_type(self.matrix[start:stop]))
        return self.rows.read(start, stop)


class ZarrExpression(AnnDataExpression):
    """X, ``raw/X`` or a layer of an AnnData zarr store."""

    format = "zarr store"

    def __init__(self, root: Any, name: str, wanted: ReadOptions = DEFAULTS) -> None:
        if wanted.genes_only:
            check_chunks((root["var"],), name)
        else:
            check_chunks((*_matrix_and_var(root, name, wanted.layer), root["obs"]), name)
        super().__init__(root, name, wanted)

    def read_features(self, start: int, stop: int) -> csr_matrix:
        with zarr_errors(self.name):
            return super().read_features(start, stop)


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return any((path / name).is_file() for name in ZARR_FILES)


@contextmanager
def zarr_errors(name: str) -> Iterator[None]:
    """Any failure of the zarr library as one line."""
    try:
        yield
    except ScReaderError:
        raise
    except Exception as error:
        raise ScReaderError(f"cannot be read as a zarr store ({error}).", file=name) from error


def matrix_path(layer: str | None) -> str:
    """Where the matrix of a ``layer`` is: X, ``raw/X`` or a layer's path."""
    return {None: "X", "X": "X", "raw": "raw/X"}.get(layer, f"layers/{layer}")


def kinds_of(var: Table) -> np.ndarray | None:
    """The kind of each feature, object (features,), where var has a column of 10x's; else None.

    Spike-ins, which CELLxGENE marks in ``feature_biotype``, are a kind of their own.
    """
    if "feature_biotype" in var.columns:
        biotypes = var.strings("feature_biotype")
        if SPIKE_IN in biotypes:
            return np.where(biotypes == SPIKE_IN, SPIKE_IN, GENE_EXPRESSION).astype(object)
    for column in KIND_COLUMNS:
        if column in var.columns:
            return var.strings(column)
    return None


def _matrix_and_var(root: Any, name: str, layer: str | None) -> tuple[Any, Any]:
    path, var = matrix_path(layer), "var"
    if layer == "raw" and (raw := _raw_paths(root)):
        path, var = raw
    if path not in root:
        listed = ", ".join(_layers(root))
        remedy = f"It has: {listed}." if layer else f"Name another one with --layer: {listed}."
        remedy = remedy if listed else "It has no matrix at all."
        raise ScReaderError(f"has no matrix {path}.", file=name, remedy=remedy)
    return root[path], root[var]


def _raw_paths(root: Any) -> tuple[str, str] | None:
    """Where the raw matrix and its var are, before AnnData 0.7 ``raw.X`` and ``raw.var``."""
    for paths in (("raw/X", "raw/var"), ("raw.X", "raw.var")):
        if all(path in root for path in paths):
            return paths
    return None


def _layers(root: Any) -> list[str]:
    """What ``--layer`` may name."""
    layers = list(root["layers"]) if "layers" in root else []
    return ["X"] * ("X" in root) + ["raw"] * bool(_raw_paths(root)) + layers


def _organism(root: Any) -> str:
    uns = root.get("uns")
    value: Any = uns.get(ORGANISM_KEY) if hasattr(uns, "keys") else None
    if getattr(value, "shape", None) != () or not is_string(value):
        return ""
    return str(value.asstr()[()] if isinstance(value, h5py.Dataset) else value[()])


def _log_base(root: Any) -> float:
    """``uns/log1p/base``, where ``scanpy.pp.log1p`` leaves the base if it is not e; else 0."""
    uns = root.get("uns")
    log1p: Any = uns.get("log1p") if hasattr(uns, "keys") else None
    base: Any = log1p.get("base") if hasattr(log1p, "keys") else None
    if getattr(base, "shape", None) != () or base.dtype.kind not in "iuf":
        return 0.0
    return float(base[()])


def _layout_and_shape(matrix: Any, name: str) -> tuple[str, tuple[int, int]]:
    """csr_matrix, csc_matrix or array; cells and genes."""
    if hasattr(matrix, "dtype"):
        if matrix.ndim != 2:
            raise ScReaderError(f"{matrix.name} is not a matrix.", file=name)
        if matrix.dtype.kind not in "biuf":
            raise ScReaderError(f"{matrix.name} does not hold numbers.", file=name)
        return "array", matrix.shape
    kind = matrix.attrs.get("encoding-type") or f"{matrix.attrs.get('h5sparse_format', '')}_matrix"
    if kind not in ("csr_matrix", "csc_matrix"):
        raise ScReaderError(
            f"{matrix.name} has encoding {kind!r}; expected a csr, csc or dense matrix.", file=name
        )
    shape = np.atleast_1d(matrix.attrs.get("shape", matrix.attrs.get("h5sparse_shape", ())))
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise ScReaderError(f"{matrix.name} is damaged: it has no shape.", file=name)
    return str(kind), (int(shape[0]), int(shape[1]))


def _table_of_genes(group: Any, name: str) -> Table:
    """var; ScReaderError where it has more rows than any species has genes."""
    frame = read_frame(group, name)
    if len(frame) > MOST_GENES:
        problem = f"{group.name} has {len(frame):,} rows, more than there are genes."
        raise ScReaderError(problem, file=name, remedy="Refused as unsafe.")
    return frame.load()


def read_frame(group: Any, name: str) -> LazyTable:
    """obs or var as a table, of any AnnData version, from HDF5 or zarr.

    ScReaderError where it is no data frame; ``name`` is what messages call the file.
    """
    if _is_current(group):
        return stored_table(group)
    import anndata

    if _declared_bytes(group) > MAX_WHOLE:
        error = ValueError("its columns are too large to be read as a whole")
        raise _no_frame(group.name, name, error, REWRITE)
    try:
        if isinstance(group, h5py.Dataset) and group.dtype.names:
            return LazyTable.of(_compound_table(group))
        frame = anndata.io.read_elem(group)
    except Exception as error:
        raise _no_frame(group.name, name, error, REWRITE) from error
    return LazyTable.of(frame_table(frame, group.name, name, REWRITE))


def _declared_bytes(element: Any) -> int:
    """What an element of an h5ad or zarr store takes in memory, about."""
    if not hasattr(element, "keys"):
        return math.prod(element.shape or ()) * max(1, element.dtype.itemsize)
    return sum(_declared_bytes(element[key]) for key in element)


def _compound_table(dataset: h5py.Dataset) -> Table:
    """obs or var of AnnData before 0.7: one array of rows, whose categories are in uns."""
    rows, uns = dataset[()], dataset.file.get("uns", {})
    names = list(rows.dtype.names or ())
    columns: dict[str, Column] = {}
    for name in names:
        values = rows[name]
        categories: Any = uns.get(f"{name}_categories") if hasattr(uns, "get") else None
        if values.dtype.kind in "SO":
            texts = (one.decode() if isinstance(one, bytes) else one for one in values)
            columns[name] = strings(texts)
        elif getattr(categories, "ndim", 0) == 1 and is_string(categories) and len(categories):
            labels = tuple(categories.asstr()[()])
            columns[name] = values
            if values.dtype.kind == "i" and values.max(initial=-1) < len(labels):
                columns[name] = Categorical(np.maximum(values, -1).astype(np.int32), labels)
        else:
            columns[name] = values
    index = "index" if "index" in columns else names[0]
    return Table(as_strings(columns.pop(index)), columns, NO_NAME)


def frame_table(frame: pandas.DataFrame, part: str, name: str, remedy: str = "") -> Table:
    """A data frame of pandas, which messages call ``part`` of ``name``, as a table.

    ScReaderError where it has columns that no table can have, such as two of one name.
    """
    try:
        columns = {str(key): _column(frame[key]) for key in frame}
        return Table(strings(frame.index), columns, str(frame.index.name or NO_NAME))
    except Exception as error:
        raise _no_frame(part, name, error, remedy) from error


def _no_frame(part: str, name: str, error: Exception, remedy: str) -> ScReaderError:
    problem = f"{part} cannot be read as a data frame ({error})."
    return ScReaderError(problem, file=name, remedy=remedy)


def _is_current(group: Any) -> bool:
    """Whether this is a data frame as anndata writes it now, which can be read piece by piece.

    All columns are there and of one length, of plain numbers, strings or categories of strings.
    """
    attributes = getattr(group, "attrs", {}) if hasattr(group, "keys") else {}
    encoding = (attributes.get("encoding-type"), attributes.get("encoding-version"))
    if encoding != ("dataframe", "0.2.0") or not {"_index", "column-order"} <= set(attributes):
        return False
    names = [str(attributes["_index"]), *map(str, attributes["column-order"])]
    columns = [_plain_values(group.get(name)) for name in names]
    lengths = {None if column is None else column.shape for column in columns}
    index = columns[0]
    return index is not None and index.ndim == 1 and len(lengths) == 1 and is_string(index)


def _plain_values(column: Any) -> Any:
    """The array that holds a column, one entry a row; None for a column that is not plain."""
    if hasattr(column, "dtype"):
        return column if is_string(column) or column.dtype.kind in "biuf" else None
    if column is None or column.attrs.get("encoding-type") != "categorical":
        return None
    codes, categories = column.get("codes"), column.get("categories")
    if not hasattr(codes, "dtype") or not hasattr(categories, "dtype"):
        return None
    if not is_string(categories) or codes.dtype.kind != "i" or codes.ndim != 1:
        return None
    for start, stop in row_blocks(codes.shape[0]):
        if codes[start:stop].max() >= categories.shape[0]:
            return None
    return codes


def _column(series: pandas.Series) -> Column:
    if series.dtype.name == "category":
        categories = tuple(str(value) for value in series.cat.categories)
        return Categorical(np.asarray(series.cat.codes, np.int32), categories)
    values = series.to_numpy()
    if values.dtype.kind in "biuf":
        return values
    if series.dtype.kind in "iufb":  # nullable numbers
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return strings(series.fillna("").to_numpy())
