"""The matrix of an AnnData, from HDF5 or zarr: by rows, by columns or dense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
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
        self.genes = table_of(frame, name).whole()
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
