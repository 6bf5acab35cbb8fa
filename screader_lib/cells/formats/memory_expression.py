"""Expression from an AnnData object, in memory or backed by a file; its matrix stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from screader_lib.cells.formats.anndata_expression import frame_table, kinds_of, matrix_path
from screader_lib.cells.formats.expression import (
    DEFAULTS,
    ORGANISM_KEY,
    CompressedRows,
    Expression,
    ReadOptions,
    Span,
    as_scipy_type,
    even_spans,
)
from screader_lib.cells.formats.transpose import TransposedColumns
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import LazyTable

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix


class MemoryExpression(Expression):
    """X, ``raw`` or a layer of an AnnData object, sparse by rows, sparse by columns or dense.

    Blocks are copies, so that nothing of the object is changed. ScReaderError where there is no
    such matrix, or it is of another kind.
    """

    format = "AnnData object"

    def __init__(self, adata: AnnData, name: str, wanted: ReadOptions = DEFAULTS) -> None:
        layer = wanted.layer
        self.name = name
        self.has_raw = adata.raw is not None
        self.matrix = _matrix(adata, name, layer)
        self.obs = LazyTable.of(frame_table(adata.obs, "obs", name))
        self.matrix_name = matrix_path(layer)
        known = ["X"] * (adata.X is not None) + ["raw"] * self.has_raw + [*adata.layers]
        self.layers = tuple(one for one in known if one != (layer or "X"))
        frame = adata.raw.var if layer == "raw" else adata.var
        var = frame_table(frame, "var", name)
        organism = adata.uns.get(ORGANISM_KEY)
        self.organism = organism if isinstance(organism, str) else ""
        self.log_base = _log_base(adata.uns)
        self.shape: tuple[int, int] = self.matrix.shape
        if self.shape != (len(self.obs), len(var)):
            raise ScReaderError(
                f"its matrix is {self.shape[0]:,} × {self.shape[1]:,}, but obs and var have "
                f"{len(self.obs):,} and {len(var):,} rows.",
                file=name,
            )
        self.set_features(var, kinds_of(var))
        self.rows = self._rows()

    def _rows(self) -> CompressedRows | TransposedColumns | None:
        """The rows of a sparse matrix; None for a dense one."""
        matrix = self.matrix
        layout = getattr(matrix, "format", None)
        if layout in ("csr", "csc"):
            group = matrix.group if hasattr(matrix, "group") else _Arrays(matrix)
            if isinstance(group, h5py.Group):
                group.file.flush()  # its chunks are read from the disk
            rows = CompressedRows if layout == "csr" else TransposedColumns
            return rows(group, *self.shape, self.name)
        if not isinstance(matrix, np.ndarray | h5py.Dataset):
            raise ScReaderError(
                f"its matrix is a {type(matrix).__name__}; expected a csr, csc or dense matrix.",
                file=self.name,
                remedy="Convert it, such as by adata.to_memory().",
            )
        if matrix.dtype.kind not in "biuf":
            raise ScReaderError("its matrix does not hold numbers.", file=self.name)
        return None

    def spans(self) -> Sequence[Span]:
        return even_spans(*self.shape) if self.rows is None else self.rows.spans()

    def read_features(self, start: int, stop: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        if self.rows is None:
            return csr_matrix(as_scipy_type(np.asarray(self.matrix[start:stop])))
        return self.rows.read(start, stop).copy()


class _Arrays(dict[str, np.ndarray]):
    """The arrays of a sparse matrix, by the names that they have in a file."""

    name = "the matrix"

    def __init__(self, matrix: Any) -> None:
        super().__init__(data=matrix.data, indices=matrix.indices, indptr=matrix.indptr)


def _matrix(adata: AnnData, name: str, layer: str | None) -> Any:
    if layer == "raw":
        found = None if adata.raw is None else adata.raw.X
    else:
        found = adata.X if layer in (None, "X") else adata.layers.get(layer)
    if found is None:
        known = ["X"] * (adata.X is not None) + ["raw"] * (adata.raw is not None)
        listed = ", ".join([*known, *adata.layers]) or "none"
        raise ScReaderError(
            f"has no matrix {layer or 'X'}.", file=name, remedy=f"It has: {listed}."
        )
    return found


def _log_base(uns: Any) -> float:
    """``uns["log1p"]["base"]``, as ``scanpy.pp.log1p`` leaves it if it is not e; else 0."""
    log1p = uns.get("log1p")
    base = log1p.get("base") if hasattr(log1p, "get") else None
    return float(base) if isinstance(base, int | float | np.number) else 0.0
