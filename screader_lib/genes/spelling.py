"""What the spelling of genes' names tells: signs that R replaced, ids within names, the species."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from screader_lib.genes.records import ENSEMBL

SIGNS = re.compile(r"[^A-Za-z0-9_.]")
COMPOSED = re.compile(r"(?:^|[|_:;./-])(ENS[A-Z]*G\d{11})(?:\.\d+)?(?=$|[|_:;./-])")
SUFFIX = re.compile(r"(.+)[.-]\d{1,2}$")
PREFIXES = {  # of Ensembl's ids of genes
    "ENSG": "human", "ENSMUSG": "mouse", "ENSRNOG": "rat", "ENSDARG": "zebrafish",
    "ENSPTRG": "chimpanzee", "ENSMMUG": "rhesus macaque", "ENSSSCG": "pig", "ENSBTAG": "cow",
    "ENSCAFG": "dog", "ENSGALG": "chicken",
}  # fmt: skip
SPELLED_ALIKE = {
    "human": ("chimpanzee", "rhesus macaque", "pig", "cow", "dog", "chicken"), "mouse": ("rat",),
}  # fmt: skip
MIN_SYMBOLS = 10
MIN_FRACTION = 0.8  # of the symbols


def dotted(name: str) -> str:
    """A name as R's ``make.names`` writes it: ``HLA.A`` for ``HLA-A``, ``X7SK`` for ``7SK``."""
    replaced = SIGNS.sub(".", name)
    return f"X{replaced}" if replaced[:1].isdigit() or replaced[:1] == "_" else replaced


def name_within(name: str) -> str:
    """A gene's name in a composed one, "" where none is.

    The Ensembl id, as in ``INS_ENSG00000254647``, else what comes before a bar, as in BD's
    ``INS|NM_000207.3|Reference_end``.
    """
    found = COMPOSED.search(name)
    if found:
        return found[1] if found[1] != name else ""
    return name.partition("|")[0] if "|" in name else ""


def without_suffix(name: str) -> str:
    """A name without the number that R's ``make.unique`` or scanpy adds to duplicates, else ""."""
    found = SUFFIX.match(name)
    return found[1] if found and not ENSEMBL.match(name) else ""


def species_by_spelling(names: Iterable[str]) -> str:
    """``human`` or ``mouse``, as most symbols are spelled; empty where that is unclear.

    Those of other primates and most farm animals are spelled as those of human, rat's as mouse's.
    """
    symbols = [name for name in names if name.upper() != name.lower() and not ENSEMBL.match(name)]
    if len(symbols) < MIN_SYMBOLS:
        return ""
    small = float(np.mean([name.upper() != name for name in symbols]))
    return "mouse" if small > MIN_FRACTION else "human" if small < 1 - MIN_FRACTION else ""


def species_of_names(names: Iterable[str]) -> str:
    """The species that most Ensembl ids or symbols are of; empty where that is unclear."""
    names = [name_within(name) or name for name in names]
    found = [match[1].rstrip("0123456789") for name in names if (match := ENSEMBL.match(name))]
    if 2 * len(found) > len(names):
        most, count = Counter(found).most_common(1)[0]
        return PREFIXES.get(most, "") if count > MIN_FRACTION * len(found) else ""
    return species_by_spelling(names)


def other_species(names: Iterable[str], species: str) -> str:
    """The species that names are of, where it is not ``species`` and symbols tell them apart."""
    names = [name_within(name) or name for name in names]
    found = species_of_names(names)
    by_spelling = found == species_by_spelling(names)
    alike = by_spelling and species in SPELLED_ALIKE.get(found, ())
    return "" if found == species or alike else found
