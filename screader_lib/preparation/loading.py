"""Any expression file as an AnnData of counts, sparse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from screader_lib.cells.cell_names import unique_names
from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.gene_names import name_columns
from screader_lib.cells.normalisation import check_kind, detect_kind
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, Table
from screader_lib.genes.records import ENSEMBL
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import anndata
    import pandas

RESULTS = (
    "cluster",
    "label",
    "label_ontology_id",
    "label_status",
    "label_score",
    "total_counts",
    "n_genes",
    "percent_mito",
)


def load_counts(source: Expression, reporter: Reporter = SILENT) -> anndata.AnnData:
    """All cells of ``source``, CSR float32, with its tables of cells and genes.

    Names of cells and genes are made unique; genes are named by symbol where a column has these.
    ScReaderError where the values are no counts.
    """
    import anndata
    from scipy.sparse import csr_matrix, vstack

    blocks = [source.read(start, stop) for start, stop in source.spans()]
    kind = detect_kind(blocks, "auto", source.name)
    for block in blocks:
        check_kind(block.data, kind, "auto", source.name)
    if kind != "counts":
        raise ScReaderError(
            "its values are log-normalised, wanted counts.",
            file=source.name,
            remedy="Name the counts with --layer.",
        )
    if not blocks or not len(source.genes):
        raise ScReaderError("holds no cells or no genes.", file=source.name)
    matrix = csr_matrix(vstack(blocks), dtype=np.float32)
    cells, genes = _with_input_names(source.obs.load()), _by_symbol(source.genes, reporter)
    for what, table in (("cell", cells), ("gene", genes)):
        doubles = len(table) - len(set(table.index))
        if doubles:
            reporter.info(f"{doubles:,} {what} names come again and get -1, -2, …")
    return anndata.AnnData(matrix, _frame(cells), _frame(genes))


def _with_input_names(cells: Table) -> Table:
    """Columns whose names are wanted for results are kept as ``NAME_input``."""
    columns = {
        f"{name}_input" if name in RESULTS else name: column
        for name, column in cells.columns.items()
    }
    return Table(cells.index, columns, cells.index_name)


def _by_symbol(genes: Table, reporter: Reporter) -> Table:
    """The genes by their symbols, where the index holds Ensembl ids and a column the symbols."""
    if np.mean([bool(ENSEMBL.match(name)) for name in genes.index]) < 0.5:
        return genes
    for column in name_columns(genes):
        names = genes.strings(column)
        if np.mean([bool(ENSEMBL.match(name)) for name in names]) < 0.5:
            reporter.info(f"genes are named by {column}.")
            return Table(names, {**genes.columns, "ensembl_id": genes.index}, genes.index_name)
    return genes


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
