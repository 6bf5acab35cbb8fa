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


def test_made_up_records() -> None:
    found = parse_records(records(GENES).body).genes
    assert [(gene.symbol, gene.expression) for gene in found] == [
        (gene.symbol, gene.expression) for gene in GENES
    ]


@pytest.mark.parametrize(
    ("status", "current", "replaced"),
    [
        pytest.param("secondary", "2641", {"3630": "2641"}, id="merged"),
        pytest.param("discontinued", "", {"3630": ""}, id="discontinued"),
        pytest.param("newentry", "", {}, id="not-yet"),
    ],
)
def test_withdrawn_records_name_their_successors(
    status: str, current: str, replaced: dict[str, str]
) -> None:
    found = parse_records(records([], to_xml(INS, status, current)).body)
    assert (found.genes, found.replaced) == ([], replaced)


def test_all_ids_of_other_databases_are_kept() -> None:
    gene = replace(INS, ensembl_id="ENSG1", other_ids=("ENSG2", "HGNC:6081", "MIM:176730"))
    (found,) = parse_records(records([gene]).body).genes
    assert found.database_ids == gene.database_ids


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(HTML.body, "HTML page", id="html"),
        pytest.param(records([INS]).body[:-30], "cut or malformed", id="cut"),
        pytest.param(b"", "empty answer", id="empty"),
        pytest.param(b"<eFetchResult/>", "XML of eFetchResult", id="other-xml"),
        *(
            pytest.param(
                records([INS]).body.replace(tag.encode(), b"New_" + tag.encode()), tag, id=tag
            )
            for tag in ("Gene-track_geneid", "Gene-ref_locus", "Org-ref_taxname", "Entrezgene_type")
        ),
        *(
            # an optional part by another name is no missing part
            pytest.param(
                records([INS]).body.replace(part.encode(), part.replace("_", "_new-").encode()),
                "its schema has changed",
                id=part,
            )
            for part in ("Entrezgene_summary", "Gene-ref_desc", "OrgName_lineage")
        ),
        pytest.param(
            records([], to_xml(INS, "frozen")).body, "status frozen: its schema", id="status"
        ),
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
