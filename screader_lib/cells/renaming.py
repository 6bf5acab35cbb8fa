"""The input's genes by other names: those of another column, or of their orthologs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from screader_lib.cells.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table
from screader_lib.reporting import SILENT, Reporter

NAMES = ("feature_name", "gene_symbols", "gene_symbol", "gene_name", "symbol", "gene_ids")
NO_NAME = "(no ortholog)"  # matches no gene


def by_column(genes: Table, column: str, file: str) -> Table:
    """The genes, named by one of their columns; ScReaderError where there is none."""
    if column not in genes.columns:
        known = ", ".join(genes.columns) or "none"
        raise ScReaderError(
            f"its genes have no column {column!r}.", file=file, remedy=f"Columns: {known}."
        )
    return Table(genes.strings(column), {}, column)


def usual_columns(genes: Table) -> list[str]:
    """Columns that usually hold names of genes, such as CELLxGENE's ``feature_name``."""
    return [name for name in NAMES if name in genes.columns]


def by_orthologs(
    expression: Expression, pairs: Mapping[str, str], reporter: Reporter = SILENT
) -> Table:
    """The genes by the names of their orthologs; one without an ortholog matches nothing."""
    names = expression.genes.index
    found = np.array([pairs.get(name, NO_NAME) for name in names], dtype=object)
    count = sum(name in pairs for name in names)
    reporter.say(f"{count:,} of {len(names):,} genes have one ortholog.")
    return Table(found, {}, "ortholog")
