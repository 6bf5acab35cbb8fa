"""Precomputed vectors as gene embeddings: for the genes of descriptions, or on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.embeddings import GeneEmbeddings, with_missing
from screader_lib.genes.precomputed.read_precomputed import Precomputed
from screader_lib.genes.records import ENSEMBL, Gene, without_version
from screader_lib.reporting import SILENT, Reporter

PROVIDER = "import"
SOURCES = ("ncbi", "llm", "user", "ortholog")


def of_genes(
    genes: Table, precomputed: Precomputed, model: str, missing: str, reporter: Reporter = SILENT
) -> GeneEmbeddings:
    """The precomputed vectors of ``genes`` (obs of descriptions), with the policy for the rest.

    A gene is looked for by the name it was asked for, symbol, GeneID and other ids, and then by
    aliases that name no vector of another of the genes. The texts of ``genes`` are not those that
    the vectors were made from, so they are left out; texts that ``precomputed`` tells are kept.
    ScReaderError where none is found, or with ``error`` where one is not.
    """
    catalog = Catalog(Gene(name) for name in precomputed.names)
    place = {name: row for row, name in enumerate(precomputed.names)}
    versions = {without_version(name): name for name in precomputed.names if ENSEMBL.match(name)}
    columns = [genes.strings(name) for name in ("id", "symbol", "gene_id", "ensembl_id", "aliases")]
    facts = list(zip(*columns, strict=True))
    others = genes.strings("other_ids") if "other_ids" in genes.columns else [""] * len(facts)
    rows = np.array(
        [
            _row(_ways(*one[:-1], *more.split("|")), catalog, place, versions)
            for one, more in zip(facts, others, strict=True)
        ]
    )
    by_alias = _by_alias(rows, [one[-1].split("|") for one in facts], place)
    if by_alias:
        reporter.info(f"{len(by_alias):,} genes get the vector of an alias, such as "
                     f"{genes.index[min(by_alias)]!r}.")  # fmt: skip
    for gene, row in by_alias.items():
        rows[gene] = row
    known = rows >= 0
    reporter.info(f"{int(known.sum()):,} of {len(genes):,} genes have a precomputed vector.")
    if not known.any():
        raise ScReaderError(
            f"none of the genes is among the {len(place):,} precomputed ones.",
            remedy="Are they of the same species, and named by symbol or Ensembl id?",
        )
    if missing == "error" and not known.all():
        first = genes.index[np.flatnonzero(~known)[0]]
        raise ScReaderError(
            f"{int((~known).sum()):,} genes have no vector, the first is {first!r}.",
            remedy="Choose --missing mean, zero or drop.",
        )
    vectors = precomputed.vectors[rows[known]]
    genes, vectors = with_missing(
        _marked(genes, rows, precomputed.origin), vectors, known, missing, reporter
    )
    return GeneEmbeddings(genes, vectors, PROVIDER, model)


def _marked(genes: Table, rows: np.ndarray, origin: Table | None) -> Table:
    """The genes with the texts of their vectors, where known, and who brought these."""
    columns = {name: column for name, column in genes.columns.items() if name != "text"}
    none = strings("" for _ in rows)
    told: dict[str, np.ndarray] = {"text_sha256": none, "source": strings("user" for _ in rows)}
    for name in ("text", "text_sha256", "source"):
        if origin is not None and name in origin.columns:
            told[name] = origin.strings(name)[rows]
    told = {name: np.where(rows >= 0, values, "") for name, values in told.items()}
    sources = np.where(rows >= 0, told.pop("source"), "none")
    source = Categorical.of(sources, (*SOURCES, "none"))
    return Table(genes.index, columns | told | {"source": source}, genes.index_name)


def _ways(*facts: str) -> list[str]:
    """The names of a gene, best first, without its aliases."""
    return [name for name in facts if name]


def _by_alias(
    rows: np.ndarray, aliases: Sequence[Sequence[str]], place: Mapping[str, int]
) -> dict[int, int]:
    """Gene → vector, for genes without one whose alias names a vector that no one else claims."""
    taken = set(rows[rows >= 0].tolist())
    claims: dict[int, set[int]] = {}
    for gene in np.flatnonzero(rows < 0).tolist():
        for alias in aliases[gene]:
            if alias in place and place[alias] not in taken:
                claims.setdefault(place[alias], set()).add(gene)
    found: dict[int, int] = {}
    for row, genes in claims.items():
        if len(genes) == 1:
            found.setdefault(next(iter(genes)), row)
    return found


def _row(
    ways: Sequence[str], catalog: Catalog, place: Mapping[str, int], versions: Mapping[str, str]
) -> int:
    for name in ways:
        exact = name if name in place else versions.get(without_version(name))
        if exact is not None:
            return place[exact]
    for name in ways[:2]:
        gene = catalog.match(name).gene
        if gene is not None:
            return place[gene.symbol]
    return -1


def on_their_own(precomputed: Precomputed, model: str) -> GeneEmbeddings:
    """The precomputed vectors as they are; often their names are all that is known of the genes."""
    if precomputed.origin is not None:
        return GeneEmbeddings(precomputed.origin, precomputed.vectors, PROVIDER, model)
    names = strings(precomputed.names)
    is_ensembl = [bool(ENSEMBL.match(name)) for name in names]
    both = list(zip(names, is_ensembl, strict=True))
    ensembl = strings(without_version(name) if known else "" for name, known in both)
    symbols = strings("" if known else name for name, known in both)
    empty = strings("" for _ in names)
    columns: dict[str, Any] = {
        "symbol": symbols,
        "gene_id": empty,
        "ensembl_id": ensembl,
        "aliases": empty,
        "source": Categorical.of(["user"] * len(names), (*SOURCES, "none")),
        "text_sha256": empty,
    }
    return GeneEmbeddings(Table(names, columns), precomputed.vectors, PROVIDER, model)
