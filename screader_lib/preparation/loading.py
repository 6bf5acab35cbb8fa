"""Any expression file as an AnnData of counts, sparse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from screader_lib.cells.annotation import unique_names
from screader_lib.cells.expression import Expression
from screader_lib.cells.values import kind_of
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, Table

if TYPE_CHECKING:
    import anndata
    import pandas


def load_counts(source: Expression) -> anndata.AnnData:
    """All cells of ``source``, CSR float32, with its tables of cells and genes.

    Names of cells and genes are made unique. ScReaderError where the values are no counts.
    """
    import anndata
    from scipy.sparse import csr_matrix, vstack

    blocks = [source.read(start, stop) for start, stop in source.spans()]
    kind = kind_of(blocks, "auto", source.name)
    if kind != "counts":
        raise ScReaderError(
            "its values are log-normalised, wanted counts.",
            file=source.name,
            remedy="Name the counts with --layer.",
        )
    if not blocks or not len(source.genes):
        raise ScReaderError("holds no cells or no genes.", file=source.name)
    matrix = csr_matrix(vstack(blocks), dtype=np.float32)
    return anndata.AnnData(matrix, _frame(source.obs), _frame(source.genes))


def _frame(table: Table) -> pandas.DataFrame:
    import pandas

    index = pandas.Index(unique_names(table.index))
    return pandas.DataFrame(
        {name: _series(column) for name, column in table.columns.items()}, index=index
    )


def _series(column: Column) -> pandas.Categorical | np.ndarray:
    import pandas

    if isinstance(column, Categorical):
        return pandas.Categorical.from_codes(column.codes, list(column.categories))
    return column
