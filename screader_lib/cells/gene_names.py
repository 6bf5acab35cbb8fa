"""Genes of the input matched to the embedded genes by name: by id, symbol, Ensembl id, alias.

The input's names are those of its index, of a column of its genes, or of their orthologs. Where a
matrix has genes of several genomes, names may have the genome before them: ``GRCh38_INS`` and
``mm10___Ins2`` of Cell Ranger, in which Seurat turns the lines into hyphens. Features of 10x, and
var of scanpy, also have a column ``genome``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from screader_lib.cells.formats.expression import Expression, ReadOptions
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table, strings
from screader_lib.genes.records import ENSEMBL, without_version
from screader_lib.genes.spelling import dotted, name_within, without_suffix
from screader_lib.reporting import SILENT, Reporter

COLUMN = "genome"
PREFIX = re.compile(
    r"((?:GRC[a-z]|hg|mm|rn|danRer|dm|ce|sacCer|susScr|galGal)\d+[^_\s]*?)[_-]+(?=\w)"
)
SPECIES = {"grch": "human", "hg": "human", "grcm": "mouse", "mm": "mouse", "rn": "rat"}
MIN_SHARE = 0.5  # of the names that have a prefix, from which it is one
ABSENT = -1
ALIAS, PUNCTUATION = "alias", "punctuation"  # ways to match
GENE_NAMES = ("symbol", "gene_id", "ensembl_id", "aliases", "other_ids")  # beside the id
NAME_COLUMNS = (
    "feature_name",
    "gene_symbols",
    "gene_symbol",
    "gene_name",
    "symbol",
    "Symbol",
    "gene_ids",
)
NO_ORTHOLOG = "(no ortholog)"  # matches no gene
LEAST_ROW_NUMBERS = 10
ROW_NUMBERS = (
    "They are numbered (0, 1, 2, …), not named: name the column that has their names with "
    "--gene-column, or write the names into the file."
)
DEFAULT_REASON = "Are the embeddings of this species, and is --gene-column right?"


@dataclass
class NameMatch:
    """``rows`` int32 (input genes,): the row of each gene's embedding, −1 for none.

    ``counts`` has the number of genes matched in each way, such as ``symbol``, and ``ways`` the
    way of each gene, object (input genes,), "" for none.
    """

    rows: np.ndarray
    counts: Counter[str] = field(default_factory=Counter)
    ways: np.ndarray = field(default_factory=lambda: np.zeros(0, object))

    @property
    def matched(self) -> int:
        """Number of input genes that have an embedding."""
        return int((self.rows != ABSENT).sum())

    def without_aliases(self) -> NameMatch:
        """Without genes matched by alias to a gene that another one is by a better name.

        They are other genes: what is a gene's alias may be another one's own symbol.
        """
        by_alias = self.ways == ALIAS
        named = np.isin(self.rows, self.rows[~by_alias & (self.rows != ABSENT)])
        dropped = by_alias & named
        rows, ways = np.where(dropped, ABSENT, self.rows), np.where(dropped, "", self.ways)
        return NameMatch(rows, Counter(way for way in ways if way), ways)


def best_match(own: Table, genes: Table) -> tuple[NameMatch, str]:
    """The match by the index, or by the column of names that matches most genes, and that column.

    A column is tried only where the index matches fewer than half of the genes. Numbers of rows
    match nothing, though all are NCBI GeneIDs of some gene.
    """
    names = np.full(len(own), "", object) if are_row_numbers(own.index) else own.index
    best, best_column = match_names(names, genes), ""
    if best.matched * 2 < len(own):
        for column in name_columns(own):
            match = match_names(own.strings(column), genes)
            if match.matched > best.matched:
                best, best_column = match, column
    return best, best_column


def are_row_numbers(names: Sequence[str] | np.ndarray) -> bool:
    """Whether names of genes are 0, 1, 2, … or 1, 2, 3, …: of rows of a table without names."""
    if len(names) < LEAST_ROW_NUMBERS or names[0] not in ("0", "1"):
        return False
    start = int(names[0])
    return all(name == str(number) for number, name in enumerate(names, start))


def match_names(names: np.ndarray, genes: Table) -> NameMatch:
    """Match input gene ``names`` to the embedded ``genes``.

    Tried in order: the embedding's own id, symbol, Ensembl id (versions ignored), NCBI GeneID,
    ids of other databases and further Ensembl ids, id or symbol but for the signs that R replaces
    (``HLA.A``), alias; then the name within a composed one, and the name of which this is a
    duplicate, made unique by a suffix. A name that means several genes by the first way that knows
    it is not matched.
    """
    rows_by, known, symbols = _lookups(genes), set(names), genes.strings("symbol")
    result = NameMatch(np.full(len(names), ABSENT, np.int32), ways=np.full(len(names), "", object))
    for number, name in enumerate(names):
        row, way = _found(rows_by, name)
        if row is None and (inner := name_within(name)):
            row, way = _found(rows_by, inner)
        if row is None and (stem := without_suffix(name)) in known:
            row, _ = _found(rows_by, stem)
            way = "suffix"
        if way == "id" and row is not None:  # the embedded gene's id is a name of some kind
            way = "symbol" if name == symbols[row] else "Ensembl id" if ENSEMBL.match(name) else way
        if row not in (None, ABSENT):
            result.rows[number], result.ways[number] = row, way
            result.counts[way] += 1
    return result


def _found(rows_by: Mapping[str, Mapping[str, int]], name: str) -> tuple[int | None, str]:
    """The row of the first way that knows a name, ABSENT if ambiguous, and the way; or None."""
    unversioned = without_version(name)
    for way, row_of in rows_by.items():
        spelt = dotted(name) if way == PUNCTUATION else name
        row = row_of.get(spelt, row_of.get(unversioned))
        if row is not None:
            return row, way
    return None, ""


def _lookups(genes: Table) -> dict[str, Mapping[str, int]]:
    """Ways to find an embedded gene, best first: way → name → row, ``ABSENT`` if ambiguous.

    Of rows with one NCBI GeneID, which is one gene under several names, the first is found.
    """
    first: dict[str, int] = {}
    ids = genes.strings("gene_id")
    rows = [first.setdefault(gene, row) if gene else row for row, gene in enumerate(ids)]

    def by(names: np.ndarray) -> dict[str, int]:
        return _unambiguous(zip(map(without_version, names), rows, strict=True))

    def by_each(column: str) -> dict[str, int]:
        if column not in genes.columns:
            return {}
        lists = zip(genes.strings(column), rows, strict=True)
        return _unambiguous((name, row) for names, row in lists for name in names.split("|"))

    symbols = genes.strings("symbol")
    spelt = [
        pair
        for names in (genes.index, symbols)
        for pair in zip(names, rows, strict=True)
        if pair[0]
    ]
    return {
        "id": by(genes.index) | {name: row for row, name in enumerate(genes.index)},
        "symbol": by(symbols),
        "Ensembl id": by(genes.strings("ensembl_id")),
        "NCBI GeneID": by(ids),
        "other id": by_each("other_ids"),
        PUNCTUATION: _unambiguous((dotted(name), row) for name, row in spelt),
        ALIAS: by_each("aliases"),
    }


def _unambiguous(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Name → row, ``ABSENT`` for a name that leads to several rows."""
    row_of: dict[str, int] = {}
    for name, row in pairs:
        if name and row_of.setdefault(name, row) != row:
            row_of[name] = ABSENT
    return row_of


def likely_reason(names: np.ndarray, genes: Table) -> str:
    """Why so few input genes have an embedding, and what to do, as far as the names tell."""
    if are_row_numbers(names):
        return ROW_NUMBERS
    known = [*genes.index, *genes.strings("symbol"), *genes.strings("ensembl_id")]
    input_ids, embedded_ids = _ensembl_prefixes(names), _ensembl_prefixes(known)
    by_id = input_ids.total() > len(names) / 2
    symbols = len(known) - known.count("") - embedded_ids.total()
    if by_id and embedded_ids.total() < len(genes) / 2:
        return "The cells name genes by Ensembl id, the embeddings by symbol: use --gene-column."
    if by_id and not set(input_ids) & set(embedded_ids):
        return (
            f"The cells' Ensembl ids begin with {input_ids.most_common(1)[0][0]}, those of the "
            f"embeddings with {embedded_ids.most_common(1)[0][0]}: embeddings of another species?"
        )
    if not by_id and symbols < len(genes) / 2 <= embedded_ids.total():
        return (
            "The embeddings name genes by Ensembl id only: use --gene-column for a column of "
            "such ids, or embeddings with symbols."
        )
    lower_case, others = {name.lower() for name in known}, set(names) - set(known)
    if not by_id and sum(name.lower() in lower_case for name in others) > 0.3 * len(names):
        return "The names differ only in upper and lower case: embeddings of another species?"
    return DEFAULT_REASON


def _ensembl_prefixes(names: Iterable[str]) -> Counter[str]:
    """How many names are Ensembl ids of each species, by their prefix, such as ENSMUSG."""
    found = (ENSEMBL.match(name) for name in names)
    return Counter(match[1].rstrip("0123456789") for match in found if match)


def name_columns(genes: Table) -> list[str]:
    """Columns that usually hold names of genes, such as CELLxGENE's ``feature_name``."""
    return [name for name in NAME_COLUMNS if name in genes.columns]


def named_by_column(genes: Table, column: str, file: str) -> Table:
    """The genes, named by one of their columns; ScReaderError where there is none."""
    if column not in genes.columns:
        known = ", ".join(genes.columns) or "none"
        raise ScReaderError(
            f"its genes have no column {column!r}.", file=file, remedy=f"Columns: {known}."
        )
    return Table(genes.strings(column), {}, column)


def named_by_orthologs(
    expression: Expression, pairs: Mapping[str, str], reporter: Reporter = SILENT
) -> Table:
    """The genes by the names of their orthologs; one without an ortholog matches nothing."""
    names = expression.genes.index
    orthologs = np.array([pairs.get(name, NO_ORTHOLOG) for name in names], dtype=object)
    count = int((orthologs != NO_ORTHOLOG).sum())
    reporter.info(f"{count:,} of {len(names):,} genes have a one-to-one ortholog.")
    return Table(orthologs, {}, "ortholog")


def keep_genes_of(
    others: Sequence[Expression], sources: Sequence[Expression], genes: Table
) -> None:
    """Leave out the genes of the ``sources`` that none of the ``others`` has.

    Names are compared through the embedded ``genes``. ScReaderError where none is left.
    """
    name = " and ".join(other.name for other in others)
    rows = np.concatenate([best_match(other.genes, genes)[0].rows for other in others])
    for source in sources:
        own = best_match(source.genes, genes)[0].rows
        kept = (own != ABSENT) & np.isin(own, rows)
        if not kept.any():
            raise ScReaderError(f"shares no embedded gene with {name}.", file=source.name)
        source.keep_genes(kept, f"that {name} lacks")


def choose_genome(source: Expression, wanted: ReadOptions, reporter: Reporter) -> None:
    """Keep the genes of the wanted genome, and take its prefix off their names.

    ScReaderError where genes are of several species' genomes and none is wanted, or the one wanted
    is not there.
    """
    prefixes = [PREFIX.match(name) for name in source.genes.index]
    genomes = _genomes_of(source.genes, prefixes)
    sizes = Counter(genome for genome in genomes if genome)
    if wanted.genome is not None:
        _keep(source, genomes, wanted.genome, sizes)
    elif len({_species(genome) for genome in sizes}) > 1:
        listed = ", ".join(f"{genome} ({count:,})" for genome, count in sizes.most_common())
        raise ScReaderError(
            f"has genes of several genomes: {listed}.",
            file=source.name,
            remedy="Name one with --genome.",
        )
    _strip(source, reporter)


def _genomes_of(genes: Table, prefixes: list[re.Match[str] | None]) -> list[str]:
    """The genome of each gene, "" where nothing tells it."""
    if COLUMN in genes.columns:
        return [genome if genome != "nan" else "" for genome in genes.strings(COLUMN)]
    if sum(match is not None for match in prefixes) < MIN_SHARE * len(genes):
        return [""] * len(genes)
    return [match[1] if match else "" for match in prefixes]


def _species(genome: str) -> str:
    """What genomes of one species have in common, such as GRCh38 and hg19."""
    letters = re.match(r"[a-z]*", genome.lower())
    return SPECIES.get(letters[0] if letters else "", genome)


def _keep(source: Expression, genomes: list[str], wanted: str, sizes: Counter[str]) -> None:
    kept = np.array([genome == wanted for genome in genomes], bool)
    if not kept.any():
        raise ScReaderError(
            f"has no genes of {wanted}.",
            file=source.name,
            remedy=f"It has: {', '.join(sizes) or 'no names of genomes'}.",
        )
    if not kept.all():
        del sizes[wanted]
        source.keep_genes(kept, f"of other genomes ({', '.join(sizes) or 'not told'})")


def _strip(source: Expression, reporter: Reporter) -> None:
    """Take off the prefix that most names have."""
    names = source.genes.index
    found = Counter(match[0] for name in names if (match := PREFIX.match(name)))
    if not found or found.most_common(1)[0][1] < MIN_SHARE * len(names):
        return
    prefix = found.most_common(1)[0][0]
    reporter.info(f"{source.name}: genes are named without the prefix {prefix}")
    columns = {
        key: strings(value.removeprefix(prefix) for value in source.genes.strings(key))
        if key == "gene_ids"
        else column
        for key, column in source.genes.columns.items()
    }
    stripped = strings(name.removeprefix(prefix) for name in names)
    source.genes = Table(stripped, columns, source.genes.index_name)
