"""Facts in tables: those that come with the package, and a table of the user's own."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.records import FACTS, Gene, Organism
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.text_files import read_table, read_text

NAME_COLUMNS = ("symbol", "gene", "id", "name")
TEXT_COLUMNS = ("text", "description")


@dataclass
class PackagedFacts(GeneSource):
    """Symbol, GeneID, full name, type, aliases and Ensembl id (NCBI Gene); no summaries.

    Of the genes of the demonstration's cells, as ``facts/README.md`` says. ScReaderError for a
    species without packaged facts.
    """

    name = "packaged"
    provides = ("symbol", "gene_id", "ensembl_id", "full_name", "gene_type", "organism", "lineage")

    organism: Organism

    def __post_init__(self) -> None:
        if not has_facts(self.organism):
            raise ScReaderError(
                f"no packaged facts for genes of {self.organism.name or self.organism.tax_id}.",
                remedy="Use another --source: ncbi-files, eutils, datasets or table.",
            )
        self.facts = _facts_file(self.organism, "genes.tsv.gz")

    @property
    def files(self) -> Mapping[str, Path]:
        return {"packaged_facts": self.facts}

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        shared = gzip.decompress(_facts_file(self.organism, "shared_names.txt.gz").read_bytes())
        return Catalog(self._genes(), elsewhere=shared.decode().splitlines())

    def _genes(self) -> Iterator[Gene]:
        with gzip.open(self.facts, "rt", encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                yield _gene(row, self.organism, official=row["official"] == "1")


def has_facts(organism: Organism) -> bool:
    """Whether facts of this species come with the package."""
    return _facts_file(organism, "genes.tsv.gz").is_file()


def _facts_file(organism: Organism, what: str) -> Path:
    """The path of a packaged file; the package is always installed as plain files."""
    with ExitStack() as stack:
        entry = resources.files("screader_lib.genes") / "facts" / f"{organism.tax_id}.{what}"
        return stack.enter_context(resources.as_file(entry))


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
