"""Species by name or NCBI taxonomy id.

Lineages are those of NCBI's gene records (GenBank's form), so that a gene has the same text
whichever source its facts come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from screader_lib.errors import ScReaderError

VERTEBRATES = "Eukaryota; Metazoa; Chordata; Craniata; Vertebrata; Euteleostomi"
MAMMALS = f"{VERTEBRATES}; Mammalia; Eutheria"
PRIMATES = f"{MAMMALS}; Euarchontoglires; Primates; Haplorrhini; Catarrhini"
MURINES = f"{MAMMALS}; Euarchontoglires; Glires; Rodentia; Myomorpha; Muroidea; Muridae; Murinae"
HOOFED = f"{MAMMALS}; Laurasiatheria; Artiodactyla"
BIRDS = (
    f"{VERTEBRATES}; Archelosauria; Archosauria; Dinosauria; Saurischia; Theropoda; "
    "Coelurosauria; Aves; Neognathae"
)
INSECTS = (
    "Eukaryota; Metazoa; Ecdysozoa; Arthropoda; Hexapoda; Insecta; Pterygota; Neoptera; "
    "Endopterygota"
)


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
        9606, "Homo sapiens", f"{PRIMATES}; Hominidae; Homo", "Mammalia/Homo_sapiens", "human"
    ),
    Organism(10090, "Mus musculus", f"{MURINES}; Mus; Mus", "Mammalia/Mus_musculus", "mouse"),
    Organism(10116, "Rattus norvegicus", f"{MURINES}; Rattus", "Mammalia/Rattus_norvegicus", "rat"),
    Organism(
        7955,
        "Danio rerio",
        f"{VERTEBRATES}; Actinopterygii; Neopterygii; Teleostei; Ostariophysi; Cypriniformes; "
        "Danionidae; Danioninae; Danio",
        "Non-mammalian_vertebrates/Danio_rerio",
        "zebrafish",
    ),
    Organism(
        9598,
        "Pan troglodytes",
        f"{PRIMATES}; Hominidae; Pan",
        "Mammalia/Pan_troglodytes",
        "chimpanzee",
    ),
    Organism(
        9544,
        "Macaca mulatta",
        f"{PRIMATES}; Cercopithecidae; Cercopithecinae; Macaca",
        "Mammalia/All_Mammalia",
        "rhesus macaque",
    ),
    Organism(9823, "Sus scrofa", f"{HOOFED}; Suina; Suidae; Sus", "Mammalia/Sus_scrofa", "pig"),
    Organism(
        9913,
        "Bos taurus",
        f"{HOOFED}; Ruminantia; Pecora; Bovidae; Bovinae; Bos",
        "Mammalia/Bos_taurus",
        "cow",
    ),
    Organism(
        9615,
        "Canis lupus familiaris",
        f"{MAMMALS}; Laurasiatheria; Carnivora; Caniformia; Canidae; Canis",
        "Mammalia/Canis_familiaris",
        "dog",
    ),
    Organism(
        9031,
        "Gallus gallus",
        f"{BIRDS}; Galloanserae; Galliformes; Phasianidae; Phasianinae; Gallus",
        "Non-mammalian_vertebrates/Gallus_gallus",
        "chicken",
    ),
    Organism(
        7227,
        "Drosophila melanogaster",
        f"{INSECTS}; Diptera; Brachycera; Muscomorpha; Ephydroidea; Drosophilidae; Drosophila; "
        "Sophophora",
        "Invertebrates/Drosophila_melanogaster",
        "fruit fly",
    ),
    Organism(
        6239,
        "Caenorhabditis elegans",
        "Eukaryota; Metazoa; Ecdysozoa; Nematoda; Chromadorea; Rhabditida; Rhabditina; "
        "Rhabditomorpha; Rhabditoidea; Rhabditidae; Peloderinae; Caenorhabditis",
        "Invertebrates/Caenorhabditis_elegans",
        "worm",
    ),
)


def organism_of(name: str) -> Organism:
    """The species called ``name``: a common or scientific name, or any taxonomy id.

    ScReaderError for another name.
    """
    wanted = " ".join(name.lower().replace("_", " ").split())
    for organism in KNOWN:
        if wanted in (organism.common, organism.name.lower(), str(organism.tax_id)):
            return organism
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted) < 2**31:
        return Organism(int(wanted))
    known = ", ".join(organism.common for organism in KNOWN)
    raise ScReaderError(
        f"organism {name!r} is not known.", remedy=f"Give {known} or an NCBI taxonomy id."
    )
