"""Genes and species by name, and the facts about human genes that the package carries."""

from __future__ import annotations

import pytest
from fake_ncbi import GENES

from screader_lib.errors import ScReaderError
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.describe import describe, summary_lines
from screader_lib.genes.records import Gene, known_organisms, organism_of
from screader_lib.genes.services.downloads import info_path
from screader_lib.genes.sources.tables import PackagedFacts

CATALOG = Catalog(
    [
        *GENES,
        Gene("Mt1.2", "7", official=True),
        Gene("TEC", "8", official=True),
        Gene("TEC", "9"),
        Gene("ODD", "10"),
        Gene("ODD", "11"),
        Gene("REGION", "12", gene_type="biological-region", aliases=("GLP1",)),
        Gene("LIVE", "13", aliases=("SHARED",)),
        Gene("TWO", "14", "ENSG00000000014", other_ids=("ENSG00000000015", "HGNC:14", "MIM:140")),
        Gene("fly", "15", other_ids=("FBgn0000490", "HGNC:14")),
        Gene("OFFICIAL", "16", "ENSG00000000016", official=True),
        Gene("LOC17", "17", "ENSG00000000016"),
    ],
    elsewhere=["shared"],
    withdrawn={"gone": ["13"], "gonetoo": ["13", "7"], "goneforever": [], "longgone": ["501"]},
    replaced={"500": "501", "501": "13", "600": "", "700": "700", "800": "900"},
)


@pytest.mark.parametrize(
    ("name", "gene_id", "how"),
    [
        pytest.param("INS", "3630", "symbol", id="symbol"),
        pytest.param("TEC", "8", "symbol", id="official-of-two"),
        pytest.param("ODD", "", "ambiguous", id="two-unofficial"),
        pytest.param("ENSG00000254647", "3630", "ensembl_id", id="ensembl"),
        pytest.param("ENSG00000254647.7", "3630", "ensembl_id", id="ensembl-version"),
        pytest.param("ENSG00000254647_PAR_Y", "3630", "ensembl_id", id="PAR-Y-without-version"),
        pytest.param("ENSG00000999999", "", "none", id="ensembl-unknown"),
        pytest.param("3630", "3630", "gene_id", id="gene-id"),
        pytest.param("LOC3630", "3630", "gene_id", id="loc"),
        pytest.param("Ins", "3630", "case", id="case"),
        pytest.param("HLA.A", "3105", "punctuation", id="dots-of-R"),
        pytest.param("IDDM", "3630", "alias", id="alias"),
        pytest.param("GLP1", "2641", "alias", id="regions-are-no-genes"),
        pytest.param("AGPAT9", "", "ambiguous", id="alias-of-two"),
        pytest.param("SHARED", "", "ambiguous", id="alias-known-elsewhere"),
        pytest.param("GONE", "13", "withdrawn", id="withdrawn"),
        pytest.param("GONETOO", "", "ambiguous", id="withdrawn-into-two"),
        pytest.param("GONEFOREVER", "", "discontinued", id="withdrawn-into-nothing"),
        pytest.param("LONGGONE", "13", "withdrawn", id="withdrawn-twice"),
        pytest.param("500", "13", "withdrawn", id="gene-id-withdrawn-twice"),
        pytest.param("600", "", "discontinued", id="gene-id-into-nothing"),
        pytest.param("700", "", "discontinued", id="gene-id-into-itself"),
        pytest.param("800", "", "discontinued", id="gene-id-into-an-unknown-one"),
        pytest.param("ENSG00000000015.2", "14", "ensembl_id", id="second-ensembl"),
        pytest.param("ENSG00000000016", "16", "ensembl_id", id="ensembl-official-of-two"),
        pytest.param("FBgn0000490", "15", "database_id", id="flybase"),
        pytest.param("MIM:140", "14", "database_id", id="mim"),
        pytest.param("140", "", "none", id="a-number-is-no-mim"),
        pytest.param("HGNC:14", "", "ambiguous", id="id-of-two"),
        pytest.param("INS.1", "3630", "suffix", id="suffix-dot"),
        pytest.param("IDDM.2", "3630", "suffix", id="alias-with-suffix"),
        pytest.param("IDDM-2", "", "none", id="alias-with-dash"),
        pytest.param("IN-S", "3630", "punctuation", id="a-dash-too-many"),
        pytest.param("Mt1.2", "7", "symbol", id="a-symbol-that-ends-like-a-suffix"),
        pytest.param("AGPAT9.1", "", "ambiguous", id="ambiguous-with-suffix"),
        pytest.param("XYZ", "", "none", id="unknown"),
    ],
)
def test_rules(name: str, gene_id: str, how: str) -> None:
    match = CATALOG.match(name)
    assert (match.gene.gene_id if match.gene else "", match.how) == (gene_id, how)


def test_ambiguity_names_the_candidates() -> None:
    assert CATALOG.match("AGPAT9").candidates == ("GPAT3 (84803)", "LPCAT1 (79888)")


@pytest.mark.parametrize(
    ("name", "tax_id"),
    [("human", 9606), ("homo_sapiens", 9606), (" Mouse ", 10090), ("9823", 9823), ("4932", 4932)],
)
def test_names_and_ids(name: str, tax_id: int) -> None:
    assert organism_of(name).tax_id == tax_id


@pytest.mark.parametrize("name", ["", "unicorn", "-1", "0", "９６０６", "9606.0", str(2**31)])
def test_no_species(name: str) -> None:
    with pytest.raises(ScReaderError, match="unknown organism"):
        organism_of(name)


def test_known_species_are_told_apart_and_complete() -> None:
    known = known_organisms()
    for facts in ("tax_id", "name", "common"):
        assert len({getattr(organism, facts) for organism in known}) == len(known)
    for organism in known:
        assert organism.lineage.startswith("Eukaryota; Metazoa; ")
        assert organism.name.split()[0] in organism.lineage
        assert info_path(organism).endswith(".gene_info.gz")
    assert info_path(organism_of("4932")) == "GENE_INFO/All_Data.gene_info.gz"


def test_known_genes() -> None:
    names = ["INS", "ENSG00000115263.15", "HLA.A", "IAPP.1", "nothing", "AIM1"]
    names += ["ENSG00000149925", "ENSG00000285043.2"]
    *found, first, second = describe(names, [PackagedFacts(organism_of("human"))])
    assert [one.gene.symbol for one in found] == ["INS", "GCG", "HLA-A", "IAPP", "nothing", "AIM1"]
    assert [one.match.how for one in found] == [
        "symbol", "ensembl_id", "punctuation", "suffix", "none", "ambiguous",
    ]  # fmt: skip
    assert found[0].text.startswith("INS. insulin. protein-coding. This gene encodes insulin")
    assert (found[4].text, found[4].source) == ("", "none")
    assert first.gene == second.gene and first.gene.symbol == "ALDOA"  # by each of its Ensembl ids
    assert summary_lines(found, repeated=2) == [
        "4 of 6 names matched (symbol 1, ensembl id 1, punctuation 1, suffix 1).",
        "1 ambiguous name left unmatched.",
        "4 of 6 have a summary (66.7%); 2 have no text.",
        "2 duplicate names dropped.",
    ]


def test_other_species_has_none() -> None:
    with pytest.raises(ScReaderError, match="no packaged facts for genes of Rattus norvegicus"):
        PackagedFacts(organism_of("rat"))


def test_mouse_genes_have_their_own_summary_or_the_human_orthologs() -> None:
    human, mouse = (
        {gene.symbol: gene for gene in PackagedFacts(organism_of(name)).catalog((), ()).genes}
        for name in ("human", "mouse")
    )
    own, borrowed, without = mouse["Gcg"], mouse["Iapp"], mouse["Ppy"]
    assert own.source == "ncbi" and "" != own.summary != human["GCG"].summary
    assert borrowed.source == "ortholog" and borrowed.summary == human["IAPP"].summary != ""
    assert (without.source, without.summary) == ("ncbi", "")  # not one to one: PPY, PPY2P
    assert {gene.source for gene in human.values()} == {"ncbi"}
