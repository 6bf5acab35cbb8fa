"""One gene, and one species, as sources know them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import Any

from screader_lib.errors import ScReaderError


@dataclass(frozen=True)
class Organism:
    """A species; everything but the taxonomy id is empty where it is not known.

    ``common`` is its name in English, ``lineage`` that of NCBI's gene records (GenBank's form), so
    that a gene has the same text whichever source its facts come from. ``gene_info`` is where
    NCBI's file of this name lies.
    """

    tax_id: int
    name: str = ""
    common: str = ""
    gene_info: str = ""
    lineage: str = ""

    @property
    def gene_fields(self) -> dict[str, Any]:
        """What a gene's record says of its species."""
        return {"organism": self.name, "tax_id": self.tax_id, "lineage": self.lineage}


@cache
def known_organisms() -> tuple[Organism, ...]:
    """The species of ``facts/organisms.tsv``."""
    table = resources.files("screader_lib.genes") / "facts" / "organisms.tsv"
    with table.open(encoding="utf-8") as stream:
        rows = csv.reader(stream, delimiter="\t")
        next(rows)
        return tuple(Organism(int(tax_id), *facts) for tax_id, *facts in rows)


def organism_of(name: str) -> Organism:
    """The species called ``name``: a common or scientific name, or any taxonomy id.

    ScReaderError for another name.
    """
    folded = " ".join(name.lower().replace("_", " ").split())
    for organism in known_organisms():
        if folded in (organism.common, organism.name.lower(), str(organism.tax_id)):
            return organism
    if folded.isascii() and folded.isdigit() and 0 < int(folded) < 2**31:
        return Organism(int(folded))
    known = ", ".join(organism.common for organism in known_organisms())
    raise ScReaderError(
        f"unknown organism {name!r}.", remedy=f"Give {known} or an NCBI taxonomy id."
    )


DATABASE_ID = re.compile(
    r"(?:FBgn\d{7}|WBGene\d{8}|ZDB-[A-Z]+-\d{6}-\d+|(?:HGNC|MGI|RGD|VGNC|Xenbase):\S+)$"
)
NO_IDS = ("AllianceGenome", "IMGT/GENE-DB")  # the ids of others once more, and symbols
ENSEMBL = re.compile(r"(ENS[A-Z]*G\d{6,})(\.\d+)?(_PAR_Y)?$")
FACTS = (
    "symbol", "gene_id", "ensembl_id", "full_name", "gene_type", "organism", "lineage",
    "expression", "summary",
)  # fmt: skip
ORTHOLOG = "ortholog"  # the source of a summary that is the human ortholog's
FACTS_OF_FILES = tuple(name for name in FACTS if name != "expression")  # NCBI Gene's bulk files


@dataclass(frozen=True)
class Gene:
    """Facts and texts of one gene; an unknown field is empty (``tax_id`` 0).

    ``official`` says that the symbol is a nomenclature committee's; ``text`` is a text that is
    embedded as it is; ``source`` is where the facts, or the summary where there is one, came from.
    ``other_ids`` are further Ensembl ids, and those of other databases (``HGNC:6081``).
    """

    symbol: str
    gene_id: str = ""
    ensembl_id: str = ""
    full_name: str = ""
    gene_type: str = ""
    organism: str = ""
    tax_id: int = 0
    lineage: str = ""
    aliases: tuple[str, ...] = ()
    expression: str = ""
    summary: str = ""
    text: str = ""
    official: bool = False
    source: str = "ncbi"
    other_ids: tuple[str, ...] = ()

    @property
    def database_ids(self) -> tuple[str, ...]:
        """Ids by which the gene can be found, beside its GeneID."""
        return (without_version(self.ensembl_id), *self.other_ids)

    def lacks(self, names: Iterable[str]) -> bool:
        """Whether one of the named fields is empty."""
        return any(not getattr(self, name) for name in names)


def merged(first: Gene, second: Gene) -> Gene:
    """``first`` with its empty fields filled from ``second``.

    Where that brings the summary or the text, the gene takes over the source.
    """
    filled = {
        field.name: getattr(second, field.name)
        for field in fields(Gene)
        if not getattr(first, field.name) and getattr(second, field.name)
    }
    if "summary" in filled or "text" in filled:
        filled["source"] = second.source
    return replace(first, **filled) if filled else first


def without_version(name: str) -> str:
    """An Ensembl id without its version and GENCODE's ``_PAR_Y``; other names as they are."""
    ensembl = ENSEMBL.match(name)
    return ensembl[1] if ensembl else name


def ids_of(references: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """``ensembl_id`` (the first) and ``other_ids`` of a gene, from references (database, id).

    An id that is a number is given the database's name: ``MIM:176730``.
    """
    ids = {
        f"{database}:{one}" if one.isdigit() else without_version(one): database == "Ensembl"
        for database, one in references
        if one and database not in NO_IDS
    }
    ensembl = next((one for one, is_ensembl in ids.items() if is_ensembl), "")
    return {"ensembl_id": ensembl, "other_ids": tuple(one for one in ids if one != ensembl)}
