"""The input's gene names onto the embedded genes."""

from __future__ import annotations

import pytest

from screader_lib.cells.gene_names import likely_reason, match_names
from screader_lib.exchange.table import Table, strings

EMBEDDED = Table(
    strings(["INS", "GCG", "SST", "LONE"]),
    {
        "symbol": strings(["INS", "GCG", "SST", "OFFICIAL"]),
        "ensembl_id": strings(["ENSG00000254647", "ENSG00000115263", "", ""]),
        "gene_id": strings(["3630", "2641", "6750", ""]),
        "other_ids": strings(
            ["ENSG00000129965|HGNC:6081|TWO:1", "HGNC:4191|TWO:1|ENSG00000254647", "", ""]
        ),
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
        pytest.param("HGNC:6081", 0, id="id of another database"),
        pytest.param("ENSG00000129965.4", 0, id="a further Ensembl id with version"),
        pytest.param("TWO:1", -1, id="further id of two genes"),
        pytest.param("SMST", 2, id="alias"),
        pytest.param("SHARED", -1, id="alias of two genes"),
        pytest.param("ins", -1, id="other case"),
        pytest.param("", -1, id="empty"),
    ],
)
def test_name(name: str, row: int) -> None:
    assert match_names(strings([name]), EMBEDDED).rows.tolist() == [row]


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
    match = match_names(strings([name]), genes)
    assert match.rows.tolist() == [row]
    assert match.matched == sum(match.counts.values()) == (row >= 0)


def test_ways_are_counted() -> None:
    match = match_names(strings(["INS", "SMST", "2641", "nothing"]), EMBEDDED)
    assert match.matched == 3
    assert match.counts == {"id": 1, "alias": 1, "NCBI GeneID": 1}


HUMAN_IDS = [f"ENSG{number:011}" for number in range(9)]
MOUSE_IDS = [f"ENSMUSG{number:011}.2" for number in range(9)]
SYMBOLS = ["INS", "GCG", "SST", "PPY"]


@pytest.mark.parametrize(
    ("names", "embedded", "symbols", "word"),
    [
        pytest.param(["Ins", "gcg", "sst", "x"], SYMBOLS, SYMBOLS, "upper and lower", id="case"),
        pytest.param(HUMAN_IDS, SYMBOLS, SYMBOLS, "the embeddings by symbol", id="ids-to-symbols"),
        pytest.param(SYMBOLS, HUMAN_IDS, [""] * 9, "by Ensembl id only", id="symbols-to-ids"),
        pytest.param(SYMBOLS, HUMAN_IDS, HUMAN_IDS, "by Ensembl id only", id="ids-as-symbols"),
        pytest.param(MOUSE_IDS, HUMAN_IDS, [""] * 9, "begin with ENSMUSG, those of the embeddings "
                     "with ENSG", id="ids-of-another-species"),
        pytest.param(["foo", "bar"], HUMAN_IDS[:4], SYMBOLS, "of this species", id="anything"),
        pytest.param(["foo"], [], [], "of this species", id="no-embeddings"),
    ],
)  # fmt: skip
def test_likely_reason(
    names: list[str], embedded: list[str], symbols: list[str], word: str
) -> None:
    blank = strings([""] * len(embedded))
    columns = {"symbol": strings(symbols), "ensembl_id": blank}
    assert word in likely_reason(strings(names), Table(strings(embedded), dict(columns)))
