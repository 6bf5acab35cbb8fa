"""Human texts for genes of other species, through a table of one-to-one orthologs.

Tables: one with a header whose first two columns name the genes of the two species by symbol
(such as an export of Ensembl BioMart), or NCBI's ``gene_orthologs`` (by GeneID).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import Description, describe, with_texts
from screader_lib.genes.organisms import Organism
from screader_lib.genes.sources.bulk import read_rows
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.text_files import opened_text, read_table, read_text
from screader_lib.genes.texts import DEFAULT_FIELDS
from screader_lib.reporting import SILENT, Reporter, counted

NCBI_COLUMNS = ("#tax_id", "GeneID", "relationship", "Other_tax_id", "Other_GeneID")
SOURCE = "ortholog"


def read_pairs(
    path: Path, organism: Organism, human: Organism, symbols: Iterable[str]
) -> dict[str, str]:
    """Gene of ``organism`` → human gene, one-to-one pairs only.

    By GeneID from NCBI's table, else as ``pairs_by_name``, with the same errors.
    """
    if not _is_ncbi(path):
        return pairs_by_name(path, symbols)
    # The file has each pair in one direction only.
    return _one_to_one(
        pair if first == organism else pair[::-1]
        for first, second in ((organism, human), (human, organism))
        for row in read_rows(path, NCBI_COLUMNS, first.tax_id)
        if row["Other_tax_id"] == str(second.tax_id)
        for pair in [(row["GeneID"], row["Other_GeneID"])]
    )


def pairs_by_name(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Own gene → other gene by a table whose first two columns name them, one-to-one pairs only.

    The own species' column is the one with more of ``names``. ScReaderError where the table has
    fewer than two columns or none of the names.
    """
    if _is_ncbi(path):
        raise ScReaderError(
            "names genes by GeneID; wanted symbols.",
            file=path,
            remedy="Give a table whose first two columns name the genes of the two species.",
        )
    rows = read_table(read_text(path, str(path)), str(path))
    columns = [column for column in rows[0] if column is not None] if rows else []
    if len(columns) < 2:
        raise ScReaderError("has fewer than two columns.", file=path)
    first, second = columns[:2]
    pairs = [(row[first] or "", row[second] or "") for row in rows]
    names = set(names)
    in_first = sum(one in names for one, _ in pairs)
    in_second = sum(other in names for _, other in pairs)
    if not in_first and not in_second:
        raise ScReaderError(
            "its first two columns name none of the genes.",
            file=path,
            remedy="Give a table whose first two columns hold the symbols of the two species.",
        )
    return _one_to_one(pair if in_first > in_second else pair[::-1] for pair in pairs)


def _is_ncbi(path: Path) -> bool:
    with opened_text(path) as stream:
        return stream.readline().startswith("#tax_id\t")


def _one_to_one(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    pairs = list(dict.fromkeys(pair for pair in pairs if all(pair)))
    own = Counter(one for one, _ in pairs)
    others = Counter(other for _, other in pairs)
    return {one: other for one, other in pairs if own[one] == others[other] == 1}


def fill_from_orthologs(
    descriptions: Sequence[Description],
    pairs: dict[str, str],
    human_sources: Iterable[GeneSource],
    fields: Sequence[str] = DEFAULT_FIELDS,
    reporter: Reporter = SILENT,
) -> list[Description]:
    """Give genes without a summary that of their human ortholog, marked ``ortholog``."""
    orthologs = {
        description.name: ortholog
        for description in descriptions
        if description.match.gene is not None
        and not description.gene.summary
        and not description.gene.text
        and (ortholog := _ortholog(description, pairs))
    }
    names = list(dict.fromkeys(orthologs.values()))
    summaries = {
        human.name: human.gene.summary for human in describe(names, human_sources, fields, reporter)
    }
    filled = [
        _with_summary(description, summaries.get(orthologs.get(description.name, ""), ""))
        for description in descriptions
    ]
    number = sum(description.gene.source == SOURCE for description in filled)
    reporter.info(f"{counted(number, 'gene')} given the summary of the human ortholog.")
    return with_texts(filled, fields)


def _ortholog(description: Description, pairs: dict[str, str]) -> str:
    gene = description.gene
    keys = (gene.gene_id, gene.symbol, description.name)
    return next((pairs[key] for key in keys if key in pairs), "")


def _with_summary(description: Description, summary: str) -> Description:
    if not summary:
        return description
    gene = replace(description.gene, summary=summary, source=SOURCE)
    return replace(description, match=replace(description.match, gene=gene))
