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
from screader_lib.genes.catalog import GENE_ID, SUFFIX, Catalog, is_gene_id
from screader_lib.genes.organisms import Organism
from screader_lib.genes.records import DATABASE_ID, ENSEMBL, FACTS, Gene, without_version
from screader_lib.genes.services.answers import BadAnswer, parse_json
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.services.gene_cache import GeneCache
from screader_lib.genes.services.keys import NCBI, NCBI_EMAIL, secret_of
from screader_lib.genes.services.pace import Pace
from screader_lib.genes.services.web import Client
from screader_lib.genes.sources.entrezgene import Records, parse_records, parse_summaries
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.reporting import SILENT, Reporter

URL = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
NAMES_PER_SEARCH = 100
SUMMARIES_PER_REQUEST = 400
RECORDS_PER_REQUEST = 20  # a record is about 1.2 MB
MOST_FOUND = 20_000
MOST_LISTED = 10_000  # ids that esearch tells


@dataclass(frozen=True)
class Found:
    """A search's result on the history server."""

    count: int
    environment: str
    query: str
    ids: tuple[str, ...] = ()


NOTHING = Found(0, "", "")


class Eutils(GeneSource):
    """All fields of the paper, gene by gene; every answer is kept in the cache."""

    name = "eutils"
    provides = FACTS

    def __init__(
        self,
        organism: Organism,
        cache: DiskCache,
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
        self.searches = GeneCache(cache, f"{place}/search", refresh)
        self.records = GeneCache(cache, f"{place}/record", refresh)
        self.moves = GeneCache(cache, f"{place}/withdrawn", refresh)

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        by_database = [
            without_version(name)
            for name in names
            if ENSEMBL.match(name) or DATABASE_ID.match(name)
        ]
        numbers = [match[1] for match in map(GENE_ID.match, names) if match]
        symbols = [
            name
            for name in names
            if not (ENSEMBL.match(name) or DATABASE_ID.match(name) or is_gene_id(name))
        ]
        candidates = self._search(symbols, self._symbol_search)
        ids = [*gene_ids, *numbers, *self._meant(symbols, candidates)]
        ids += [gene.gene_id for gene in self._search(by_database, self._database_search)]
        whole, replaced = self._fetch_current(list(dict.fromkeys(ids)))
        fetched = {gene.gene_id for gene in whole}
        others = [gene for gene in candidates if gene.gene_id not in fetched]
        return Catalog([*whole, *others], replaced=replaced)

    def _meant(self, names: Iterable[str], candidates: Iterable[Gene]) -> list[str]:
        catalog = Catalog(candidates)
        matches = (catalog.match(name) for name in names)
        return [match.gene.gene_id for match in matches if match.gene is not None]

    def _symbol_search(self, names: Sequence[str]) -> dict[str, list[Gene]]:
        """Per name the genes that carry it as symbol or alias."""
        quoted = dict.fromkeys(variant for name in names for variant in variants(name))
        genes = self._summaries(" OR ".join(f'"{one}"[Gene Name]' for one in quoted))
        return {name: _related(name, genes) for name in names}

    def _database_search(self, names: Sequence[str]) -> dict[str, list[Gene]]:
        """Per id of another database its genes; only whole records say which id is whose."""
        terms = " OR ".join(f'"{name}"[All Fields]' for name in dict.fromkeys(names))
        found = self._find(terms, MOST_LISTED)
        genes, _ = self._fetch(found.ids)
        return {name: [gene for gene in genes if name in gene.database_ids] for name in names}

    def _search(self, names: Sequence[str], ask: Any) -> list[Gene]:
        known = self.searches.known(names)
        missing = [name for name in dict.fromkeys(names) if name not in known]
        with self.reporter.progress("Searching NCBI", len(missing), "genes") as advance:
            for start in range(0, len(missing), NAMES_PER_SEARCH):
                some = missing[start : start + NAMES_PER_SEARCH]
                answers = ask(some)
                self.searches.keep(answers)
                known.update(answers)
                advance(len(some))
        found = {gene.gene_id: gene for genes in known.values() for gene in genes}
        return list(found.values())

    def _find(self, names: str, listed: int = 0) -> Found:
        """Search; the result is on the history server, and its first ``listed`` ids are told."""
        term = f"({names}) AND {self.organism.tax_id}[Taxonomy ID] AND alive[property]"
        form = {"term": term, "usehistory": "y", "retmode": "json", "retmax": str(listed)}
        parse = partial(_parse_search, listed=listed)
        found = self.client.post("esearch.fcgi", parse, form=self._form(form))
        if found.count > (listed or MOST_FOUND):
            raise ScReaderError(
                f"E-utilities found {found.count:,} genes for {NAMES_PER_SEARCH} names.",
                file=self.client.url,
                remedy="Are the names genes?",
            )
        return found

    def _summaries(self, names: str) -> list[Gene]:
        found = self._find(names)
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

    def _fetch_current(self, ids: Sequence[str]) -> tuple[list[Gene], dict[str, str]]:
        """Records, those of the genes that withdrawn ones were merged into, and these mergers."""
        genes: list[Gene] = []
        replaced: dict[str, str] = {}
        while ids:
            more, moved = self._fetch(ids)
            genes += more
            replaced |= moved
            have = {gene.gene_id for gene in genes} | set(replaced)
            ids = [one for one in dict.fromkeys(moved.values()) if one and one not in have]
        return genes, replaced

    def _fetch(self, ids: Sequence[str]) -> tuple[list[Gene], dict[str, str]]:
        """Records of live genes, and the current GeneIDs of the others."""
        known, moves = self.records.known(ids), self.moves.known(ids)
        missing = [one for one in ids if one not in known and one not in moves]
        with self.reporter.progress("Fetching records", len(missing), "genes") as advance:
            for start in range(0, len(missing), RECORDS_PER_REQUEST):
                some = missing[start : start + RECORDS_PER_REQUEST]
                form = self._form({"id": ",".join(some), "retmode": "xml"})
                found = self.client.post("efetch.fcgi", partial(_asked_for, ids=some), form=form)
                # What is missing may be there tomorrow, so only what was found is kept.
                answers = {gene.gene_id: [gene] for gene in found.genes}
                moved = {old: [Gene(old, gene_id=new)] for old, new in found.replaced.items()}
                self.records.keep(answers)
                self.moves.keep(moved)
                known.update(answers)
                moves.update(moved)
                advance(len(some))
        found_genes = (gene for one in ids for gene in known.get(one, []))
        genes = [gene for gene in found_genes if gene.tax_id == self.organism.tax_id]
        return genes, {one: moves[one][0].gene_id for one in ids if one in moves}

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


def _parse_search(body: bytes, listed: int) -> Found:
    answer = parse_json(body)
    try:
        result = answer["esearchresult"]
        if "ERROR" in result:
            raise BadAnswer(f"the search failed ({str(result['ERROR'])[:100]})")
        count = int(result["count"])
        if not count:
            return NOTHING
        ids = tuple(map(str, result["idlist"])) if listed else ()
        if listed and len(ids) != min(count, listed):
            raise BadAnswer(f"{len(ids)} ids of {count}")
        return Found(count, result["webenv"], result["querykey"], ids)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer(f"a search result without {error}: its schema has changed") from None


def _page(body: bytes, wanted: int) -> list[Gene]:
    genes = parse_summaries(parse_json(body))
    if len(genes) != wanted:
        raise BadAnswer(f"{len(genes)} summaries instead of {wanted}")
    return genes


def _asked_for(body: bytes, ids: Sequence[str]) -> Records:
    """The records; an unknown id has none, another id was not asked for."""
    found = parse_records(body)
    foreign = sorted(({gene.gene_id for gene in found.genes} | set(found.replaced)) - set(ids))
    if foreign:
        raise BadAnswer(f"a record of gene {foreign[0]}, which was not asked for")
    return found
