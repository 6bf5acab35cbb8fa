"""The text of a gene, cleaned and put together from its fields."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from screader_lib.errors import ScReaderError
from screader_lib.genes.records import Gene

FIELDS = (
    "symbol",
    "full_name",
    "gene_type",
    "aliases",
    "organism",
    "lineage",
    "expression",
    "summary",
)
DEFAULT_FIELDS = ("symbol", "full_name", "gene_type", "expression", "summary")

CITATION = re.compile(
    r"\s*(?:\[(?:provided|supplied|submitted|adapted|modified|recorded)\b[^\[\]]*\]"
    r"|\[(?:from|pubmed|pmid|omim|mim|rgd|mgi|zfin|uniprot\w*|refseq)\b[^\[\]]*\]"
    r"|\[\d+(?:\s*[,–-]\s*\d+)*\]"
    r"|\((?:pubmed|pmid|omim|mim)\b[:\s]*[\d\s,;:a-z]*\))",
    re.IGNORECASE,
)
INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Cn")


def cleaned(text: str) -> str:
    """``text`` in Unicode form C without control characters, citations and doubled space.

    Citations are bracketed remarks on provenance, such as ``[provided by RefSeq, May 2020]``,
    ``[PubMed 123]``, ``(PMID: 123)`` and ``[1, 2]``.
    """
    normal = unicodedata.normalize("NFC", text)
    visible = "".join(
        " " if unicodedata.category(letter) in INVISIBLE else letter for letter in normal
    )
    return " ".join(CITATION.sub("", visible).split())


def parse_fields(listed: str) -> tuple[str, ...]:
    """Field names from a comma-separated list; ScReaderError for one that is not known."""
    fields = tuple(field.strip() for field in listed.split(",") if field.strip())
    for field in fields:
        if field not in FIELDS:
            raise ScReaderError(
                f"--fields: {field!r} is not a field of the text.",
                remedy=f"Fields: {', '.join(FIELDS)}.",
            )
    if not fields or len(set(fields)) != len(fields):
        raise ScReaderError("--fields: list each field once, and at least one.")
    return fields


def compose(gene: Gene, fields: Sequence[str] = DEFAULT_FIELDS) -> str:
    """The text to embed: the gene's own ``text``, or its filled fields as sentences, in order."""
    if gene.text:
        return cleaned(gene.text)
    parts = (_sentence(field, gene) for field in fields)
    return " ".join(part for part in parts if part)


def _sentence(field: str, gene: Gene) -> str:
    value = ", ".join(gene.aliases) if field == "aliases" else getattr(gene, field)
    value = cleaned(value)
    if not value:
        return ""
    if field == "aliases":
        value = f"Also known as {value}"
    return value if value.endswith((".", "!", "?")) else f"{value}."
