"""The input's genes onto the embedded genes.

The input's genes by other names: those of another column, or of their orthologs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table
from screader_lib.genes.records import ENSEMBL, without_version
from screader_lib.reporting import SILENT, Reporter

ABSENT = -1


@dataclass
class GeneMatch:
    """``rows`` int32 (input genes,): row of the embedded gene, −1 where there is none."""

    rows: np.ndarray
    how: Counter[str] = field(default_factory=Counter)

    @property
    def matched(self) -> int:
        """Number of input genes that have an embedding."""
        return int((self.rows != ABSENT).sum())


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Name → row, ``ABSENT`` for a name that leads to several rows."""
    found: dict[str, int] = {}
    for name, row in pairs:
        if name and found.setdefault(name, row) != row:
            found[name] = ABSENT
    return found


def _same_gene(genes: Table) -> list[int]:
    """For each row the first row of the same NCBI GeneID: a gene asked for by two names."""
    first: dict[str, int] = {}
    ids = genes.strings("gene_id")
    return [first.setdefault(gene, row) if gene else row for row, gene in enumerate(ids)]


def lookups(genes: Table) -> dict[str, Mapping[str, int]]:
    """Ways to find an embedded gene, best first: way → name → row, ``ABSENT`` if ambiguous."""
    rows = _same_gene(genes)

    def by(column: str) -> dict[str, int]:
        names = genes.strings(column)
        return _unique((without_version(name), rows[row]) for row, name in enumerate(names))

    def each_of(column: str) -> dict[str, int]:
        if column not in genes.columns:
            return {}
        return _unique((name, rows[row]) for row, all_ in enumerate(genes.strings(column))
                       for name in all_.split("|"))  # fmt: skip

    without = _unique((without_version(name), rows[row]) for row, name in enumerate(genes.index))
    return {
        "id": {**without, **{name: row for row, name in enumerate(genes.index)}},
        "symbol": by("symbol"),
        "Ensembl id": by("ensembl_id"),
        "NCBI GeneID": by("gene_id"),
        "other id": each_of("other_ids"),
        "alias": each_of("aliases"),
    }


def match_genes(names: np.ndarray, genes: Table) -> GeneMatch:
    """Match input gene ``names`` to the embedded ``genes``.

    Tried in order: the embedding's own id, symbol, Ensembl id (versions ignored), NCBI GeneID,
    ids of other databases and further Ensembl ids, alias. A name that means several genes by the
    first way that knows it is not matched.
    """
    ways = lookups(genes)
    result = GeneMatch(np.full(len(names), ABSENT, np.int32))
    for place, name in enumerate(names):
        for way, table in ways.items():
            row = table.get(name, table.get(without_version(name)))
            if row is not None:
                result.rows[place] = row
                if row != ABSENT:
                    result.how[way] += 1
                break
    return result


def likely_reason(names: np.ndarray, genes: Table) -> str:
    """Why so few genes match, as far as the names tell."""
    known = [*genes.index, *genes.strings("symbol"), *genes.strings("ensembl_id")]
    ours, theirs = _ensembl_kinds(names), _ensembl_kinds(known)
    by_id = sum(ours.values()) > len(names) / 2
    symbols = len(known) - known.count("") - sum(theirs.values())
    if by_id and sum(theirs.values()) < len(genes) / 2:
        return "The cells name genes by Ensembl id, the embeddings by symbol: use --gene-column."
    if by_id and not set(ours) & set(theirs):
        return (
            f"The cells' Ensembl ids begin with {ours.most_common(1)[0][0]}, those of the "
            f"embeddings with {theirs.most_common(1)[0][0]}: embeddings of another species?"
        )
    if not by_id and symbols < len(genes) / 2 <= sum(theirs.values()):
        return (
            "The embeddings name genes by Ensembl id only: use --gene-column for a column of "
            "such ids, or embeddings with symbols."
        )
    folded = {name.lower() for name in (*genes.index, *genes.strings("symbol"))}
    if np.mean([name.lower() in folded for name in names]) > 0.3:
        return "The names agree but for upper and lower case: embeddings of another species?"
    return "Are the embeddings of this species, and is --gene-column right?"


def _ensembl_kinds(names: Iterable[str]) -> Counter[str]:
    """How many names are Ensembl ids of each species, by their beginning, such as ENSMUSG."""
    found = (ENSEMBL.match(name) for name in names)
    return Counter(match[1].rstrip("0123456789") for match in found if match)


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
    reporter.info(f"{count:,} of {len(names):,} genes have one ortholog.")
    return Table(found, {}, "ortholog")
