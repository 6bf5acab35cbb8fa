"""E-utilities and Datasets v2 on loopback, over a few genes, in the recorded formats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.sax.saxutils import escape

from loopback import Reply, Request, json_reply

from screader_lib.genes.records import Gene

INS = Gene(
    symbol="INS",
    gene_id="3630",
    ensembl_id="ENSG00000254647",
    full_name="insulin",
    gene_type="protein-coding",
    organism="Homo sapiens",
    tax_id=9606,
    lineage="Eukaryota; Metazoa; Homo",
    aliases=("IDDM", "ILPR"),
    expression="Restricted expression toward pancreas (RPKM 1.2)",
    summary="This gene encodes insulin. [provided by RefSeq, Jan 2020]",
    official=True,
)
BARE = replace(
    INS, ensembl_id="", full_name="named", lineage="Eukaryota; Homo", expression="", summary=""
)
GENES = (
    INS,
    replace(BARE, symbol="GCG", gene_id="2641", ensembl_id="ENSG00000115263", aliases=("GLP1",),
            summary="Preproglucagon."),
    replace(BARE, symbol="HLA-A", gene_id="3105", aliases=("HLAA",)),
    replace(BARE, symbol="GPAT3", gene_id="84803", aliases=("AGPAT9",)),
    replace(BARE, symbol="LPCAT1", gene_id="79888", aliases=("AGPAT9",)),
)  # fmt: skip


def many_genes(number: int) -> tuple[Gene, ...]:
    """Genes G1, G2, … to have a lot of them."""
    return tuple(
        replace(BARE, symbol=f"G{n}", gene_id=str(900_000 + n), aliases=(), summary=f"Does {n}.")
        for n in range(1, number + 1)
    )


def dbtag(identifier: str) -> str:
    """A reference as Entrezgene writes it: numbers as numbers, without the database's name."""
    database, _, number = identifier.rpartition(":")
    database = "Ensembl" if identifier.startswith("ENS") else database or "FLYBASE"
    value = f"<Object-id_str>{identifier}</Object-id_str>"
    if database in ("MIM", "GeneID"):
        value = f"<Object-id_id>{number}</Object-id_id>"
    return f"""<Dbtag><Dbtag_db>{database}</Dbtag_db><Dbtag_tag><Object-id>
{value}</Object-id></Dbtag_tag></Dbtag>"""


def to_xml(gene: Gene, status: str = "live", current: str = "") -> str:
    """One Entrezgene record with the parts that are read."""
    moved = dbtag(f"LocusID:{current}") + dbtag(f"GeneID:{current}") if current else ""
    aliases = "".join(f"<Gene-ref_syn_E>{escape(a)}</Gene-ref_syn_E>" for a in gene.aliases)
    expression = f"""<Entrezgene_comments><Gene-commentary>
<Gene-commentary_heading>Representative Expression</Gene-commentary_heading>
<Gene-commentary_comment><Gene-commentary>
<Gene-commentary_label>Text Summary</Gene-commentary_label>
<Gene-commentary_text>{gene.expression} </Gene-commentary_text></Gene-commentary>
</Gene-commentary_comment></Gene-commentary></Entrezgene_comments>"""
    return f"""<Entrezgene>
<Entrezgene_track-info><Gene-track><Gene-track_geneid>{gene.gene_id}</Gene-track_geneid>
<Gene-track_status value="{status}">0</Gene-track_status>
<Gene-track_current-id>{moved}</Gene-track_current-id></Gene-track></Entrezgene_track-info>
<Entrezgene_type value="{gene.gene_type}">6</Entrezgene_type>
<Entrezgene_source><BioSource><BioSource_org><Org-ref>
<Org-ref_taxname>{gene.organism}</Org-ref_taxname>
<Org-ref_db><Dbtag><Dbtag_db>taxon</Dbtag_db><Dbtag_tag><Object-id>
<Object-id_id>{gene.tax_id}</Object-id_id></Object-id></Dbtag_tag></Dbtag></Org-ref_db>
<Org-ref_orgname><OrgName><OrgName_lineage>{gene.lineage}</OrgName_lineage></OrgName>
</Org-ref_orgname></Org-ref></BioSource_org></BioSource></Entrezgene_source>
<Entrezgene_gene><Gene-ref><Gene-ref_locus>{gene.symbol}</Gene-ref_locus>
<Gene-ref_desc>{escape(gene.full_name)}</Gene-ref_desc>
<Gene-ref_db>{"".join(map(dbtag, filter(None, gene.database_ids)))}</Gene-ref_db>
<Gene-ref_syn>{aliases}</Gene-ref_syn></Gene-ref></Entrezgene_gene>
<Entrezgene_summary>{escape(gene.summary)}</Entrezgene_summary>
{expression if gene.expression else ""}</Entrezgene>"""


def records(genes: Sequence[Gene], more: str = "") -> Reply:
    """An efetch answer; ``more`` are further records."""
    body = "".join(map(to_xml, genes)) + more
    text = f'<?xml version="1.0" ?>\n<Entrezgene-Set>{body}</Entrezgene-Set>'
    return Reply(text.encode(), kind="text/xml")


def to_summary(gene: Gene) -> dict[str, Any]:
    return {
        "uid": gene.gene_id,
        "name": gene.symbol,
        "description": gene.full_name,
        "otheraliases": ", ".join(gene.aliases),
        "organism": {"scientificname": gene.organism, "taxid": gene.tax_id},
        "summary": gene.summary,
        "nomenclaturestatus": "Official" if gene.official else "",
    }


class FakeEutils:
    """Answers esearch, esummary and efetch over ``genes``.

    ``moved`` are withdrawn GeneIDs and the current ones, empty where there is none.
    """

    def __init__(
        self, genes: Sequence[Gene] = GENES, moved: Mapping[str, str] | None = None
    ) -> None:
        self.genes = {gene.gene_id: gene for gene in genes}
        self.moved = moved or {}

    def __call__(self, request: Request) -> Reply:
        form = request.form
        if request.path.endswith("esearch.fcgi"):
            return self._search(form["term"], int(form["retmax"]))
        if request.path.endswith("esummary.fcgi"):
            genes = [self.genes[one] for one in form["id"].split(",")]
            result = {gene.gene_id: to_summary(gene) for gene in genes}
            return json_reply({"result": {"uids": list(result), **result}})
        queries = form["id"].split(",")
        moved = {one: self.moved[one] for one in queries if one in self.moved}
        more = [
            to_xml(replace(INS, gene_id=one), "secondary" if now else "discontinued", now)
            for one, now in moved.items()
        ]
        return records([self.genes[one] for one in queries if one in self.genes], "".join(more))

    def _search(self, term: str, listed: int) -> Reply:
        names = {name.lower() for name in re.findall(r'"([^"]+)"\[', term)}
        found = [
            gene
            for gene in self.genes.values()
            if names & {n.lower() for n in (gene.symbol, *gene.database_ids, *gene.aliases) if n}
        ]
        result = {"count": str(len(found)), "idlist": [gene.gene_id for gene in found[:listed]]}
        return json_reply({"header": {"type": "esearch"}, "esearchresult": result})


def fetched_ids(requests: Sequence[Request]) -> list[str]:
    """GeneIDs that efetch was asked for, in order."""
    asked = [request.form["id"] for request in requests if request.path.endswith("efetch.fcgi")]
    return [one for ids in asked for one in ids.split(",")]


def to_report(gene: Gene, query: str) -> dict[str, Any]:
    """A Datasets report with the parts that are read."""
    return {
        "gene": {
            "gene_id": gene.gene_id,
            "symbol": gene.symbol,
            "description": gene.full_name,
            "tax_id": str(gene.tax_id),
            "taxname": gene.organism,
            "type": gene.gene_type.upper().replace("-", "_"),
            "ensembl_gene_ids": [gene.ensembl_id] if gene.ensembl_id else [],
            "synonyms": list(gene.aliases),
            "summary": [{"description": gene.summary}] if gene.summary else [],
            "nomenclature_authority": {"authority": "HGNC"},
        },
        "query": [query],
    }


class FakeDatasets:
    """Answers POST /gene/dataset_report over ``genes``, ``page`` reports at a time."""

    def __init__(self, genes: Sequence[Gene] = GENES, page: int = 1_000) -> None:
        self.genes = genes
        self.page = page

    def __call__(self, request: Request) -> Reply:
        asked = request.json
        if "gene_ids" in asked:
            queries = {str(one): str(one) for one in asked["gene_ids"]}
        else:
            queries = {one.lower(): one for one in asked["symbols_for_taxon"]["symbols"]}
        reports = [
            to_report(gene, queries[name.lower()])
            for gene in self.genes
            for name in (gene.symbol, gene.gene_id, *gene.aliases)
            if name.lower() in queries
        ]
        start = int(asked.get("page_token", 0))
        content: dict[str, Any] = {"total_count": len(reports)}
        if reports:
            content["reports"] = reports[start : start + self.page]
        if start + self.page < len(reports):
            content["next_page_token"] = str(start + self.page)
        return json_reply(content)
