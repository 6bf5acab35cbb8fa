"""NCBI E-utilities: esearch finds genes by name, esummary tells which is meant, efetch has all.

Limits and parameters: NCBI, "A General Introduction to the E-utilities": 3 requests a second,
10 with a key; ``tool`` and ``email`` sent; POST for long lists; results of a search are read
from the history server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.catalog import GENE_ID, SUFFIX, Catalog
from screader_lib.genes.organisms import Organism
from screader_lib.genes.records import ENSEMBL, FACTS, Gene, without_version
from screader_lib.genes.services.answers import BadAnswer, parse_json
from screader_lib.genes.services.cache import Cache
from screader_lib.genes.services.keys import NCBI, NCBI_EMAIL, secret_of
from screader_lib.genes.services.pace import Pace
from screader_lib.genes.services.remembered import Memory
from screader_lib.genes.services.web import Client
from screader_lib.genes.sources.entrezgene import parse_records, parse_summaries
from screader_lib.genes.sources.source import Source
from screader_lib.reporting import SILENT, Reporter

URL = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
NAMES_PER_SEARCH = 100
SUMMARIES_PER_REQUEST = 400
RECORDS_PER_REQUEST = 20  # a record is about 1.2 MB
MOST_FOUND = 20_000


@dataclass(frozen=True)
class Found:
    """A search's result on the history server."""

    count: int
    environment: str
    query: str


NOTHING = Found(0, "", "")


class Eutils(Source):
    """All fields of the paper, gene by gene; every answer is kept in the cache."""

    name = "eutils"
    provides = FACTS

    def __init__(
        self,
        organism: Organism,
        cache: Cache,
        url: str = URL,
        refresh: bool = False,
        reporter: Reporter = SILENT,
        **settings: Any,
    ) -> None:
        key = secret_of(NCBI)
        self.organism = organism
        self.reporter = reporter
        pace = Pace(10 if key else 3)
        self.client = Client("E-utilities", url, pace, key, reporter, **settings)
        place = f"eutils/{self.client.url}/{organism.tax_id}"
        self.searches = Memory(cache, f"{place}/search", refresh)
        self.records = Memory(cache, f"{place}/record", refresh)

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        by_ensembl = {name: without_version(name) for name in names if ENSEMBL.match(name)}
        numbers = [match[1] for match in map(GENE_ID.match, names) if match]
        symbols = [name for name in names if name not in by_ensembl and not name.isdigit()]
        candidates = self._search(symbols, self._symbol_search)
        ids = [*gene_ids, *numbers, *self._meant(symbols, candidates)]
        ensembl = self._search(list(by_ensembl.values()), self._ensembl_search)
        ids += [gene.gene_id for gene in ensembl]
        whole = self._fetch(list(dict.fromkeys(ids)))
        fetched = {gene.gene_id for gene in whole}
        return Catalog([*whole, *(gene for gene in candidates if gene.gene_id not in fetched)])

    def _meant(self, names: Iterable[str], candidates: Iterable[Gene]) -> list[str]:
        catalog = Catalog(candidates)
        matches = (catalog.match(name) for name in names)
        return [match.gene.gene_id for match in matches if match.gene is not None]

    def _symbol_search(self, names: Sequence[str]) -> dict[str, list[Gene]]:
        """Per name the genes that carry it as symbol or alias."""
        quoted = dict.fromkeys(variant for name in names for variant in variants(name))
        genes = self._summaries(" OR ".join(f'"{one}"[Gene Name]' for one in quoted))
        return {name: _related(name, genes) for name in names}

    def _ensembl_search(self, names: Sequence[str]) -> dict[str, list[Gene]]:
        """Summaries do not name Ensembl ids, so these are asked for one at a time."""
        return {name: self._summaries(f'"{name}"[All Fields]') for name in names}

    def _search(self, names: Sequence[str], ask: Any) -> list[Gene]:
        known = self.searches.known(names)
        missing = [name for name in dict.fromkeys(names) if name not in known]
        size = NAMES_PER_SEARCH if ask == self._symbol_search else 1
        with self.reporter.progress("Searching NCBI", len(missing), "genes") as advance:
            for start in range(0, len(missing), size):
                some = missing[start : start + size]
                answers = ask(some)
                self.searches.keep(answers)
                known.update(answers)
                advance(len(some))
        found = {gene.gene_id: gene for genes in known.values() for gene in genes}
        return list(found.values())

    def _summaries(self, names: str) -> list[Gene]:
        term = f"({names}) AND {self.organism.tax_id}[Taxonomy ID] AND alive[property]"
        form = {"term": term, "usehistory": "y", "retmode": "json", "retmax": "0"}
        found = self.client.post("esearch.fcgi", _parse_search, form=self._form(form))
        if found.count > MOST_FOUND:
            raise ScReaderError(
                f"E-utilities found {found.count:,} genes for {NAMES_PER_SEARCH} names.",
                file=self.client.url,
                remedy="Are the names genes?",
            )
        genes: list[Gene] = []
        for start in range(0, found.count, SUMMARIES_PER_REQUEST):
            page = min(SUMMARIES_PER_REQUEST, found.count - start)
            form = {
                "WebEnv": found.environment,
                "query_key": found.query,
                "retmode": "json",
                "retstart": str(start),
                "retmax": str(page),
            }
            genes += self.client.post(
                "esummary.fcgi", partial(_page, wanted=page), form=self._form(form)
            )
        return [gene for gene in genes if gene.tax_id == self.organism.tax_id]

    def _fetch(self, ids: Sequence[str]) -> list[Gene]:
        known = self.records.known(ids)
        missing = [one for one in ids if one not in known]
        with self.reporter.progress("Fetching records", len(missing), "genes") as advance:
            for start in range(0, len(missing), RECORDS_PER_REQUEST):
                some = missing[start : start + RECORDS_PER_REQUEST]
                form = self._form({"id": ",".join(some), "retmode": "xml"})
                genes = self.client.post("efetch.fcgi", partial(_asked_for, ids=some), form=form)
                # What is missing may be there tomorrow, so only what was found is kept.
                answers = {one: [genes[one]] for one in some if one in genes}
                self.records.keep(answers)
                known.update(answers)
                advance(len(some))
        return [
            gene
            for one in ids
            for gene in known.get(one, [])
            if gene.tax_id == self.organism.tax_id
        ]

    def _form(self, form: Mapping[str, str]) -> dict[str, str]:
        """The form with what NCBI asks every client to send."""
        email = secret_of(NCBI_EMAIL)
        also = {"email": email, "api_key": self.client.secret}
        named = {key: value for key, value in also.items() if value}
        return {"db": "gene", "tool": "screader-suite", **form, **named}


def variants(name: str) -> list[str]:
    """A name as symbols may be written: itself, with - for ., without its suffix."""
    stem = SUFFIX.match(name)
    listed = [name, name.replace(".", "-"), *([stem[1]] if stem else [])]
    return list(dict.fromkeys(one.replace('"', "") for one in listed))


def _related(name: str, genes: Sequence[Gene]) -> list[Gene]:
    wanted = {variant.lower() for variant in variants(name)}
    return [
        gene for gene in genes if wanted & {one.lower() for one in (gene.symbol, *gene.aliases)}
    ]


def _parse_search(body: bytes) -> Found:
    answer = parse_json(body)
    try:
        result = answer["esearchresult"]
        if "ERROR" in result:
            raise BadAnswer(f"the search failed ({str(result['ERROR'])[:100]})")
        count = int(result["count"])
        return Found(count, result["webenv"], result["querykey"]) if count else NOTHING
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer(f"a search result without {error}: its schema has changed") from None


def _page(body: bytes, wanted: int) -> list[Gene]:
    genes = parse_summaries(parse_json(body))
    if len(genes) != wanted:
        raise BadAnswer(f"{len(genes)} summaries instead of {wanted}")
    return genes


def _asked_for(body: bytes, ids: Sequence[str]) -> dict[str, Gene]:
    """Records by GeneID; a withdrawn or unknown id has none, another id was not asked for."""
    genes = {gene.gene_id: gene for gene in parse_records(body)}
    foreign = sorted(set(genes) - set(ids))
    if foreign:
        raise BadAnswer(f"a record of gene {foreign[0]}, which was not asked for")
    return genes
