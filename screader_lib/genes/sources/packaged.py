"""Facts of the demonstration genes that the project carries (NCBI Gene, public domain)."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.organisms import Organism
from screader_lib.genes.records import Gene
from screader_lib.genes.sources.gene_source import GeneSource

FOLDER = "screader_lib.genes"
COLUMNS = ("gene_id", "symbol", "full_name", "gene_type", "aliases", "ensembl_id", "official")


class PackagedFacts(GeneSource):
    """Symbol, GeneID, full name, type, aliases and Ensembl id; no summaries.

    ScReaderError for a species without packaged facts.
    """

    name = "packaged"
    provides = ("symbol", "gene_id", "ensembl_id", "full_name", "gene_type", "organism", "lineage")

    def __init__(self, organism: Organism) -> None:
        self.organism = organism
        self.facts = _facts_file(organism, "genes.tsv.gz")
        self.shared = _facts_file(organism, "shared_names.txt.gz")
        if not self.facts.is_file():
            raise ScReaderError(
                f"the project carries no facts of genes of {organism.name or organism.tax_id}.",
                remedy="Use another --source: ncbi-files, eutils, datasets or table.",
            )

    @property
    def files(self) -> Mapping[str, Path]:
        return {"packaged_facts": self.facts}

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        with gzip.open(self.shared, "rt", encoding="utf-8") as stream:
            shared = stream.read().split("\n")
        return Catalog(self._genes(), elsewhere=(name for name in shared if name))

    def _genes(self) -> Iterator[Gene]:
        with gzip.open(self.facts, "rt", encoding="utf-8") as stream:
            if tuple(next(stream).rstrip("\n").split("\t")) != COLUMNS:
                raise ScReaderError("has other columns than wanted.", file=self.facts)
            for line in stream:
                row = dict(zip(COLUMNS, line.rstrip("\n").split("\t"), strict=True))
                ensembl_id, *others = row.pop("ensembl_id").split("|")
                aliases = tuple(alias for alias in row.pop("aliases").split("|") if alias)
                yield Gene(
                    official=row.pop("official") == "1",
                    ensembl_id=ensembl_id,
                    other_ids=tuple(others),
                    aliases=aliases,
                    organism=self.organism.name,
                    tax_id=self.organism.tax_id,
                    lineage=self.organism.lineage,
                    **row,
                )


def has_facts(organism: Organism) -> bool:
    """Whether the project carries facts of this species."""
    return _facts_file(organism, "genes.tsv.gz").is_file()


def _facts_file(organism: Organism, what: str) -> Path:
    """A packaged file's place; the package is always installed as plain files."""
    with ExitStack() as stack:
        entry = resources.files(FOLDER) / "facts" / f"{organism.tax_id}.{what}"
        return stack.enter_context(resources.as_file(entry))
