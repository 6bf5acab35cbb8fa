"""A table of the user's own: tab- or comma-separated, with a header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.gene_lists import read_table, read_text
from screader_lib.genes.organisms import Organism
from screader_lib.genes.records import FACTS, Gene
from screader_lib.genes.sources.gene_source import GeneSource

NAME_COLUMNS = ("symbol", "gene", "id", "name")
TEXT_COLUMNS = ("text", "description")


class UserTable(GeneSource):
    """Columns: ``symbol`` (or gene, id, name), any facts, ``aliases``, ``text``.

    Several aliases or Ensembl ids are separated by ``|``. ``text`` (or description) is embedded as
    it is. Other columns are left alone.
    """

    name = "table"
    provides = (*FACTS, "text")

    def __init__(self, organism: Organism, table: Path) -> None:
        self.organism = organism
        self.table = table

    @property
    def files(self) -> Mapping[str, Path]:
        return {"table": self.table}

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        rows = read_table(read_text(self.table, str(self.table)), str(self.table))
        if not rows:
            raise ScReaderError("holds no gene.", file=self.table)
        ragged = next((number for number, row in enumerate(rows, 1) if None in row), None)
        if ragged is not None:
            raise ScReaderError(
                f"row {ragged} has more columns than the header.",
                file=self.table,
                remedy="Is a text with a comma without its quotation marks?",
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
        value = {column: (row.get(column) or "").strip() for column in (*FACTS, "aliases", text)}
        ensembl_id, *others = value["ensembl_id"].split("|")
        return Gene(
            symbol=value["symbol"] or (row[key] or "").strip(),
            gene_id=value["gene_id"],
            ensembl_id=ensembl_id,
            other_ids=tuple(one.strip() for one in others if one.strip()),
            full_name=value["full_name"],
            gene_type=value["gene_type"],
            organism=value["organism"] or self.organism.name,
            tax_id=self.organism.tax_id,
            lineage=value["lineage"],
            aliases=tuple(alias for alias in value["aliases"].split("|") if alias),
            expression=value["expression"],
            summary=value["summary"],
            text=value[text],
            source="user",
        )
