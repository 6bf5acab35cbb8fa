"""Species by name or NCBI taxonomy id."""

from __future__ import annotations

from dataclasses import dataclass

from screader_lib.errors import ScReaderError

VERTEBRATES = (
    "cellular organisms; Eukaryota; Opisthokonta; Metazoa; Eumetazoa; Bilateria; Deuterostomia; "
    "Chordata; Craniata; Vertebrata; Gnathostomata; Teleostomi; Euteleostomi"
)
MAMMALS = (
    f"{VERTEBRATES}; Sarcopterygii; Dipnotetrapodomorpha; Tetrapoda; Amniota; Mammalia; Theria; "
    "Eutheria; Boreoeutheria; Euarchontoglires"
)
RODENTS = f"{MAMMALS}; Glires; Rodentia; Myomorpha; Muroidea; Muridae; Murinae"


@dataclass(frozen=True)
class Organism:
    """A species; ``name``, ``lineage`` and ``file`` (NCBI's gene_info) are empty where unknown."""

    tax_id: int
    name: str = ""
    lineage: str = ""
    file: str = ""
    common: str = ""


KNOWN = (
    Organism(
        9606,
        "Homo sapiens",
        f"{MAMMALS}; Primates; Haplorrhini; Simiiformes; Catarrhini; Hominoidea; Hominidae; "
        "Homininae; Homo",
        "Mammalia/Homo_sapiens",
        "human",
    ),
    Organism(10090, "Mus musculus", f"{RODENTS}; Mus; Mus", "Mammalia/Mus_musculus", "mouse"),
    Organism(10116, "Rattus norvegicus", f"{RODENTS}; Rattus", "Mammalia/Rattus_norvegicus", "rat"),
    Organism(
        7955,
        "Danio rerio",
        f"{VERTEBRATES}; Actinopterygii; Actinopteri; Neopterygii; Teleostei; Ostariophysi; "
        "Cypriniformes; Danionidae; Danioninae; Danio",
        "Non-mammalian_vertebrates/Danio_rerio",
        "zebrafish",
    ),
)


def organism_of(name: str) -> Organism:
    """The species called ``name``: a common or scientific name, or any taxonomy id.

    ScReaderError for another name.
    """
    wanted = name.strip().lower()
    for organism in KNOWN:
        if wanted in (organism.common, organism.name.lower(), str(organism.tax_id)):
            return organism
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted) < 2**31:
        return Organism(int(wanted))
    known = ", ".join(organism.common for organism in KNOWN)
    raise ScReaderError(
        f"organism {name!r} is not known.", remedy=f"Give {known} or an NCBI taxonomy id."
    )
