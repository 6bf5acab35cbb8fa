"""NCBI Datasets v2: ``POST /gene/dataset_report`` (the OpenAPI description, v2).

Summaries are RefSeq's and, for mouse and others, the Alliance of Genome Resources'. There is no
expression and no lineage. About 5 requests a second are allowed, 10 with a key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from screader_lib.genes.catalog import Catalog
from screader_lib.genes.records import FACTS_OF_FILES, Gene, Organism, ids_of
from screader_lib.genes.services.cache import Answers
from screader_lib.genes.services.service import BadAnswer, checking_schema, parse_json
from screader_lib.genes.sources.gene_source import NcbiService, by_kind, variants

URL = "https://api.ncbi.nlm.nih.gov/datasets/v2"
PATH = "gene/dataset_report"
NAMES_PER_REQUEST = 200
PAGE_SIZE = 1_000
PAGE_PARTS = {"reports", "messages", "warnings", "total_count", "next_page_token"}
TYPES = {
    kind.upper(): kind for kind in ("ncRNA", "snRNA", "snoRNA", "scRNA", "tRNA", "rRNA")
}  # others are in lower case

Reports = list[tuple[Gene, list[str]]]


class Datasets(NcbiService):
    """Reports by symbol or GeneID; every answer is kept in the cache.

    The service cannot be asked for Ensembl ids, though its reports have them: another source has
    to know these, and a warning says so.
    """

    name = "datasets"
    provides = FACTS_OF_FILES
    service = "NCBI Datasets"
    rates = (5, 10)
    key_header = "api-key"

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        symbols, numbers, database_ids = by_kind(names)
        if database_ids:
            self.reporter.warning(
                f"NCBI Datasets cannot look up ids such as {database_ids[0]} ({len(database_ids):,}"
                " in all); put --source ncbi-files or eutils before it, which can."
            )
        terms = dict.fromkeys(variant for name in symbols for variant in variants(name))
        ids = dict.fromkeys((*gene_ids, *numbers))
        by_symbol = self._ask(f"symbol:{term}" for term in terms)
        by_id = self._ask(f"id:{number}" for number in ids)
        genes = [gene for one in (*by_symbol.values(), *by_id.values()) for gene in one]
        replaced = {
            number: answer[0].gene_id
            for number, answer in zip(ids, by_id.values(), strict=True)
            if len(answer) == 1 and answer[0].gene_id != number
        }
        return Catalog({gene.gene_id: gene for gene in genes}.values(), replaced=replaced)

    def _ask(self, questions: Iterable[str]) -> Answers:
        return self.caches[""].complete(
            questions, self._answers, NAMES_PER_REQUEST, self.reporter, "Asking NCBI Datasets"
        )

    def _answers(self, questions: Sequence[str]) -> Answers:
        """Genes by question, for questions of one kind."""
        kind = questions[0].partition(":")[0]
        values = [question.partition(":")[2] for question in questions]
        body: dict[str, Any] = {"page_size": PAGE_SIZE}
        if kind == "id":
            body["gene_ids"] = [int(value) for value in values]
        else:
            taxon = str(self.organism.tax_id)
            body["symbols_for_taxon"] = {"symbols": values, "taxon": taxon}
        by_query: dict[str, list[str]] = defaultdict(list)
        for question, value in zip(questions, values, strict=True):
            by_query[value.lower()].append(question)  # the service answers in its own case
        answers: Answers = {question: [] for question in questions}
        for gene, queries in self._reports(body, by_query.keys()):
            for query in queries:
                for question in by_query[query]:
                    answers[question].append(gene)
        return answers

    def _reports(self, body: dict[str, Any], asked: Collection[str]) -> Reports:
        def parse(answer: bytes) -> tuple[Reports, str]:
            return parse_page(parse_json(answer), asked, self.organism)

        reports, token = self.client.post(PATH, parse, body=body)
        while token:
            page, token = self.client.post(PATH, parse, body={**body, "page_token": token})
            reports += page
        return reports


def parse_page(answer: Any, asked: Collection[str], organism: Organism) -> tuple[Reports, str]:
    """Genes with the questions (in lower case) they answer, and the token of the next page.

    BadAnswer for another form, and for a gene that was not ``asked`` for.
    """
    if not isinstance(answer, Mapping) or "error" in answer:
        raise BadAnswer("JSON that is not a page of reports")
    if answer.get("reports") is None:
        if answer.get("total_count") or not PAGE_PARTS.issuperset(answer):
            raise BadAnswer("a page without reports: its schema has changed")
        return [], ""
    reports: Reports = []
    with checking_schema("a report"):
        for report in answer["reports"]:
            if "gene" not in report and (report.get("errors") or report.get("warnings")):
                continue
            gene = _gene(report["gene"], organism)
            queries = [str(query).lower() for query in report.get("query") or (gene.gene_id,)]
            queries += _withdrawn_ids(report)
            answered = [query for query in queries if query in asked]
            if not answered:
                raise BadAnswer(f"a report of gene {gene.gene_id}, which was not asked for")
            if gene.tax_id == organism.tax_id:
                reports.append((gene, answered))
    return reports, str(answer.get("next_page_token") or "")


def _withdrawn_ids(report: Mapping[str, Any]) -> list[str]:
    """GeneIDs that the report's gene has taken the place of."""
    notes = [*report.get("warnings", ()), report.get("warning") or {}]
    ids = [(note.get("replaced_id") or {}).get("requested") for note in notes]
    return [str(one) for one in (*ids, report["gene"].get("replaced_gene_id")) if one]


def _gene(facts: Mapping[str, Any], organism: Organism) -> Gene:
    tax_id = int(facts["tax_id"])
    references = [("Ensembl", str(one)) for one in facts.get("ensembl_gene_ids", ())]
    references += [("MIM", str(one)) for one in facts.get("omim_ids", ())]
    authority = facts.get("nomenclature_authority", {}).get("identifier", "")
    return Gene(
        symbol=facts["symbol"],
        gene_id=str(facts["gene_id"]),
        full_name=facts.get("description", ""),
        gene_type=TYPES.get(facts["type"], facts["type"].lower().replace("_", "-")),
        organism=facts["taxname"],
        tax_id=tax_id,
        lineage=organism.lineage if tax_id == organism.tax_id else "",
        aliases=tuple(facts.get("synonyms", ())),
        summary=_summary(facts.get("summary", ())),
        official="nomenclature_authority" in facts,
        **ids_of([*references, ("authority", str(authority))]),
    )


def _summary(summaries: Sequence[Mapping[str, str]]) -> str:
    """RefSeq's summary where there is one, else the first."""
    texts = [(entry.get("source", ""), entry["description"]) for entry in summaries]
    refseq = [text for source, text in texts if "refseq" in f"{source} {text[-60:]}".lower()]
    return next(iter(refseq or [text for _, text in texts]), "")
