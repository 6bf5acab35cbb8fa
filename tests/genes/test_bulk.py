"""NCBI's bulk files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from real_data import real

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import describe
from screader_lib.genes.lists import read_genes
from screader_lib.genes.organisms import organism_of
from screader_lib.genes.sources.bulk import BulkFiles

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
    human = organism_of("human")
    catalog = BulkFiles(human, [files["info"]], [files["summary"]], [files["history"]]).catalog(
        (), ()
    )
    gene = catalog.match("OLDINS").gene
    assert catalog.match("OLDINS").how == "withdrawn"
    assert catalog.match("NOWHERE").gene is None
    assert gene is not None
    assert (gene.gene_id, gene.ensembl_id, gene.full_name) == ("3630", "ENSG00000254647", "insulin")
    assert (gene.organism, gene.aliases, gene.summary) == (
        "Homo sapiens", ("IDDM", "ILPR"), "Hormone.",
    )  # fmt: skip
    assert gene.lineage.startswith("Eukaryota; Metazoa; Chordata")
    assert len(catalog.genes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(gzip.compress((HEADER + INS * 999).encode())[:-40], "cut off", id="cut"),
        pytest.param(SUMMARY.encode(), "no column 'Symbol'", id="other-file"),
        pytest.param((HEADER + "9606\t1\n").encode(), "line 2 has 2 columns", id="short-line"),
        pytest.param((HEADER + MOUSE).encode(), "no gene of the species 9606", id="species"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "info"
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        BulkFiles(organism_of("human"), [path]).catalog((), ())


@pytest.mark.parametrize(
    ("cells", "organism", "species", "matched", "summaries"),
    [
        ("baron_human.h5ad", "human", "Homo_sapiens", 0.97, 12_600),
        ("baron_mouse.h5ad", "mouse", "Mus_musculus", 0.97, 1_000),
    ],
)
def test_real_genes(
    cells: str, organism: str, species: str, matched: float, summaries: int
) -> None:
    path = real(cells)
    source = BulkFiles(
        organism_of(organism),
        [real(f"{species}.gene_info.gz")],
        [real(f"gene_summary.{organism}.gz")],
    )
    found = describe(read_genes(path, cells).names, [source])
    complete = sum(
        bool(one.gene.symbol and one.gene.full_name and one.gene.gene_type) for one in found
    )
    assert complete >= matched * len(found)
    assert sum(bool(one.gene.summary) for one in found) >= summaries
