"""From options to sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.organisms import Organism
from screader_lib.genes.sources.source import Source

DEFAULT = ("packaged",)


@dataclass(frozen=True)
class Places:
    """Local files that the options name; None where an option is not given."""

    gene_info: str | None = None
    gene_summary: str | None = None
    gene_history: str | None = None
    table: str | None = None


def implied(places: Places) -> tuple[str, ...]:
    """The sources where none is told: those whose files are given, else the packaged facts."""
    given = (("table", places.table), ("ncbi-files", places.gene_info))
    return tuple(name for name, file in given if file is not None) or DEFAULT


def make_sources(names: Sequence[str], organism: Organism, places: Places) -> list[Source]:
    """The sources of these names, in this order; ScReaderError where one lacks its file."""
    return [_make(name, organism, places) for name in dict.fromkeys(names or implied(places))]


def _make(name: str, organism: Organism, places: Places) -> Source:
    if name == "packaged":
        from screader_lib.genes.sources.packaged import PackagedFacts

        return PackagedFacts(organism)
    if name == "table":
        from screader_lib.genes.sources.table import UserTable

        if places.table is None:
            raise ScReaderError("--source table needs a table.", remedy="Give --table FILE.")
        return UserTable(organism, Path(places.table))
    return _bulk(organism, places)


def _bulk(organism: Organism, places: Places) -> Source:
    from screader_lib.genes.sources.bulk import BulkFiles

    if places.gene_info is None:
        raise ScReaderError("--source ncbi-files needs gene_info.", remedy="Give --gene-info FILE.")
    optional = (places.gene_summary, places.gene_history)
    return BulkFiles(
        organism,
        Path(places.gene_info),
        *(None if path is None else Path(path) for path in optional),
    )
