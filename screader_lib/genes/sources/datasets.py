"""NCBI Datasets v2: ``POST /gene/dataset_report`` (the OpenAPI description, v2).

Summaries are RefSeq's and, for mouse and others, the Alliance of Genome Resources'. There is no
expression and no lineage. About 5 requests a second are allowed, 10 with a key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from screader_lib.genes.catalog import GENE_ID, Catalog, is_gene_id
from screader_lib.genes.organisms import Organism
from screader_lib.genes.records import DATABASE_ID, ENSEMBL, Gene, ids_of
from screader_lib.genes.services.answers import BadAnswer, parse_json
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.services.gene_cache import GeneCache
from screader_lib.genes.services.keys import NCBI, secret_of
from screader_lib.genes.services.pace import Pace
from screader_lib.genes.services.web import Client
from screader_lib.genes.sources.eutils import variants
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.reporting import SILENT, Reporter

URL = "https://api.ncbi.nlm.nih.gov/datasets/v2"
PATH = "gene/dataset_report"
NAMES_PER_REQUEST = 200
PAGE = 1_000
PAGE_PARTS = {"reports", "messages", "warnings", "total_count", "next_page_token"}
TYPES = {"NCRNA": "ncRNA", "SNRNA": "snRNA", "SNORNA": "snoRNA", "SCRNA": "scRNA"}
TYPES |= {"TRNA": "tRNA", "RRNA": "rRNA"}


class Datasets(GeneSource):
    """Reports by symbol or GeneID; every answer is kept in the cache.

    Ensembl ids are no question that the service takes, though its reports have them: another
    source has to know these, and a line says so.
    """

    name = "datasets"
    provides = (
        "symbol",
        "gene_id",
        "ensembl_id",
        "full_name",
        "gene_type",
        "organism",
        "lineage",
        "summary",
    )

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
        headers = {"api-key": key} if key else {}
        pace = Pace(10 if key else 5)
        self.client = Client("NCBI Datasets", url, pace, key, reporter, headers=headers, **settings)
        self.memory = GeneCache(cache, f"datasets/{self.client.url}/{organism.tax_id}", refresh)

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        numbers = [match[1] for match in map(GENE_ID.match, names) if match]
        by_database = [name for name in names if ENSEMBL.match(name) or DATABASE_ID.match(name)]
        if by_database:
            self.reporter.warning(
                f"NCBI Datasets takes no ids such as {by_database[0]} ({len(by_database):,} of "
                "them); --source ncbi-files or eutils, named before it, do."
            )
        foreign = set(by_database)
        symbols = [name for name in names if name not in foreign and not is_gene_id(name)]
        terms = dict.fromkeys(variant for name in symbols for variant in variants(name))
        genes = self._ask([f"symbol:{term}" for term in terms])
        ids = list(dict.fromkeys((*gene_ids, *numbers)))
        answers = self._answered([f"id:{one}" for one in ids])
        genes += [gene for found in answers.values() for gene in found]
        replaced = {
            one: found[0].gene_id
            for one, found in zip(ids, answers.values(), strict=True)
            if len(found) == 1 and found[0].gene_id != one
        }
        return Catalog({gene.gene_id: gene for gene in genes}.values(), replaced=replaced)

    def _ask(self, questions: Sequence[str]) -> list[Gene]:
        return [gene for found in self._answered(questions).values() for gene in found]

    def _answered(self, questions: Sequence[str]) -> dict[str, list[Gene]]:
        """The genes of each question, in the order of the questions."""
        known = self.memory.known(questions)
        missing = [question for question in questions if question not in known]
        with self.reporter.progress("Asking NCBI Datasets", len(missing), "names") as advance:
            for start in range(0, len(missing), NAMES_PER_REQUEST):
                some = missing[start : start + NAMES_PER_REQUEST]
                answers = self._answers(some)
                self.memory.keep(answers)
                known.update(answers)
                advance(len(some))
        return {question: known[question] for question in questions}

    def _answers(self, questions: Sequence[str]) -> dict[str, list[Gene]]:
        kind = questions[0].partition(":")[0]
        asked: dict[str, list[str]] = {}
        for question in questions:  # the service answers in its own case
            asked.setdefault(question.partition(":")[2].lower(), []).append(question)
        values = [question.partition(":")[2] for question in questions]
        body: dict[str, Any] = {"page_size": PAGE}
        if kind == "id":
            body["gene_ids"] = [int(value) for value in values]
        else:
            taxon = str(self.organism.tax_id)
            body["symbols_for_taxon"] = {"symbols": values, "taxon": taxon}
        answers: dict[str, list[Gene]] = {question: [] for question in questions}
        for gene, queries in self._reports(body, asked):
            for query in queries:
                for question in asked[query]:
                    answers[question].append(gene)
        return answers

    def _reports(
        self, body: dict[str, Any], asked: Collection[str]
    ) -> list[tuple[Gene, list[str]]]:
        found: list[tuple[Gene, list[str]]] = []
        token = ""
        while True:
            page = {**body, "page_token": token} if token else body
            reports, token = self.client.post(
                PATH, lambda answer: parse_page(parse_json(answer), asked, self.organism), body=page
            )
            found += reports
            if not token:
                return found


def parse_page(
    answer: Any, asked: Collection[str], organism: Organism
) -> tuple[list[tuple[Gene, list[str]]], str]:
    """Genes with the questions (in lower case) they answer, and the token of the next page.

    BadAnswer for another form, and for a gene that was not ``asked`` for.
    """
    if not isinstance(answer, Mapping) or "error" in answer:
        raise BadAnswer("JSON that is no page of reports")
    reports = answer.get("reports")
    if reports is None:
        if answer.get("total_count") or not PAGE_PARTS.issuperset(answer):
            raise BadAnswer("a page without reports: its schema has changed")
        return [], ""
    found = []
    for report in reports:
        if "gene" not in report and (report.get("errors") or report.get("warnings")):
            continue
        gene = _gene(report, organism)
        queries = [str(query).lower() for query in report.get("query") or (gene.gene_id,)]
        queries += _withdrawn_ids(report)
        answered = [query for query in queries if query in asked]
        if not answered:
            raise BadAnswer(f"a report of gene {gene.gene_id}, which was not asked for")
        if gene.tax_id == organism.tax_id:
            found.append((gene, answered))
    return found, str(answer.get("next_page_token") or "")


def _withdrawn_ids(report: Mapping[str, Any]) -> list[str]:
    """GeneIDs that the report's gene has taken the place of."""
    notes = [*report.get("warnings", ()), report.get("warning") or {}]
    asked = [(note.get("replaced_id") or {}).get("requested") for note in notes]
    return [str(one) for one in (*asked, report["gene"].get("replaced_gene_id")) if one]


def _gene(report: Mapping[str, Any], organism: Organism) -> Gene:
    try:
        gene = report["gene"]
        kind = gene["type"]
        tax_id = int(gene["tax_id"])
        references = [("Ensembl", str(one)) for one in gene.get("ensembl_gene_ids", ())]
        references += [("MIM", str(one)) for one in gene.get("omim_ids", ())]
        authority = gene.get("nomenclature_authority", {}).get("identifier", "")
        ensembl_id, other_ids = ids_of([*references, ("authority", str(authority))])
        return Gene(
            symbol=gene["symbol"],
            gene_id=str(gene["gene_id"]),
            ensembl_id=ensembl_id,
            other_ids=other_ids,
            full_name=gene.get("description", ""),
            gene_type=TYPES.get(kind, kind.lower().replace("_", "-")),
            organism=gene["taxname"],
            tax_id=tax_id,
            lineage=organism.lineage if tax_id == organism.tax_id else "",
            aliases=tuple(gene.get("synonyms", ())),
            summary=_summary(gene.get("summary", ())),
            official="nomenclature_authority" in gene,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"a report without {error}: its schema has changed") from None


def _summary(summaries: Sequence[Mapping[str, str]]) -> str:
    """RefSeq's summary where there is one, else the first."""
    texts = [(entry.get("source", ""), entry["description"]) for entry in summaries]
    refseq = [text for source, text in texts if "refseq" in f"{source} {text[-60:]}".lower()]
    return next(iter(refseq or [text for _, text in texts]), "")
