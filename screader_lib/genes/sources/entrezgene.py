"""NCBI's Entrezgene XML (efetch, db=gene, retmode=xml) and document summaries (esummary)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from screader_lib.genes.records import Gene, ids_of
from screader_lib.genes.services.answers import HTML, BadAnswer, what_is_it

ROOT = "Entrezgene-Set"
STATUSES = ("live", "secondary", "discontinued", "newentry")
RECORD = "Entrezgene"
TRACK = "Entrezgene_track-info/Gene-track"
REFERENCE = "Entrezgene_gene/Gene-ref"
ORGANISM = "Entrezgene_source/BioSource/BioSource_org/Org-ref"
PARTS_OF_RECORD = """track-info type source gene prot rna summary location gene-source locus
properties refgene homology comments unique-keys xtra-index-terms xtra-properties xtra-iq
non-unique-keys"""
# NCBI's NCBI_Entrezgene.mod.dtd, NCBI_Gene.mod.dtd, NCBI_Organism.mod.dtd
KNOWN_PARTS = {
    ".": frozenset(PARTS_OF_RECORD.split()),
    REFERENCE: frozenset(
        ("locus", "allele", "desc", "maploc", "pseudo", "db", "syn", "locus-tag", "formal-name")
    ),
    f"{ORGANISM}/Org-ref_orgname/OrgName": frozenset(
        ("name", "attrib", "mod", "lineage", "gcode", "mgcode", "div", "pgcode")
    ),
}


@dataclass
class Records:
    """Live ``genes``, and for withdrawn GeneIDs the current one, empty where there is none."""

    genes: list[Gene] = field(default_factory=list)
    replaced: dict[str, str] = field(default_factory=dict)


def parse_records(body: bytes) -> Records:
    """The records of an efetch answer.

    BadAnswer for anything but a whole Entrezgene-Set, or a record without GeneID or symbol.
    """
    if what_is_it(body) == HTML:
        raise BadAnswer(f"{HTML} instead of XML")
    found = Records()
    try:
        for record in _records(body):
            _take(record, found)
    except ElementTree.ParseError:
        raise BadAnswer(f"{what_is_it(body)} instead of XML") from None
    return found


def _records(body: bytes) -> Iterator[ElementTree.Element]:
    root = None
    for event, element in ElementTree.iterparse(io.BytesIO(body), events=("start", "end")):
        if root is None:
            root = element
            if root.tag != ROOT:
                raise BadAnswer(f"XML of {root.tag} instead of {ROOT}")
        elif event == "end" and element.tag == RECORD:
            yield element
            root.clear()


def _take(record: ElementTree.Element, found: Records) -> None:
    element = record.find(f"{TRACK}/Gene-track_status")
    status = "live" if element is None else element.get("value", "live")
    if status not in STATUSES:
        raise BadAnswer(f"a record with status {status}: its schema has changed")
    if status == "live":
        found.genes.append(_gene(record))
    elif status != "newentry":
        current = ""
        for tag in record.iterfind(f"{TRACK}/Gene-track_current-id/Dbtag"):
            if tag.findtext("Dbtag_db") == "GeneID":
                current = _object_id(tag)
        found.replaced[_needed(record, f"{TRACK}/Gene-track_geneid")] = current


def _check_known(record: ElementTree.Element) -> None:
    """BadAnswer where a record has parts that no one knew: optional ones may hide among them."""
    for path, known in KNOWN_PARTS.items():
        parent = record if path == "." else record.find(path)
        for child in parent if parent is not None else ():
            if child.tag.rpartition("_")[2] not in known:
                raise BadAnswer(f"a record with {child.tag}: its schema has changed")


def _gene(record: ElementTree.Element) -> Gene:
    _check_known(record)
    ensembl_id, other_ids = _ids(record)
    return Gene(
        symbol=_symbol(record),
        gene_id=_needed(record, f"{TRACK}/Gene-track_geneid"),
        ensembl_id=ensembl_id,
        other_ids=other_ids,
        full_name=_text(record, f"{REFERENCE}/Gene-ref_desc"),
        gene_type=_type(record),
        organism=_needed(record, f"{ORGANISM}/Org-ref_taxname"),
        tax_id=_tax_id(record),
        lineage=_text(record, f"{ORGANISM}/Org-ref_orgname/OrgName/OrgName_lineage"),
        aliases=tuple(
            (entry.text or "").strip()
            for entry in record.iterfind(f"{REFERENCE}/Gene-ref_syn/Gene-ref_syn_E")
        ),
        expression=_expression(record),
        summary=_text(record, "Entrezgene_summary"),
        official=record.find(f"{REFERENCE}/Gene-ref_formal-name") is not None,
    )


def _text(element: ElementTree.Element, path: str) -> str:
    return " ".join((element.findtext(path) or "").split())


def _needed(record: ElementTree.Element, path: str) -> str:
    value = _text(record, path)
    if not value:
        raise BadAnswer(f"a record without {path.rpartition('/')[2]}: its schema has changed")
    return value


def _symbol(record: ElementTree.Element) -> str:
    """Genes of some species have a locus tag only."""
    tag = _text(record, f"{REFERENCE}/Gene-ref_locus-tag")
    return (
        _text(record, f"{REFERENCE}/Gene-ref_locus")
        or tag
        or _needed(record, f"{REFERENCE}/Gene-ref_locus")
    )


def _type(record: ElementTree.Element) -> str:
    element = record.find("Entrezgene_type")
    if element is None or not element.get("value"):
        raise BadAnswer("a record without Entrezgene_type: its schema has changed")
    return str(element.get("value"))


def _tax_id(record: ElementTree.Element) -> int:
    for tag in record.iterfind(f"{ORGANISM}/Org-ref_db/Dbtag"):
        if tag.findtext("Dbtag_db") == "taxon":
            number = tag.findtext("Dbtag_tag/Object-id/Object-id_id") or ""
            if number.strip().isdigit():
                return int(number)
    raise BadAnswer("a record without a taxonomy id: its schema has changed")


def _ids(record: ElementTree.Element) -> tuple[str, tuple[str, ...]]:
    tags = record.iterfind(f"{REFERENCE}/Gene-ref_db/Dbtag")
    return ids_of((tag.findtext("Dbtag_db") or "", _object_id(tag)) for tag in tags)


def _object_id(tag: ElementTree.Element) -> str:
    paths = ("Dbtag_tag/Object-id/Object-id_str", "Dbtag_tag/Object-id/Object-id_id")
    return next((value for value in (_text(tag, path) for path in paths) if value), "")


def _expression(record: ElementTree.Element) -> str:
    """The text on tissues (RPKM); older records have none."""
    for comment in record.iterfind("Entrezgene_comments/Gene-commentary"):
        if comment.findtext("Gene-commentary_heading") != "Representative Expression":
            continue
        for part in comment.iterfind("Gene-commentary_comment/Gene-commentary"):
            if part.findtext("Gene-commentary_label") == "Text Summary":
                return _text(part, "Gene-commentary_text")
    return ""


def parse_summaries(answer: Any) -> list[Gene]:
    """Genes of an esummary answer (JSON): symbol, name, aliases and summary, no type.

    BadAnswer where it is of another form.
    """
    result = answer.get("result") if isinstance(answer, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(result.get("uids"), list):
        raise BadAnswer("JSON without result/uids: its schema has changed")
    return [_summary(result.get(uid), str(uid)) for uid in result["uids"]]


def _summary(entry: Any, uid: str) -> Gene:
    try:
        if str(entry["uid"]) != uid:
            raise BadAnswer(f"a summary of gene {entry['uid']} instead of {uid}")
        aliases = [alias.strip() for alias in entry["otheraliases"].split(",")]
        return Gene(
            symbol=entry["name"],
            gene_id=uid,
            full_name=entry["description"],
            organism=entry["organism"]["scientificname"],
            tax_id=int(entry["organism"]["taxid"]),
            aliases=tuple(alias for alias in aliases if alias),
            summary=entry["summary"],
            official=entry.get("nomenclaturestatus", "") == "Official",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(
            f"a summary of gene {uid} without {error}: its schema has changed"
        ) from None
