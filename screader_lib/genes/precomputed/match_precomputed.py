"""Precomputed vectors as gene embeddings: of described genes, or of all genes of the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.embeddings import GeneEmbeddings, with_missing
from screader_lib.genes.precomputed.read_precomputed import Precomputed
from screader_lib.genes.records import ENSEMBL, Gene, without_version
from screader_lib.reporting import SILENT, Reporter, counted

PROVIDER = "import"
SOURCES = ("ncbi", "llm", "user", "ortholog", "none")


def described_genes(
    genes: Table, precomputed: Precomputed, model: str, missing: str, reporter: Reporter = SILENT
) -> GeneEmbeddings:
    """The precomputed vectors of ``genes`` (obs of descriptions), with the policy for the rest.

    A gene is looked up by the name it was requested by, symbol, GeneID and other ids, and then by
    aliases that name no vector of another of the genes. The texts of ``genes`` are not those that
    the vectors were made from, so they are dropped; texts of ``precomputed`` are kept.
    ScReaderError where no gene has a vector, or with ``error`` where one has none.
    """
    row_of = {name: row for row, name in enumerate(precomputed.names)}
    rows = _rows_by_name(genes, row_of)
    by_alias = _rows_by_alias(genes, rows, row_of)
    if by_alias:
        number = counted(len(by_alias), "gene")
        reporter.info(f"{number} matched by an alias, such as {genes.index[min(by_alias)]!r}.")
        rows[list(by_alias)] = list(by_alias.values())
    known = rows >= 0
    reporter.info(f"{int(known.sum()):,} of {len(genes):,} genes have a precomputed vector.")
    if not known.any():
        raise ScReaderError(
            f"none of the genes is among the {len(row_of):,} precomputed ones.",
            remedy="Are they of the same species, and named by symbol or Ensembl id?",
        )
    if missing == "error" and not known.all():
        first = genes.index[np.flatnonzero(~known)[0]]
        raise ScReaderError(
            f"{counted(int((~known).sum()), 'gene')} without a vector, the first is {first!r}.",
            remedy="Choose --missing mean, zero or drop.",
        )
    genes, vectors = with_missing(
        _with_origin(genes, rows, precomputed.origin),
        precomputed.vectors[rows[known]],
        known,
        missing,
        reporter,
    )
    return GeneEmbeddings(genes, vectors, PROVIDER, model)


def _rows_by_name(genes: Table, row_of: Mapping[str, int]) -> np.ndarray:
    """int64 (genes,): the row of a gene's vector, −1 where it has none by its names and ids."""
    catalog = Catalog(map(Gene, row_of))
    unversioned = {
        without_version(name): row for name, row in row_of.items() if ENSEMBL.match(name)
    }
    columns = [genes.strings(name) for name in ("id", "symbol", "gene_id", "ensembl_id")]
    others = genes.strings("other_ids") if "other_ids" in genes.columns else [""] * len(genes)

    def row(*names: str) -> int:
        names = tuple(filter(None, names))
        for name in names:
            match = row_of.get(name, unversioned.get(without_version(name)))
            if match is not None:
                return match
        genes = (catalog.match(name).gene for name in names[:2])
        return next((row_of[gene.symbol] for gene in genes if gene is not None), -1)

    facts = zip(*columns, others, strict=True)
    return np.array([row(*names, *other_ids.split("|")) for *names, other_ids in facts], np.int64)


def _rows_by_alias(genes: Table, rows: np.ndarray, row_of: Mapping[str, int]) -> dict[int, int]:
    """Gene → row, for genes without one whose alias names a vector that no other gene claims."""
    taken = set(rows[rows >= 0].tolist())
    aliases = genes.strings("aliases")
    claims: dict[int, set[int]] = {}
    for gene in np.flatnonzero(rows < 0).tolist():
        for alias in aliases[gene].split("|"):
            if alias in row_of and row_of[alias] not in taken:
                claims.setdefault(row_of[alias], set()).add(gene)
    by_alias: dict[int, int] = {}
    for row, claimants in claims.items():
        if len(claimants) == 1:
            by_alias.setdefault(min(claimants), row)
    return by_alias


def _with_origin(genes: Table, rows: np.ndarray, origin: Table | None) -> Table:
    """The genes with the texts of their vectors, if known, and where these came from."""
    columns = {name: column for name, column in genes.columns.items() if name != "text"}
    known = rows >= 0
    columns["text_sha256"] = strings("" for _ in rows)
    sources = np.where(known, "user", "none")
    if origin is not None:
        for name in ("text", "text_sha256"):
            if name in origin.columns:
                columns[name] = np.where(known, origin.strings(name)[rows], "")
        if "source" in origin.columns:
            sources = np.where(known, origin.strings("source")[rows], "none")
    columns["source"] = Categorical.of(sources, SOURCES)
    return Table(genes.index, columns, genes.index_name)


def all_genes(precomputed: Precomputed, model: str) -> GeneEmbeddings:
    """The precomputed vectors as they are; often only the names of their genes are known."""
    genes = precomputed.origin
    if genes is None:
        names = strings(precomputed.names)
        ensembl = np.array([bool(ENSEMBL.match(name)) for name in names])
        empty = strings("" for _ in names)
        columns: dict[str, Any] = {
            "symbol": np.where(ensembl, "", names),
            "gene_id": empty,
            "ensembl_id": np.where(ensembl, strings(map(without_version, names)), ""),
            "aliases": empty,
            "source": Categorical.of(["user"] * len(names), SOURCES),
            "text_sha256": empty,
        }
        genes = Table(names, columns)
    return GeneEmbeddings(genes, precomputed.vectors, PROVIDER, model)
