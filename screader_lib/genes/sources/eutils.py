"""NCBI E-utilities: esearch finds genes by name, esummary says which is meant, efetch has all.

Limits and parameters: NCBI, "A General Introduction to the E-utilities": 3 requests a second,
10 with a key; ``tool`` and ``email`` sent; POST for long lists.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TypeVar

from screader_lib.genes.catalog import Catalog
from screader_lib.genes.records import FACTS, Gene, without_version
from screader_lib.genes.services.cache import Answers
from screader_lib.genes.services.service import (
    NCBI_EMAIL,
    BadAnswer,
    checking_schema,
    parse_json,
    secret_of,
)
from screader_lib.genes.sources.entrezgene import Records, parse_records, parse_summaries
from screader_lib.genes.sources.gene_source import NcbiService, by_kind, variants

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
            parse = partial(_summaries, ids=some)
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
        return self.client.post(f"{utility}.fcgi", parse, fields=form, encode_multipart=False)


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
            raise BadAnswer(f"the search failed ({str(result['ERROR'])[:100]})")
        count, ids = int(result["count"]), [str(one) for one in result["idlist"]]
    if len(ids) != min(count, MAX_RESULTS):
        raise BadAnswer(f"{len(ids)} ids of {count}")
    return count, ids


def _summaries(body: bytes, ids: Sequence[str]) -> list[Gene]:
    genes = parse_summaries(parse_json(body))
    if sorted(gene.gene_id for gene in genes) != sorted(ids):
        raise BadAnswer(f"{len(genes)} summaries that are not the {len(ids)} asked for")
    return genes


def _records(body: bytes, ids: Sequence[str]) -> Records:
    """The records; an unknown id has none, another id was not asked for."""
    records = parse_records(body)
    foreign = ({gene.gene_id for gene in records.genes} | set(records.replaced)) - set(ids)
    if foreign:
        raise BadAnswer(f"a record of gene {min(foreign)}, which was not asked for")
    return records
