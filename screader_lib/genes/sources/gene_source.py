"""What every source of gene facts offers, and what NCBI's two services have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from screader_lib.genes.catalog import GENE_ID, Catalog
from screader_lib.genes.records import DATABASE_ID, ENSEMBL, Organism
from screader_lib.genes.services.cache import DiskCache, GeneCache
from screader_lib.genes.spelling import SUFFIX
from screader_lib.reporting import SILENT, Reporter


class GeneSource(ABC):
    """Gives the genes that it knows.

    ``name`` is what users call it; ``provides`` names the fields it can fill; ``files`` are the
    files read, by role, for the provenance.
    """

    name: str
    provides: tuple[str, ...]

    @property
    def files(self) -> Mapping[str, Path]:
        """Files read, by role."""
        return {}

    @abstractmethod
    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        """Genes among which ``names`` are to be found, and those with the NCBI ``gene_ids``.

        A source that has all genes at hand may return all of them. ScReaderError where it
        cannot answer.
        """


def numbered_roles(role: str, paths: Iterable[Path]) -> dict[str, Path]:
    """Several files of one role: ``genes``, ``genes_1``, ``genes_2`` and so on."""
    return {f"{role}_{number}" if number else role: path for number, path in enumerate(paths)}


class NcbiService(GeneSource):
    """A service that is asked for each name; every answer is kept in the cache.

    ``service`` is what messages call it, ``rates`` are the requests a second that it allows
    without and with a key, ``kinds`` what the cache keeps apart, ``key_header`` where the key goes.
    """

    service: str
    rates: tuple[int, int]
    kinds: tuple[str, ...] = ("",)
    key_header = ""

    def __init__(
        self,
        organism: Organism,
        cache: DiskCache,
        url: str,
        refresh: bool = False,
        reporter: Reporter = SILENT,
        **settings: Any,
    ) -> None:
        # Readers know genes by tables alone, which are sources, too: they should not wait for this
        from screader_lib.genes.services.service import NCBI_KEY, Pace, secret_of
        from screader_lib.genes.services.web_client import WebClient

        self.organism = organism
        self.reporter = reporter
        key = secret_of(NCBI_KEY)
        if key and self.key_header:
            settings["headers"] = {self.key_header: key}
        pace = Pace(self.rates[bool(key)])
        self.client = WebClient(self.service, url, pace, key, reporter, **settings)
        prefix = f"{self.name}/{self.client.url}/{organism.tax_id}"
        self.caches = {
            kind: GeneCache(cache, f"{prefix}/{kind}".rstrip("/"), refresh) for kind in self.kinds
        }


def by_kind(names: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Symbols, GeneIDs and ids of other databases; ``LOC123`` is both a symbol and a GeneID."""
    symbols, gene_ids, database_ids = [], [], []
    for name in names:
        number = GENE_ID.match(name)
        if number:
            gene_ids.append(number[1])
        if ENSEMBL.match(name) or DATABASE_ID.match(name):
            database_ids.append(name)
        elif not number or name.startswith("LOC"):
            symbols.append(name)
    return symbols, gene_ids, database_ids


def variants(name: str) -> list[str]:
    """A name as symbols may be written: itself, with - for ., without its suffix."""
    stem = SUFFIX.match(name)
    listed = [name, name.replace(".", "-"), *([stem[1]] if stem else [])]
    return list(dict.fromkeys(one.replace('"', "") for one in listed))
