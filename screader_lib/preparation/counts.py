"""Any expression file as an AnnData of counts, sparse, and its quality control."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.gene_names import name_columns
from screader_lib.cells.input_file import naming_layers
from screader_lib.cells.normalisation import KIND_NAMES, check_kind, detect_kind, first_values
from screader_lib.cells.obs.columns import name_beside, unique_names
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Table
from screader_lib.genes.records import ENSEMBL
from screader_lib.reporting import SILENT, Reporter, counted

if TYPE_CHECKING:
    import anndata
    import pandas

RESULT_COLUMNS = (
    "cluster", "label", "label_ontology_id", "label_status", "label_score", "total_counts",
    "n_genes", "percent_mito",
)  # fmt: skip
MITOCHONDRIAL = re.compile(r"mt[-.]", re.IGNORECASE)


def load_counts(source: Expression, reporter: Reporter = SILENT) -> anndata.AnnData:
    """All cells of ``source``, CSR float32, with its tables of cells and genes.

    Names of cells and genes are made unique; genes are named by symbol where a column has these.
    Columns of cells that results will need are kept as ``NAME_input``. ScReaderError where the
    values are not counts.
    """
    import anndata
    from scipy.sparse import csr_matrix, vstack

    reporter.info(f"{source.summary}.")
    blocks = [source.read(start, stop) for start, stop in source.spans()]
    with naming_layers(source):
        kind = detect_kind(first_values(blocks), "auto", source.name, source.log_base)
        for block in blocks:
            check_kind(block.data, kind, "auto", source.name)
    if kind != "counts":
        raise ScReaderError(
            f"its values are {KIND_NAMES[kind]}; raw counts are required.",
            file=source.name,
            remedy=f"Name the counts with --layer: {', '.join(source.layers)}."
            if source.layers
            else "It has no other matrix: give a file with raw counts.",
        )
    if not blocks or not len(source.genes):
        raise ScReaderError("holds no cells or no genes.", file=source.name)
    matrix = csr_matrix(vstack(blocks), dtype=np.float32)
    obs = source.obs.load()
    columns = {
        name_beside(obs.columns, f"{name}_input") if name in RESULT_COLUMNS else name: column
        for name, column in obs.columns.items()
    }
    cells = _frame(Table(obs.index, columns), "cell", reporter)
    genes = _frame(_by_symbol(source.genes, reporter), "gene", reporter)
    return anndata.AnnData(matrix, cells, genes)


def _by_symbol(genes: Table, reporter: Reporter) -> Table:
    """The genes by their symbols, where the index holds Ensembl ids and a column the symbols."""
    if not _are_ensembl(genes.index):
        return genes
    for column in name_columns(genes):
        names = genes.strings(column)
        if not _are_ensembl(names):
            reporter.info(f"genes are named by the symbols in column {column}.")
            return Table(names, {**genes.columns, "ensembl_id": genes.index}, genes.index_name)
    return genes


def _are_ensembl(names: np.ndarray) -> bool:
    return bool(np.mean([ENSEMBL.match(name) is not None for name in names]) >= 0.5)


def _frame(table: Table, what: str, reporter: Reporter) -> pandas.DataFrame:
    import pandas

    duplicates = len(table) - len(set(table.index))
    if duplicates:
        names = counted(duplicates, f"duplicate {what} name")
        reporter.info(f"{names} made unique with -1, -2, …")
    columns = {
        name: pandas.Categorical.from_codes(column.codes, list(column.categories))
        if isinstance(column, Categorical)
        else column
        for name, column in table.columns.items()
    }
    return pandas.DataFrame(columns, index=pandas.Index(unique_names(table.index)))


@dataclass(frozen=True)
class QualityThresholds:
    """Minimum and maximum per cell, and the number of cells a gene must be detected in.

    ``max_mito`` is in per cent of a cell's counts; None is no limit.
    """

    min_counts: int = 0
    min_genes: int = 200
    max_genes: int | None = None
    max_mito: float | None = 20.0
    min_cells: int = 3


def filter_counts(
    data: anndata.AnnData, thresholds: QualityThresholds, reporter: Reporter = SILENT
) -> anndata.AnnData:
    """The cells and genes that pass, with ``total_counts``, ``n_genes`` and ``percent_mito``.

    Cells are filtered first, then genes by the remaining cells. ScReaderError where nothing passes.
    """
    counts = np.asarray(data.X.sum(1), np.float64).ravel()
    genes = np.asarray((data.X != 0).sum(1)).ravel()
    is_mito = np.array([bool(MITOCHONDRIAL.match(name)) for name in data.var_names])
    mito_counts = np.asarray(data.X[:, is_mito].sum(1), np.float64).ravel()
    percent_mito = 100 * mito_counts / np.maximum(counts, 1)
    data.obs["total_counts"] = counts.astype(np.float32)
    data.obs["n_genes"] = genes.astype(np.int32)
    data.obs["percent_mito"] = percent_mito.astype(np.float32)
    if not is_mito.any():
        reporter.info("no gene name starts with MT-, so mitochondrial percentages are 0.")
    failing = {
        f"fewer than {thresholds.min_counts:,} counts": counts < thresholds.min_counts,
        f"fewer than {thresholds.min_genes:,} genes": genes < thresholds.min_genes,
    }
    if thresholds.max_genes is not None:
        failing[f"more than {thresholds.max_genes:,} genes"] = genes > thresholds.max_genes
    if thresholds.max_mito is not None:
        reason = f"more than {thresholds.max_mito:g} % mitochondrial counts"
        failing[reason] = percent_mito > thresholds.max_mito
    for reason, fails in failing.items():
        if fails.any():
            reporter.info(f"{counted(int(fails.sum()), 'cell')} with {reason} removed.")
    cells = data[~np.logical_or.reduce(list(failing.values()))]
    detected = np.asarray((cells.X != 0).sum(0)).ravel() >= thresholds.min_cells
    if not len(cells) or not detected.any():
        raise ScReaderError(
            f"none of the {data.n_obs:,} cells and {data.n_vars:,} genes passes quality control.",
            remedy="Lower --min-genes, --min-counts or --min-cells, or raise --max-mito.",
        )
    reporter.info(
        f"{cells.n_obs:,} of {data.n_obs:,} cells and {int(detected.sum()):,} of {data.n_vars:,} "
        "genes pass quality control."
    )
    return cells[:, detected].copy()
