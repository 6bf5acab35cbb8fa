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
from screader_lib.genes.records import Gene
from screader_lib.genes.sources.bulk import read_rows
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.text_files import opened_text, read_table, read_text
from screader_lib.genes.texts import DEFAULT_FIELDS
from screader_lib.reporting import SILENT, Reporter

NCBI_COLUMNS = ("#tax_id", "GeneID", "relationship", "Other_tax_id", "Other_GeneID")
SOURCE = "ortholog"

Pairs = dict[str, str]


def read_pairs(path: Path, own: Organism, human: Organism, names: Iterable[str]) -> Pairs:
    """Own gene → human gene, for genes that the table pairs with one gene only.

    Which of the two columns is the own species' shows by ``names``, symbols of its genes.
    ScReaderError where the table has fewer than two columns or none of the names.
    """
    if _is_ncbi(path):
        return _one_to_one(_ncbi_pairs(path, own, human))
    return pairs_by_name(path, names)


def pairs_by_name(path: Path, names: Iterable[str]) -> Pairs:
    """Own gene → other gene by a table whose first two columns name them, one-to-one pairs only.

    Which of the two is the own species' shows by ``names``. ScReaderError where the table has
    fewer than two columns or none of the names.
    """
    if _is_ncbi(path):
        raise ScReaderError(
            "names genes by GeneID, wanted symbols.",
            file=path,
            remedy="Give a table whose first two columns name the genes of the two species.",
        )
    rows = read_table(read_text(path, str(path)), str(path))
    columns = list(rows[0]) if rows else []
    if len(columns) < 2:
        raise ScReaderError("has fewer than two columns.", file=path)
    pairs = [((row[columns[0]] or ""), (row[columns[1]] or "")) for row in rows]
    return _one_to_one(_own_first(pairs, set(names), path))


def _is_ncbi(path: Path) -> bool:
    with opened_text(path) as stream:
        return stream.readline().startswith("#tax_id\t")


def _ncbi_pairs(path: Path, own: Organism, human: Organism) -> list[tuple[str, str]]:
    """Own GeneID, human GeneID; the file has each pair in one direction only."""
    found = []
    for first, second in ((own, human), (human, own)):
        for row in read_rows(path, NCBI_COLUMNS, first.tax_id):
            if row["Other_tax_id"] == str(second.tax_id):
                pair = row["GeneID"], row["Other_GeneID"]
                found.append(pair if first == own else pair[::-1])
    return found


def _own_first(pairs: list[tuple[str, str]], names: set[str], path: Path) -> list[tuple[str, str]]:
    first = sum(one in names for one, _ in pairs)
    second = sum(other in names for _, other in pairs)
    if not first and not second:
        raise ScReaderError(
            "its first two columns name none of the genes.",
            file=path,
            remedy="Give a table with the symbols of both species there.",
        )
    return pairs if first > second else [(other, one) for one, other in pairs]


def _one_to_one(pairs: list[tuple[str, str]]) -> Pairs:
    pairs = list(dict.fromkeys(pair for pair in pairs if all(pair)))
    own = Counter(one for one, _ in pairs)
    human = Counter(other for _, other in pairs)
    return {one: other for one, other in pairs if own[one] == human[other] == 1}


def fill_from_orthologs(
    descriptions: Sequence[Description],
    pairs: Pairs,
    human_sources: Iterable[GeneSource],
    fields: Sequence[str] = DEFAULT_FIELDS,
    reporter: Reporter = SILENT,
) -> list[Description]:
    """Give genes without a summary that of their human ortholog, marked ``ortholog``."""
    wanted = {
        description.name: other
        for description in descriptions
        if description.match.gene is not None
        and not description.gene.summary
        and not description.gene.text
        for other in [_ortholog(description, pairs)]
        if other
    }
    asked = list(dict.fromkeys(wanted.values()))
    human = {one.name: one.gene for one in describe(asked, human_sources, fields, reporter)}
    filled = []
    for description in descriptions:
        other = human.get(wanted.get(description.name, ""))
        if other is not None and other.summary:
            description = _with_summary(description, other)  # noqa: PLW2901
        filled.append(description)
    gained = sum(one.gene.source == SOURCE for one in filled)
    reporter.info(f"{gained:,} genes have the summary of their human ortholog.")
    return with_texts(filled, fields)


def _ortholog(description: Description, pairs: Pairs) -> str:
    gene = description.gene
    keys = (gene.gene_id, gene.symbol, description.name)
    return next((pairs[key] for key in keys if key in pairs), "")


def _with_summary(description: Description, human: Gene) -> Description:
    gene = replace(description.gene, summary=human.summary, source=SOURCE)
    return replace(description, match=replace(description.match, gene=gene))
