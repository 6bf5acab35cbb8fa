"""The rules that find a gene by name."""

from __future__ import annotations

import pytest
from fake_ncbi import GENES

from screader_lib.genes.catalog import Catalog
from screader_lib.genes.records import Gene

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
        pytest.param("ENSG00000254647.7_PAR_Y", "3630", "ensembl_id", id="ensembl-PAR-Y"),
        pytest.param("ENSG00000254647_PAR_Y", "3630", "ensembl_id", id="PAR-Y-without-version"),
        pytest.param("ENSG00000999999", "", "none", id="ensembl-unknown"),
        pytest.param("3630", "3630", "gene_id", id="gene-id"),
        pytest.param("GeneID:3630", "3630", "gene_id", id="gene-id-prefix"),
        pytest.param("LOC3630", "3630", "gene_id", id="loc"),
        pytest.param("Ins", "3630", "case", id="case"),
        pytest.param("HLA.A", "3105", "punctuation", id="dots-of-R"),
        pytest.param("IDDM", "3630", "alias", id="alias"),
        pytest.param("iddm", "3630", "alias", id="alias-case"),
        pytest.param("GLP1", "2641", "alias", id="regions-are-no-genes"),
        pytest.param("AGPAT9", "", "ambiguous", id="alias-of-two"),
        pytest.param("SHARED", "", "ambiguous", id="alias-known-elsewhere"),
        pytest.param("GONE", "13", "withdrawn", id="withdrawn"),
        pytest.param("GONETOO", "", "ambiguous", id="withdrawn-into-two"),
        pytest.param("GONEFOREVER", "", "discontinued", id="withdrawn-into-nothing"),
        pytest.param("LONGGONE", "13", "withdrawn", id="withdrawn-twice"),
        pytest.param("500", "13", "withdrawn", id="gene-id-withdrawn-twice"),
        pytest.param("LOC501", "13", "withdrawn", id="loc-withdrawn"),
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
        pytest.param("INS-1", "3630", "suffix", id="suffix-dash"),
        pytest.param("IDDM.2", "3630", "suffix", id="alias-with-suffix"),
        pytest.param("IDDM-2", "", "none", id="alias-with-dash"),
        pytest.param("IN-S", "3630", "punctuation", id="a-dash-too-many"),
        pytest.param("Mt1.2", "7", "symbol", id="a-symbol-that-ends-like-a-suffix"),
        pytest.param("AGPAT9.1", "", "ambiguous", id="ambiguous-with-suffix"),
        pytest.param("XYZ", "", "none", id="unknown"),
        pytest.param("1.1", "", "none", id="number"),
    ],
)
def test_rules(name: str, gene_id: str, how: str) -> None:
    match = CATALOG.match(name)
    assert (match.gene.gene_id if match.gene else "", match.how) == (gene_id, how)


def test_ambiguity_names_the_candidates() -> None:
    assert CATALOG.match("AGPAT9").candidates == ("GPAT3 (84803)", "LPCAT1 (79888)")
