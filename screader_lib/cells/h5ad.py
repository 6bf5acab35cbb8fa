"""Expression from an h5ad file (AnnData)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import h5py
import numpy as np

from screader_lib.cells.expression import (
    VALUES_PER_BLOCK,
    Expression,
    check_compressed,
    check_indices,
    compressed_rows,
    usual_numbers,
)
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import kind_of
from screader_lib.exchange.table import Categorical, Column, Table, strings

if TYPE_CHECKING:
    import pandas
    from scipy.sparse import csr_matrix


class H5adExpression(Expression):
    """X, ``raw/X`` or a layer of an h5ad; CSR and dense are streamed.

    A CSC matrix is turned to rows in memory, sparse.
    """

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
        if self.layout != "array":
            major, minor = shape if self.layout == "csr_matrix" else shape[::-1]
            check_compressed(self.matrix, major, minor, name)

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

    def blocks(self) -> Iterator[csr_matrix]:
        from scipy.sparse import csc_matrix
        from scipy.sparse import csr_matrix as to_rows

        rows, columns = self._shape()
        if self.layout == "csr_matrix":
            yield from compressed_rows(self.matrix, columns, self.name)
        elif self.layout == "csc_matrix":
            parts = tuple(self.matrix[part][()] for part in ("data", "indices", "indptr"))
            check_indices(parts[1], rows, self.matrix, self.name)
            parts = (usual_numbers(parts[0]), *parts[1:])
            yield csc_matrix(parts, shape=(rows, columns)).tocsr()
        else:
            step = max(1, VALUES_PER_BLOCK // max(1, columns))
            for start in range(0, rows, step):
                yield to_rows(usual_numbers(self.matrix[start : start + step]))


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
    """obs or var, of any AnnData version, through anndata's own reader."""
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
