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
from screader_lib.cells.frames import table_of
from screader_lib.cells.turning import TurnedColumns
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import kind_of

if TYPE_CHECKING:
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
        self.facts = _facts(file)
        self.obs = table_of(file["obs"], name)
        self.genes = table_of(frame, name)
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
