"""The input's gene names onto the embedded genes."""

from __future__ import annotations

import numpy as np
import pytest

from screader_lib.cells.matching import likely_reason, match_genes
from screader_lib.exchange.table import Table, strings

EMBEDDED = Table(
    strings(["INS", "GCG", "SST", "LONE"]),
    {
        "symbol": strings(["INS", "GCG", "SST", "OFFICIAL"]),
        "ensembl_id": strings(["ENSG00000254647", "ENSG00000115263", "", ""]),
        "gene_id": strings(["3630", "2641", "6750", ""]),
        "aliases": strings(["IDDM2|SHARED", "GLP1|SHARED", "SMST", ""]),
    },
)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param("INS", 0, id="id"),
        pytest.param("OFFICIAL", 3, id="symbol"),
        pytest.param("ENSG00000115263", 1, id="Ensembl id"),
        pytest.param("ENSG00000254647.12", 0, id="Ensembl id with version"),
        pytest.param("6750", 2, id="GeneID"),
        pytest.param("SMST", 2, id="alias"),
        pytest.param("SHARED", -1, id="alias of two genes"),
        pytest.param("ins", -1, id="other case"),
        pytest.param("", -1, id="empty"),
    ],
)
def test_name(name: str, row: int) -> None:
    assert match_genes(strings([name]), EMBEDDED).rows.tolist() == [row]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param("INS", 0, id="its own id"),
        pytest.param("ENSG00000254647.12", 0, id="its own id in another version, same gene"),
        pytest.param("3630", 0, id="first of the same gene"),
        pytest.param("IDDM2", 0, id="alias of the same gene"),
        pytest.param("TWICE", -1, id="symbol of two genes, alias of a third"),
        pytest.param("ENSG00000000042", -1, id="two genes by two versions"),
    ],
)
def test_name_asked_for_twice_or_ambiguous(name: str, row: int) -> None:
    genes = Table(
        strings(["INS", "ENSG00000254647.7", "A", "B", "C"]),
        {
            "symbol": strings(["INS", "INS", "TWICE", "TWICE", "C"]),
            "ensembl_id": strings(["", "", "ENSG00000000042.1", "ENSG00000000042.2", ""]),
            "gene_id": strings(["3630", "3630", "1", "2", ""]),
            "aliases": strings(["IDDM2", "IDDM2", "", "", "TWICE"]),
        },
    )
    match = match_genes(strings([name]), genes)
    assert match.rows.tolist() == [row]
    assert match.matched == sum(match.how.values()) == (row >= 0)


def test_ways_are_counted() -> None:
    match = match_genes(strings(["INS", "SMST", "2641", "nothing"]), EMBEDDED)
    assert match.matched == 3
    assert match.how == {"id": 1, "alias": 1, "NCBI GeneID": 1}


@pytest.mark.parametrize(
    ("names", "word"),
    [
        pytest.param(["Ins1", "gcg", "sst", "ins"], "species", id="mouse's case"),
        pytest.param([f"ENSG{number:011}" for number in range(9)], "Ensembl", id="Ensembl ids"),
        pytest.param(["foo", "bar"], "species", id="anything"),
    ],
)
def test_likely_reason(names: list[str], word: str) -> None:
    without_ensembl = Table(EMBEDDED.index, {**EMBEDDED.columns, "ensembl_id": strings([""] * 4)})
    assert word in likely_reason(np.array(names, dtype=object), without_ensembl)
