"""NCBI's bulk files."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest
from loopback import Reply, Request, serving
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import describe, summary_lines, unmatched_tsv
from screader_lib.genes.records import organism_of
from screader_lib.genes.services import service
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources
from screader_lib.genes.sources.tables import BulkFiles

HUMAN = organism_of("human")
HEADER = (
    "#tax_id\tGeneID\tSymbol\tLocusTag\tSynonyms\tdbXrefs\tchromosome\tmap_location\tdescription\t"
    "type_of_gene\tSymbol_from_nomenclature_authority\tFull_name_from_nomenclature_authority\t"
    "Nomenclature_status\tOther_designations\tModification_date\tFeature_type\n"
)
INS = (
    "9606\t3630\tINS\t-\tIDDM|ILPR\tHGNC:HGNC:6081|Ensembl:ENSG00000254647\t11\t11p15.5\tinsulin\t"
    "protein-coding\tINS\tinsulin\tO\t-\t20190213\t-\n"
)
MOUSE = INS.replace("9606", "10090").replace("3630", "16334")
SUMMARY = (
    "#tax_id\tGeneID\tSource\tSummary\n9606\t3630\tAlliance\tother\n9606\t3630\tRefSeq\tHormone.\n"
)
HISTORY = (
    "#tax_id\tGeneID\tDiscontinued_GeneID\tDiscontinued_Symbol\tDiscontinue_Date\n"
    "9606\t3630\t99\tOLDINS\t20050101\n9606\t-\t98\tNOWHERE\t20050101\n"
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    contents = {"info": HEADER + INS + MOUSE, "summary": SUMMARY, "history": HISTORY}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    return {name: tmp_path / name for name in contents}


def test_facts_summary_and_withdrawn_symbols(files: dict[str, Path]) -> None:
    source = BulkFiles(HUMAN, [files["info"]], [files["summary"]], [files["history"]])
    catalog = source.catalog((), ())
    gene = catalog.match("OLDINS").gene
    assert catalog.match("OLDINS").how == "withdrawn"
    assert gene is not None
    assert (gene.gene_id, gene.ensembl_id, gene.full_name) == ("3630", "ENSG00000254647", "insulin")
    assert (gene.organism, gene.aliases, gene.summary) == (
        "Homo sapiens", ("IDDM", "ILPR"), "Hormone.",
    )  # fmt: skip
    assert gene.lineage.startswith("Eukaryota; Metazoa; Chordata")
    assert len(catalog.genes) == 1
    found = describe(["INS", "NOWHERE", "98", "nothing"], [source])
    assert unmatched_tsv(found).splitlines()[1:] == [
        "NOWHERE\tdiscontinued\t", "98\tdiscontinued\t", "nothing\tunknown\t",
    ]  # fmt: skip
    assert summary_lines(found)[:2] == [
        "1 of 4 names matched (symbol 1).",
        "2 names discontinued by NCBI without a replacement.",
    ]


@pytest.mark.parametrize(
    ("references", "ensembl", "others"),
    [
        ("-", "", ()),
        ("MIM:1|HGNC:HGNC:60|Ensembl:ENSG1|Ensembl:ENSG2", "ENSG1", ("MIM:1", "HGNC:60", "ENSG2")),
        ("FLYBASE:FBgn0000490|AllianceGenome:FB:FBgn0000490", "", ("FBgn0000490",)),
        ("WormBase:WBGene01|IMGT/GENE-DB:IGHA1", "", ("WBGene01",)),
    ],
)
def test_ids_of_other_databases(
    tmp_path: Path, references: str, ensembl: str, others: tuple[str, ...]
) -> None:
    row = INS.replace("HGNC:HGNC:6081|Ensembl:ENSG00000254647", references)
    (tmp_path / "info").write_text(HEADER + row)
    (gene,) = BulkFiles(HUMAN, [tmp_path / "info"]).catalog((), ()).genes
    assert (gene.ensembl_id, gene.other_ids) == (ensembl, others)


@pytest.mark.parametrize(
    ("names", "asked", "how"),
    [
        (["INS", "3630", "nothing"], [], ["symbol", "gene_id", "none"]),
        (["99", "LOC98"], ["99", "LOC98"], ["withdrawn", "discontinued"]),
        (["77"], ["77"], ["none"]),
    ],
)
def test_history_is_looked_for_where_a_gene_id_is_unknown(
    files: dict[str, Path], names: list[str], asked: list[str], how: list[str]
) -> None:
    found: list[str] = []

    def find(unknown: Sequence[str]) -> list[Path]:
        found.extend(unknown)
        return [files["history"]]

    source = BulkFiles(HUMAN, [files["info"]], find_history=find)
    assert [one.match.how for one in describe(names, [source])] == how
    assert found == asked
    assert ("gene_history" in source.files) is bool(asked)


@pytest.mark.parametrize("local", [True, False], ids=["local-copies", "no-network"])
def test_without_a_history_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, Path], local: bool
) -> None:
    line = "give --gene-history" if local else "These GeneIDs remain unknown"
    monkeypatch.setattr(service.random, "uniform", lambda *_: 0.0)
    contents = {"Homo_sapiens.gene_info.gz": files["info"], "gene_summary.gz": files["summary"]}
    reporter = RecordingReporter()

    def answer(request: Request) -> Reply:
        path = contents.get(request.path.rpartition("/")[2])
        return Reply(path.read_bytes()) if path else Reply(b"")

    with serving(answer) as server:
        given = (str(files["info"]),) if local else ()
        options = SourceOptions(cache=str(tmp_path / "k"), files_url=server.url, gene_info=given)
        (source,) = make_sources(["ncbi-files"], HUMAN, options, reporter)
    found = describe(["77"], [source])
    assert found[0].match.how == "none"
    assert sum(line in one for one in reporter.messages) == 1


def test_a_species_that_has_no_name_here_is_told(tmp_path: Path) -> None:
    (tmp_path / "info").write_text(HEADER + INS.replace("9606", "4932"))
    options = SourceOptions(gene_info=(str(tmp_path / "info"),), cache=str(tmp_path))
    yeast = organism_of("4932")
    reporter = RecordingReporter()
    for names in ((), ("ncbi-files", "eutils")):  # E-utilities have the name
        sources = make_sources(names, yeast, options, reporter)
        assert len(reporter.messages) == 1
    assert describe(["INS"], sources[:1])[0].gene.organism == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (gzip.compress((HEADER + INS * 999).encode(), mtime=0)[:-40], "cut off"),
        (SUMMARY.encode(), "no column 'Symbol'"),
        ((HEADER + "9606\t1\n").encode(), "line 2 has 2 columns"),
        ((HEADER + MOUSE).encode(), "no genes of the species 9606"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "info"
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        BulkFiles(HUMAN, [path]).catalog((), ())
