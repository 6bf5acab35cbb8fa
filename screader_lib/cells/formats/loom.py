"""Expression from a loom file (genes × cells, dense, chunked)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import h5py

from screader_lib.cells.formats.anndata_expression import kinds_of
from screader_lib.cells.formats.expression import Expression, Span, as_scipy_type, even_spans
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import LazyTable, as_strings, stored_column

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CELL_NAMES = (
    "CellID", "obs_names", "cell_id", "barcode", "cell_names", "barcodes", "Barcode", "cell",
)  # fmt: skip
GENE_NAMES = (
    "Gene", "var_names", "gene", "gene_name", "gene_names", "gene_symbols", "GeneName", "Accession",
)  # fmt: skip


class LoomExpression(Expression):
    """The main matrix or a layer of a loom file, read by blocks of cells."""

    format = "loom"

    def __init__(self, file: h5py.File, name: str, layer: str | None = None) -> None:
        self.name = name
        path = "matrix" if layer in (None, "matrix", "X") else f"layers/{layer}"
        if path not in file:
            known = ", ".join(["matrix", *file.get("layers", ())])
            raise ScReaderError(f"has no matrix {path}.", file=name, remedy=f"It has: {known}.")
        self.matrix, self.matrix_name = file[path], path
        is_matrix = isinstance(self.matrix, h5py.Dataset) and self.matrix.ndim == 2
        if not is_matrix or self.matrix.dtype.kind not in "biuf":
            raise ScReaderError(f"{path} is not a matrix of numbers.", file=name)
        matrices = {"matrix", *(f"layers/{one}" for one in file.get("layers", ()))} - {path}
        graphs = [key for key in ("col_graphs", "row_graphs") if len(file.get(key, ()))]
        self.others = ", ".join([*sorted(matrices), *graphs])
        self.layers = tuple(sorted(one.removeprefix("layers/") for one in matrices))
        genes, cells = self.matrix.shape
        self.matrices = ("matrix", *file.get("layers", ()))
        features = _attributes(file["row_attrs"], genes, GENE_NAMES, name).load()
        self.set_features(features, kinds_of(features))
        self.obs = _attributes(file["col_attrs"], cells, CELL_NAMES, name)

    def spans(self) -> Sequence[Span]:
        genes, cells = self.matrix.shape
        return even_spans(cells, genes)

    def read_features(self, start: int, stop: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        return csr_matrix(as_scipy_type(self.matrix[:, start:stop].T))


def _attributes(group: h5py.Group, size: int, names: tuple[str, ...], file: str) -> LazyTable:
    columns = {
        key: stored_column(dataset)
        for key, dataset in group.items()
        if isinstance(dataset, h5py.Dataset) and dataset.shape == (size,)
    }
    index = next((columns[key] for key in names if key in columns), None)
    if index is None:
        raise ScReaderError(
            f"{group.name} has no {' or '.join(names)}.",
            file=file,
            remedy=f"It has: {', '.join(columns) or 'none of the right length'}.",
        )
    return LazyTable(index.map(as_strings, object), columns)
