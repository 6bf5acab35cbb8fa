"""Facts in tables: NCBI Gene's bulk files, the package's own, and a table of the user's.

Bulk files are ``gene_info``, ``gene_summary`` and ``gene_history``. Layouts:
ftp.ncbi.nlm.nih.gov/gene/DATA/README; columns are found by their names in the header.
"""

from __future__ import annotations

import csv
import gzip
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.catalog import GENE_ID, Catalog
from screader_lib.genes.records import (
    FACTS,
    FACTS_OF_FILES,
    ORTHOLOG,
    Gene,
    Organism,
    ids_of,
    organism_of,
)
from screader_lib.genes.sources.gene_source import GeneSource, numbered_roles
from screader_lib.genes.text_files import lines_of, opened_text, read_table, read_text

EMPTY = "-"
NO_SYMBOL_YET = "NEWENTRY"
INFO_COLUMNS = (
    "#tax_id", "GeneID", "Symbol", "Synonyms", "dbXrefs", "description", "type_of_gene",
    "Nomenclature_status",
)  # fmt: skip
SUMMARY_COLUMNS = ("#tax_id", "GeneID", "Source", "Summary")
HISTORY_COLUMNS = ("#tax_id", "GeneID", "Discontinued_GeneID", "Discontinued_Symbol")
PREFERRED_SUMMARIES = "RefSeq"  # taken where a gene has several
DOWNLOAD_AGAIN = "Download the file again."

FindHistory = Callable[[Sequence[str]], Sequence[Path]]


@dataclass
class BulkFiles(GeneSource):
    """All genes of one species from NCBI's bulk files; summaries and history are optional.

    Each kind may be several files, such as one for each species; only the species' rows are read.
    Where no history is given and GeneIDs are unknown, ``find_history`` is asked for it with these.
    """

    name = "ncbi-files"
    provides = FACTS_OF_FILES

    organism: Organism
    gene_info: Sequence[Path]
    gene_summary: Sequence[Path] = ()
    gene_history: Sequence[Path] = ()
    find_history: FindHistory | None = None

    @property
    def files(self) -> Mapping[str, Path]:
        return {
            **numbered_roles("gene_info", self.gene_info),
            **numbered_roles("gene_summary", self.gene_summary),
            **numbered_roles("gene_history", self.gene_history),
        }

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        summaries = self._summaries()
        genes = [replace(gene, summary=summaries.get(gene.gene_id, "")) for gene in self.genes()]
        if not genes:
            raise ScReaderError(
                f"contains no genes of the species {self.organism.tax_id}.",
                file=self.gene_info[0],
                remedy=f"Give the gene_info file of {self.organism.name or 'it'} (too): "
                "--gene-info may be repeated.",
            )
        if not self.gene_history and self.find_history is not None:
            unknown = _unknown_ids(names, genes)
            self.gene_history = self.find_history(unknown) if unknown else ()
        withdrawn, replaced = self._history()
        return Catalog(genes, withdrawn=withdrawn, replaced=replaced)

    def _rows(self, paths: Sequence[Path], columns: Sequence[str]) -> Iterator[dict[str, str]]:
        for path in paths:
            yield from read_rows(path, columns, self.organism.tax_id)

    def genes(self) -> Iterator[Gene]:
        """All of them."""
        for row in self._rows(self.gene_info, INFO_COLUMNS):
            if row["Symbol"] == NO_SYMBOL_YET:
                continue
            references = (entry.partition(":") for entry in row["dbXrefs"].split("|"))
            yield Gene(
                symbol=row["Symbol"],
                gene_id=row["GeneID"],
                full_name=_filled(row["description"]),
                gene_type=_filled(row["type_of_gene"]),
                aliases=tuple(filter(_filled, row["Synonyms"].split("|"))),
                official=row["Nomenclature_status"] == "O",
                **ids_of((database, key) for database, _, key in references),
                **self.organism.gene_fields,
            )

    def _summaries(self) -> dict[str, str]:
        summaries: dict[str, str] = {}
        for row in self._rows(self.gene_summary, SUMMARY_COLUMNS):
            if row["GeneID"] not in summaries or row["Source"] == PREFERRED_SUMMARIES:
                summaries[row["GeneID"]] = _filled(row["Summary"])
        return summaries

    def _history(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        """GeneIDs by withdrawn symbol (in lower case) and by withdrawn GeneID, empty for none."""
        symbols: dict[str, list[str]] = {}
        ids: dict[str, str] = {}
        for row in self._rows(self.gene_history, HISTORY_COLUMNS):
            current = _filled(row["GeneID"])
            ids[row["Discontinued_GeneID"]] = current
            if _filled(row["Discontinued_Symbol"]):
                genes = symbols.setdefault(row["Discontinued_Symbol"].lower(), [])
                if current and current not in genes:
                    genes.append(current)
        return symbols, ids


def _unknown_ids(names: Iterable[str], genes: Iterable[Gene]) -> list[str]:
    """The names that are GeneIDs by their form, and of none of the genes."""
    numbers = {name: match[1] for name in names for match in [GENE_ID.match(name)] if match}
    if not numbers:
        return []
    known = {value for gene in genes for value in (gene.gene_id, gene.symbol)}
    return [name for name, number in numbers.items() if not known & {name, number}]


def _filled(value: str) -> str:
    return "" if value == EMPTY else value


def read_rows(path: Path, columns: Sequence[str], tax_id: int) -> Iterator[dict[str, str]]:
    """The ``columns`` of one species' rows; ScReaderError for another or a damaged file."""
    with opened_text(path, DOWNLOAD_AGAIN) as stream:
        lines = lines_of(stream, path)
        header = next(lines, "").rstrip("\r\n").split("\t")
        missing = [column for column in columns if column not in header]
        if missing:
            raise ScReaderError(
                f"has no column {missing[0]!r}: it is not the bulk file of NCBI Gene that is "
                "needed here.",
                file=path,
            )
        indices = {column: header.index(column) for column in columns}
        species = f"{tax_id}\t"
        for number, line in enumerate(lines, start=2):
            if not line.startswith(species):
                continue
            values = line.rstrip("\r\n").split("\t")
            if len(values) != len(header):
                raise ScReaderError(
                    f"line {number} has {len(values)} columns, expected {len(header)}.",
                    file=path,
                    remedy=DOWNLOAD_AGAIN,
                )
            yield {column: values[index] for column, index in indices.items()}


NAME_COLUMNS = ("symbol", "gene", "id", "name")
TEXT_COLUMNS = ("text", "description")
GENES, SUMMARIES = "genes.tsv.gz", "summaries.tsv.xz"  # of the packaged facts


@dataclass
class PackagedFacts(GeneSource):
    """Symbol, GeneID, full name, type, aliases, Ensembl id and summary (NCBI Gene).

    Of the genes that ``facts/README.md`` names. A gene without a summary has that of its human
    one-to-one ortholog, if any, and then the source ``ortholog``. ScReaderError for a species
    without packaged facts.
    """

    name = "packaged"
    provides = FACTS_OF_FILES

    organism: Organism

    def __post_init__(self) -> None:
        if not has_facts(self.organism):
            raise ScReaderError(
                f"no packaged facts for genes of {self.organism.name or self.organism.tax_id}.",
                remedy="Use another --source: ncbi-files, eutils, datasets or table.",
            )

    @property
    def files(self) -> Mapping[str, Path]:
        return {
            "packaged_facts": facts_file(self.organism, GENES),
            "packaged_summaries": facts_file(self.organism, SUMMARIES),
        }

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        shared = gzip.decompress(facts_file(self.organism, "shared_names.txt.gz").read_bytes())
        genes = map(self._with_summary(), self.genes())
        return Catalog(genes, elsewhere=shared.decode().splitlines())

    def genes(self) -> Iterator[Gene]:
        """All of them, without their summaries."""
        with gzip.open(facts_file(self.organism, GENES), "rt", encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                yield _gene(row, self.organism, official=row["official"] == "1")

    def _with_summary(self) -> Callable[[Gene], Gene]:
        """Gives a gene its own summary, or else that of its human ortholog."""
        own = _packaged_pairs(self.organism, SUMMARIES)
        orthologs = _packaged_pairs(self.organism, "human_orthologs.tsv.xz")
        human = _packaged_pairs(organism_of("human"), SUMMARIES) if orthologs else {}

        def filled(gene: Gene) -> Gene:
            if summary := own.get(gene.gene_id):
                return replace(gene, summary=summary)
            if summary := human.get(orthologs.get(gene.gene_id, "")):
                return replace(gene, summary=summary, source=ORTHOLOG)
            return gene

        return filled


def has_facts(organism: Organism) -> bool:
    """Whether facts of this species come with the package."""
    return facts_file(organism, GENES).is_file()


def facts_file(organism: Organism, what: str) -> Path:
    """The path of a packaged file; the package is always installed as plain files."""
    facts = Path(str(resources.files("screader_lib.genes"))) / "facts"
    return facts / f"{organism.tax_id}.{what}"


def _packaged_pairs(organism: Organism, what: str) -> dict[str, str]:
    """A packaged table of two columns without a header; empty where the species has none."""
    path = facts_file(organism, what)
    if not path.is_file():
        return {}
    lines = lzma.decompress(path.read_bytes()).decode().splitlines()
    return dict(line.split("\t", 1) for line in lines)


@dataclass
class UserTable(GeneSource):
    """Columns: ``symbol`` (or gene, id, name), any facts, ``aliases``, ``text``.

    Several aliases or Ensembl ids are separated by ``|``. ``text`` (or description) is embedded as
    it is. Other columns are ignored.
    """

    name = "table"
    provides = (*FACTS, "text")

    organism: Organism
    table: Path

    @property
    def files(self) -> Mapping[str, Path]:
        return {"table": self.table}

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        rows = read_table(read_text(self.table, str(self.table)), str(self.table))
        if not rows:
            raise ScReaderError("contains no genes.", file=self.table)
        for number, row in enumerate(rows, start=1):
            if None in row:
                raise ScReaderError(
                    f"row {number} has more columns than the header.",
                    file=self.table,
                    remedy="Is a text with a comma missing its quotation marks?",
                )
        key = next((column for column in NAME_COLUMNS if column in rows[0]), None)
        if key is None:
            raise ScReaderError(
                f"has no column {' or '.join(NAME_COLUMNS)}.",
                file=self.table,
                remedy=f"It has: {', '.join(str(column) for column in rows[0])}.",
            )
        text = next((column for column in TEXT_COLUMNS if column in rows[0]), "text")
        return Catalog([self._gene(row, key, text) for row in rows if (row[key] or "").strip()])

    def _gene(self, row: Mapping[str, str | None], key: str, text: str) -> Gene:
        values = {column: (value or "").strip() for column, value in row.items()}
        values["symbol"] = values.get("symbol") or values[key]
        fields = {"text": values.get(text, ""), "lineage": values.get("lineage", "")}
        return _gene(values, self.organism, source="user", **fields)


def _gene(values: Mapping[str, str], organism: Organism, **fields: Any) -> Gene:
    """A gene from columns of a table, where ``|`` separates aliases and Ensembl ids."""
    facts = {name: values[name] for name in FACTS if values.get(name)}
    ensembl_id, *others = values.get("ensembl_id", "").split("|")
    facts["ensembl_id"] = ensembl_id.strip()
    return Gene(
        other_ids=tuple(filter(None, map(str.strip, others))),
        aliases=tuple(filter(None, values.get("aliases", "").split("|"))),
        **organism.gene_fields | facts | fields,
    )
