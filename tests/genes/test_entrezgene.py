"""NCBI's recorded records, and what must not pass for one."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
from fake_ncbi import GENES, INS, records, to_summary, to_xml
from loopback import HTML
from real_data import real

from screader_lib.genes.records import organism_of
from screader_lib.genes.services.service import BadAnswer
from screader_lib.genes.sources.eutils import parse_records, parse_summaries


def test_recorded_record_has_all_fields_of_the_paper() -> None:
    (gene,) = parse_records(gzip.decompress(real("efetch_gene_4747.xml.gz").read_bytes())).genes
    assert (gene.symbol, gene.gene_id, gene.tax_id) == ("NEFL", "4747", 9606)
    assert gene.full_name == "neurofilament light chain"
    assert (gene.gene_type, gene.organism) == ("protein-coding", "Homo sapiens")
    assert gene.ensembl_id == "ENSG00000277586"
    assert gene.lineage == organism_of("human").lineage
    assert gene.aliases[:2] == ("NFL", "NF-L") and len(gene.aliases) == 7
    assert gene.expression == "Biased expression in brain (RPKM 94.3) and adrenal (RPKM 9.8)"
    assert gene.summary.startswith("Neurofilaments are type IV intermediate filament")


def test_older_record_lacks_expression_only() -> None:
    path = real("efetch_gene_4747_without_expression.xml.gz")
    (gene,) = parse_records(gzip.decompress(path.read_bytes())).genes
    assert gene.expression == ""
    assert not gene.lacks(
        ("symbol", "gene_id", "full_name", "gene_type", "organism", "lineage", "summary")
    )


@pytest.mark.parametrize(
    ("status", "current", "replaced"),
    [
        ("secondary", "2641", {"3630": "2641"}),
        ("discontinued", "", {"3630": ""}),
        ("newentry", "", {}),
    ],
)
def test_withdrawn_records_name_their_successors(
    status: str, current: str, replaced: dict[str, str]
) -> None:
    found = parse_records(records([], to_xml(INS, status, current)).body)
    assert (found.genes, found.replaced) == ([], replaced)


def test_all_ids_of_other_databases_are_kept() -> None:
    gene = replace(INS, ensembl_id="ENSG1", other_ids=("ENSG2", "HGNC:6081", "MIM:176730"))
    (read, *others) = parse_records(records([gene, *GENES[1:]]).body).genes
    assert read.database_ids == gene.database_ids
    assert [other.symbol for other in others] == [other.symbol for other in GENES[1:]]


RECORD = records([INS]).body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (HTML.body, "HTML page"),
        (RECORD[:-30], "cut or malformed"),
        (b"", "empty answer"),
        (b"<eFetchResult/>", "XML of eFetchResult"),
        (RECORD.replace(b"Gene-track_geneid", b"New-geneid"), "Gene-track_geneid"),
        (RECORD.replace(b"Org-ref_taxname", b"New-taxname"), "Org-ref_taxname"),
        (RECORD.replace(b"Entrezgene_type", b"New_type"), "Entrezgene_type"),
        # an optional part by another name is no missing part
        (RECORD.replace(b"Entrezgene_summary", b"Entrezgene_new"), "its schema has changed"),
        (RECORD.replace(b"OrgName_lineage", b"OrgName_new-lineage"), "its schema has changed"),
        (records([], to_xml(INS, "frozen")).body, "status frozen: its schema"),
    ],
)
def test_other_answers_are_errors(body: bytes, message: str) -> None:
    with pytest.raises(BadAnswer, match=message):
        parse_records(body)


@pytest.mark.parametrize("field", ["name", "summary", "organism", "otheraliases"])
def test_summaries_of_another_form_are_errors(field: str) -> None:
    entry = to_summary(INS)
    answer = {"result": {"uids": ["3630"], "3630": entry}}
    assert parse_summaries(json.dumps(answer).encode(), ["3630"])[0].symbol == "INS"
    del entry[field]
    with pytest.raises(BadAnswer, match="its schema has changed"):
        parse_summaries(json.dumps(answer).encode(), ["3630"])
    with pytest.raises(BadAnswer, match="JSON without 'result'"):
        parse_summaries(b'{"error": "x"}', [])
