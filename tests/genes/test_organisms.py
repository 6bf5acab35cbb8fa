"""Species by name and taxonomy id, and the facts about human genes that the package carries."""

from __future__ import annotations

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import describe, summary_lines
from screader_lib.genes.records import known_organisms, organism_of
from screader_lib.genes.services.downloads import info_path
from screader_lib.genes.sources.tables import PackagedFacts


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
    assert found[0].text == "INS. insulin. protein-coding."
    assert (found[4].text, found[4].source) == ("", "none")
    assert first.gene == second.gene and first.gene.symbol == "ALDOA"  # by each of its Ensembl ids
    assert summary_lines(found, repeated=2) == [
        "4 of 6 names matched (symbol 1, ensembl id 1, punctuation 1, suffix 1).",
        "1 ambiguous name left unmatched.",
        "0 of 6 have a summary (0.0%); 2 have no text.",
        "2 duplicate names dropped.",
    ]


def test_other_species_has_none() -> None:
    with pytest.raises(ScReaderError, match="no packaged facts for genes of Mus musculus"):
        PackagedFacts(organism_of("mouse"))
