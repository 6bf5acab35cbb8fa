"""Species by name and taxonomy id."""

from __future__ import annotations

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.genes.organisms import known_organisms, organism_of
from screader_lib.genes.services.downloads import info_path


@pytest.mark.parametrize(
    ("name", "tax_id"),
    [
        ("human", 9606),
        ("Homo sapiens", 9606),
        ("homo_sapiens", 9606),
        (" Mouse ", 10090),
        ("9823", 9823),
        ("Rhesus macaque", 9544),
        ("4932", 4932),
    ],
)
def test_names_and_ids(name: str, tax_id: int) -> None:
    assert organism_of(name).tax_id == tax_id


@pytest.mark.parametrize("name", ["", "unicorn", "-1", "0", "９６０６", "9606.0", str(2**31)])
def test_no_species(name: str) -> None:
    with pytest.raises(ScReaderError, match="unknown organism"):
        organism_of(name)


def test_known_species_are_told_apart_and_complete() -> None:
    for facts in ("tax_id", "name", "common"):
        assert len({getattr(organism, facts) for organism in known_organisms()}) == len(
            known_organisms()
        )
    for organism in known_organisms():
        assert organism.lineage.startswith("Eukaryota; Metazoa; ")
        assert organism.name.split()[0] in organism.lineage
        assert info_path(organism).endswith(".gene_info.gz")
    assert info_path(organism_of("4932")) == "GENE_INFO/All_Data.gene_info.gz"
