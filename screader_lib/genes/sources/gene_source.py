"""What every source of gene facts offers, and names as NCBI's services are asked for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from screader_lib.genes.catalog import GENE_ID, SUFFIX, Catalog
from screader_lib.genes.records import DATABASE_ID, ENSEMBL


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


class NamesByKind(NamedTuple):
    """Names by what they may be; ``LOC123`` is both a symbol and a GeneID."""

    symbols: list[str]
    gene_ids: list[str]
    database_ids: list[str]


def by_kind(names: Iterable[str]) -> NamesByKind:
    """Names sorted for a service that is asked for each kind in another way."""
    kinds = NamesByKind([], [], [])
    for name in names:
        number = GENE_ID.match(name)
        if number:
            kinds.gene_ids.append(number[1])
        if ENSEMBL.match(name) or DATABASE_ID.match(name):
            kinds.database_ids.append(name)
        elif not number or name.startswith("LOC"):
            kinds.symbols.append(name)
    return kinds


def variants(name: str) -> list[str]:
    """A name as symbols may be written: itself, with - for ., without its suffix."""
    stem = SUFFIX.match(name)
    listed = [name, name.replace(".", "-"), *([stem[1]] if stem else [])]
    return list(dict.fromkeys(one.replace('"', "") for one in listed))
