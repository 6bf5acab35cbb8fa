"""NCBI's Entrezgene XML (efetch, db=gene, retmode=xml) and document summaries (esummary)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element, ParseError, iterparse

from screader_lib.genes.records import Gene, ids_of
from screader_lib.genes.services.service import HTML, BadAnswer, checking_schema, kind_of_body

ROOT = "Entrezgene-Set"
STATUSES = ("live", "secondary", "discontinued", "newentry")
RECORD = "Entrezgene"
TRACK = "Entrezgene_track-info/Gene-track"
GENE_ID = f"{TRACK}/Gene-track_geneid"
REFERENCE = "Entrezgene_gene/Gene-ref"
ORGANISM = "Entrezgene_source/BioSource/BioSource_org/Org-ref"
# NCBI's NCBI_Entrezgene.mod.dtd, NCBI_Gene.mod.dtd, NCBI_Organism.mod.dtd
PARTS = {
    ".": "track-info type source gene prot rna summary location gene-source locus properties"
    " refgene homology comments unique-keys non-unique-keys xtra-index-terms"
    " xtra-properties xtra-iq",
    REFERENCE: "locus allele desc maploc pseudo db syn locus-tag formal-name",
    f"{ORGANISM}/Org-ref_orgname/OrgName": "name attrib mod lineage gcode mgcode div pgcode",
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
    if kind_of_body(body) == HTML:
        raise BadAnswer(f"{HTML} instead of XML")
    records = Records()
    try:
        for element in _elements(body):
            _add(element, records)
    except ParseError:
        raise BadAnswer(f"{kind_of_body(body)} instead of XML") from None
    return records


def _elements(body: bytes) -> Iterator[Element]:
    root = None
    for event, element in iterparse(io.BytesIO(body), events=("start", "end")):
        if root is None:
            root = element
            if root.tag != ROOT:
                raise BadAnswer(f"XML of {root.tag} instead of {ROOT}")
        elif event == "end" and element.tag == RECORD:
            yield element
            root.clear()


def _add(record: Element, records: Records) -> None:
    element = record.find(f"{TRACK}/Gene-track_status")
    status = "live" if element is None else element.get("value", "live")
    if status not in STATUSES:
        raise BadAnswer(f"a record with status {status}: its schema has changed")
    if status == "live":
        records.genes.append(_gene(record))
    elif status != "newentry":
        current = dict(_references(record, f"{TRACK}/Gene-track_current-id")).get("GeneID", "")
        records.replaced[_required(record, GENE_ID)] = current


def _gene(record: Element) -> Gene:
    _check_parts(record)
    tax_id = dict(_references(record, f"{ORGANISM}/Org-ref_db")).get("taxon", "")
    if not tax_id.isdigit():
        raise _lacking("a taxonomy id")
    type_element = record.find("Entrezgene_type")
    gene_type = "" if type_element is None else type_element.get("value")
    if not gene_type:
        raise _lacking("Entrezgene_type")
    return Gene(
        # genes of some species have a locus tag only
        symbol=_required(record, f"{REFERENCE}/Gene-ref_locus", f"{REFERENCE}/Gene-ref_locus-tag"),
        gene_id=_required(record, GENE_ID),
        full_name=_text(record, f"{REFERENCE}/Gene-ref_desc"),
        gene_type=gene_type,
        organism=_required(record, f"{ORGANISM}/Org-ref_taxname"),
        tax_id=int(tax_id),
        lineage=_text(record, f"{ORGANISM}/Org-ref_orgname/OrgName/OrgName_lineage"),
        aliases=tuple(
            (alias.text or "").strip()
            for alias in record.iterfind(f"{REFERENCE}/Gene-ref_syn/Gene-ref_syn_E")
        ),
        expression=_expression(record),
        summary=_text(record, "Entrezgene_summary"),
        official=record.find(f"{REFERENCE}/Gene-ref_formal-name") is not None,
        **ids_of(_references(record, f"{REFERENCE}/Gene-ref_db")),
    )


def _check_parts(record: Element) -> None:
    """BadAnswer where a record has parts that no one knew: optional ones may hide among them."""
    for path, known in PARTS.items():
        for part in record.iterfind(f"{path}/*"):
            if part.tag.rpartition("_")[2] not in known.split():
                raise BadAnswer(f"a record with {part.tag}: its schema has changed")


def _text(element: Element, path: str) -> str:
    return " ".join((element.findtext(path) or "").split())


def _required(record: Element, *paths: str) -> str:
    """The first text of several paths; BadAnswer where there is none."""
    for path in paths:
        if text := _text(record, path):
            return text
    raise _lacking(paths[0].rpartition("/")[2])


def _lacking(part: str) -> BadAnswer:
    return BadAnswer(f"a record without {part}: its schema has changed")


def _references(record: Element, path: str) -> Iterator[tuple[str, str]]:
    """Database and id of the references at a path."""
    for tag in record.iterfind(f"{path}/Dbtag"):
        number = _text(tag, "Dbtag_tag/Object-id/Object-id_id")
        text = _text(tag, "Dbtag_tag/Object-id/Object-id_str")
        yield tag.findtext("Dbtag_db") or "", text or number


def _expression(record: Element) -> str:
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
    with checking_schema("JSON"):
        result = answer["result"]
        return [_summary(result[uid], str(uid)) for uid in result["uids"]]


def _summary(entry: Any, uid: str) -> Gene:
    with checking_schema(f"a summary of gene {uid}"):
        if str(entry["uid"]) != uid:
            raise BadAnswer(f"a summary of gene {entry['uid']} instead of {uid}")
        return Gene(
            symbol=entry["name"],
            gene_id=uid,
            full_name=entry["description"],
            organism=entry["organism"]["scientificname"],
            tax_id=int(entry["organism"]["taxid"]),
            aliases=tuple(filter(None, map(str.strip, entry["otheraliases"].split(",")))),
            summary=entry["summary"],
            official=entry.get("nomenclaturestatus", "") == "Official",
        )
