"""NCBI E-utilities: esearch finds genes by name, esummary says which is meant, efetch has all.

Limits and parameters: NCBI, "A General Introduction to the E-utilities": 3 requests a second,
10 with a key; ``tool`` and ``email`` sent; POST for long lists. Records are Entrezgene XML (efetch,
db=gene, retmode=xml).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from xml.etree.ElementTree import Element, ParseError, iterparse

from screader_lib.genes.catalog import Catalog
from screader_lib.genes.records import FACTS, Gene, ids_of, without_version
from screader_lib.genes.services.cache import Answers
from screader_lib.genes.services.service import (
    HTML,
    NCBI_EMAIL,
    BadAnswer,
    checking_schema,
    kind_of_body,
    parse_json,
    secret_of,
)
from screader_lib.genes.sources.gene_source import NcbiService, by_kind, variants

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


class Records(NamedTuple):
    """Live ``genes``, and for withdrawn GeneIDs the current one, empty where there is none."""

    genes: list[Gene]
    replaced: dict[str, str]


def parse_records(body: bytes) -> Records:
    """The records of an efetch answer.

    BadAnswer for anything but a whole Entrezgene-Set, or a record without GeneID or symbol.
    """
    if kind_of_body(body) == HTML:
        raise BadAnswer(f"{HTML} instead of XML")
    genes: list[Gene] = []
    replaced: dict[str, str] = {}
    try:
        for record in _elements(body):
            element = record.find(f"{TRACK}/Gene-track_status")
            status = "live" if element is None else element.get("value", "live")
            if status not in STATUSES:
                raise BadAnswer(f"a record with status {status}: its schema has changed")
            if status == "live":
                genes.append(_gene(record))
            elif status != "newentry":
                current = dict(_references(record, f"{TRACK}/Gene-track_current-id"))
                replaced[_required(record, GENE_ID)] = current.get("GeneID", "")
    except ParseError:
        raise BadAnswer(f"{kind_of_body(body)} instead of XML") from None
    return Records(genes, replaced)


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


def parse_summaries(body: bytes, ids: Sequence[str]) -> list[Gene]:
    """Genes of an esummary answer (JSON): symbol, name, aliases and summary, no type.

    BadAnswer where it is of another form, or not of the ``ids`` asked for.
    """
    answer = parse_json(body)
    with checking_schema("JSON"):
        result = answer["result"]
        genes = [_summary(result[uid], str(uid)) for uid in result["uids"]]
    if sorted(gene.gene_id for gene in genes) != sorted(ids):
        raise BadAnswer(f"{len(genes)} summaries that are not the {len(ids)} asked for")
    return genes


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


T = TypeVar("T")
URL = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
NAMES_PER_SEARCH = 100
SUMMARIES_PER_REQUEST = 400
RECORDS_PER_REQUEST = 20  # a record is about 1.2 MB
MAX_RESULTS = 10_000  # ids that esearch lists


class Eutils(NcbiService):
    """All fields of the paper, gene by gene; every answer is kept in the cache."""

    name = "eutils"
    provides = FACTS
    service = "E-utilities"
    rates = (3, 10)
    kinds = ("search", "record", "withdrawn")

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        symbols, numbers, database_ids = by_kind(names)
        candidates = self._search(symbols, self._by_symbol)
        matches = map(Catalog(candidates).match, symbols)
        others = self._search(map(without_version, database_ids), self._by_database_id)
        ids = [*gene_ids, *numbers]
        ids += [match.gene.gene_id for match in matches if match.gene is not None]
        ids += [gene.gene_id for gene in others]
        genes, replaced = self._fetch_current(dict.fromkeys(ids))
        fetched = {gene.gene_id for gene in genes}
        genes += [gene for gene in candidates if gene.gene_id not in fetched]
        return Catalog(genes, replaced=replaced)

    def _search(self, names: Iterable[str], ask: Callable[[Sequence[str]], Answers]) -> list[Gene]:
        answers = self.caches["search"].complete(
            names, ask, NAMES_PER_SEARCH, self.reporter, "Searching NCBI"
        )
        return list({gene.gene_id: gene for genes in answers.values() for gene in genes}.values())

    def _by_symbol(self, names: Sequence[str]) -> Answers:
        """Per name the genes that carry it as symbol or alias."""
        terms = dict.fromkeys(variant for name in names for variant in variants(name))
        ids = self._find(terms, "Gene Name")
        genes: list[Gene] = []
        for start in range(0, len(ids), SUMMARIES_PER_REQUEST):
            some = ids[start : start + SUMMARIES_PER_REQUEST]
            parse = partial(parse_summaries, ids=some)
            genes += self._post("esummary", parse, id=",".join(some), retmode="json")
        genes = [gene for gene in genes if gene.tax_id == self.organism.tax_id]
        return {name: _related(name, genes) for name in names}

    def _by_database_id(self, names: Sequence[str]) -> Answers:
        """Per id of another database its genes; only whole records say which id is whose."""
        genes, _ = self._fetch(self._find(names, "All Fields"))
        return {name: [gene for gene in genes if name in gene.database_ids] for name in names}

    def _find(self, names: Iterable[str], field: str) -> list[str]:
        """GeneIDs of the species' genes that have one of the ``names`` in a ``field``."""
        any_name = " OR ".join(f'"{name}"[{field}]' for name in names)
        term = f"({any_name}) AND {self.organism.tax_id}[Taxonomy ID] AND alive[property]"
        count, ids = self._post(
            "esearch", _search_result, term=term, retmode="json", retmax=str(MAX_RESULTS)
        )
        if count > MAX_RESULTS:
            problem = f"found {count:,} genes for {NAMES_PER_SEARCH} names."
            raise self.client.error(problem, "Are the names genes?")
        return ids

    def _fetch_current(self, ids: Collection[str]) -> tuple[list[Gene], dict[str, str]]:
        """Records, those of the genes that withdrawn ones were merged into, and these mergers."""
        genes: list[Gene] = []
        replaced: dict[str, str] = {}
        while ids:
            fetched, mergers = self._fetch(ids)
            genes += fetched
            replaced |= mergers
            known = {gene.gene_id for gene in genes} | set(replaced)
            ids = {new for new in mergers.values() if new and new not in known}
        return genes, replaced

    def _fetch(self, ids: Iterable[str]) -> tuple[list[Gene], dict[str, str]]:
        """Records of live genes, and the current GeneIDs of the others."""
        ids = list(ids)
        withdrawn = self.caches["withdrawn"].known(ids)

        def ask(some: Sequence[str]) -> Answers:
            parse = partial(_records, ids=some)
            records = self._post("efetch", parse, id=",".join(some), retmode="xml")
            new = {old: [Gene(old, gene_id=now)] for old, now in records.replaced.items()}
            self.caches["withdrawn"].keep(new)
            withdrawn.update(new)
            # What is missing may be there tomorrow, so only what was found is kept.
            return {gene.gene_id: [gene] for gene in records.genes}

        live = self.caches["record"].complete(
            (one for one in ids if one not in withdrawn),
            ask, RECORDS_PER_REQUEST, self.reporter, "Fetching records",
        )  # fmt: skip
        genes = [gene for answer in live.values() for gene in answer]
        genes = [gene for gene in genes if gene.tax_id == self.organism.tax_id]
        return genes, {one: withdrawn[one][0].gene_id for one in ids if one in withdrawn}

    def _post(self, utility: str, parse: Callable[[bytes], T], **form: str) -> T:
        """A utility's answer to a form, with what NCBI asks every client to send."""
        form |= {"db": "gene", "tool": "screader-suite"}
        identity = {"email": secret_of(NCBI_EMAIL), "api_key": self.client.secret}
        form |= {key: value for key, value in identity.items() if value}
        return self.client.post(f"{utility}.fcgi", parse, form=form)


def _related(name: str, genes: Sequence[Gene]) -> list[Gene]:
    spellings = {variant.lower() for variant in variants(name)}
    return [
        gene for gene in genes if spellings & {one.lower() for one in (gene.symbol, *gene.aliases)}
    ]


def _search_result(body: bytes) -> tuple[int, list[str]]:
    """How many genes a search found, and the GeneIDs of the first ones."""
    answer = parse_json(body)
    with checking_schema("a search result"):
        result = answer["esearchresult"]
        if "ERROR" in result:
            raise BadAnswer(f"the search failed ({result['ERROR']})")
        count, ids = int(result["count"]), [str(one) for one in result["idlist"]]
    if len(ids) != min(count, MAX_RESULTS):
        raise BadAnswer(f"{len(ids)} ids of {count}")
    return count, ids


def _records(body: bytes, ids: Sequence[str]) -> Records:
    """The records; an unknown id has none, another id was not asked for."""
    records = parse_records(body)
    foreign = ({gene.gene_id for gene in records.genes} | set(records.replaced)) - set(ids)
    if foreign:
        raise BadAnswer(f"a record of gene {min(foreign)}, which was not asked for")
    return records
