"""Species by name or NCBI taxonomy id."""

from __future__ import annotations

import csv
from dataclasses import dataclass
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
