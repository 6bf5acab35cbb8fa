"""The facts that the project carries."""

from __future__ import annotations

import pytest
from real_data import real

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import describe, summary_lines
from screader_lib.genes.gene_lists import read_genes
from screader_lib.genes.organisms import organism_of
from screader_lib.genes.sources.tables import PackagedFacts


def test_known_genes() -> None:
    found = describe(
        ["INS", "ENSG00000115263.15", "HLA.A", "IAPP.1", "nothing", "AIM1"],
        [PackagedFacts(organism_of("human"))],
    )
    assert [one.gene.symbol for one in found] == ["INS", "GCG", "HLA-A", "IAPP", "nothing", "AIM1"]
    assert [one.match.how for one in found] == [
        "symbol", "ensembl_id", "punctuation", "suffix", "none", "ambiguous",
    ]  # fmt: skip
    assert found[0].text == "INS. insulin. protein-coding."
    assert (found[4].text, found[4].source) == ("", "none")
    lines = summary_lines(found, repeated=2)
    assert lines[0] == ("4 of 6 names matched (symbol 1, ensembl id 1, punctuation 1, suffix 1).")
    assert "1 ambiguous name left unmatched." in lines
    assert "2 duplicate names dropped." in lines


def test_every_ensembl_id_of_a_gene_is_known() -> None:
    names = ["ENSG00000149925", "ENSG00000285043.2"]
    found = describe(names, [PackagedFacts(organism_of("human"))])
    assert [one.gene.symbol for one in found] == ["ALDOA", "ALDOA"]
    assert found[0].gene.ensembl_id == "ENSG00000149925"


def test_other_species_has_none() -> None:
    with pytest.raises(ScReaderError, match="no packaged facts for genes of Mus musculus"):
        PackagedFacts(organism_of("mouse"))


def test_demonstration_genes() -> None:
    names = read_genes(real("baron_human.h5ad"), "baron").names
    found = describe(names, [PackagedFacts(organism_of("human"))])
    assert [one.name for one in found] == list(names)
    assert sum(bool(one.text) for one in found) >= 0.99 * len(names)
