"""The input's gene names onto the embedded genes."""

from __future__ import annotations

import pytest

from screader_lib.cells.gene_names import (
    ABSENT,
    are_row_numbers,
    best_match,
    likely_reason,
    match_names,
)
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


@pytest.mark.parametrize("start", [0, 1, 2])
def test_numbers_of_rows_are_no_gene_ids(start: int) -> None:
    numbers = strings(range(start, start + 7000))  # 3630, 2641 and 6750 are among them
    assert are_row_numbers(numbers) == (start < 2)
    match, column = best_match(Table(numbers, {"symbol": numbers}), EMBEDDED)
    assert match.matched == 3 and column == ("symbol" if start < 2 else "")
    match, _ = best_match(Table(numbers), EMBEDDED)
    assert match.matched == (3 if start == 2 else 0)
    assert ("numbered" in likely_reason(numbers, EMBEDDED)) == (start < 2)
    assert not are_row_numbers(strings(["0", "1", "2"])) and not are_row_numbers(strings([]))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("INS", 0),
        ("OFFICIAL", 3),
        ("ENSG00000115263", 1),
        ("ENSG00000254647.12", 0),
        ("6750", 2),
        ("HGNC:6081", 0),
        ("ENSG00000129965.4", 0),
        ("TWO:1", -1),
        ("SMST", 2),
        ("SHARED", -1),
        ("ins", -1),
        ("", -1),
    ],
)
def test_name(name: str, row: int) -> None:
    assert match_names(strings([name]), EMBEDDED).rows.tolist() == [row]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("INS", 0),
        ("ENSG00000254647.12", 0),
        ("3630", 0),
        ("IDDM2", 0),
        ("TWICE", -1),
        ("ENSG00000000042", -1),
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
    assert (match.matched, match.counts) == (3, {"symbol": 1, "alias": 1, "NCBI GeneID": 1})


HUMAN_IDS = [f"ENSG{number:011}" for number in range(9)]
MOUSE_IDS = [f"ENSMUSG{number:011}.2" for number in range(9)]
SYMBOLS = ["INS", "GCG", "SST", "PPY"]


@pytest.mark.parametrize(
    ("names", "embedded", "symbols", "word"),
    [
        (["Ins", "gcg", "sst", "x"], SYMBOLS, SYMBOLS, "upper and lower"),
        (["INS", "GCG", "x", "y", "z"], SYMBOLS, SYMBOLS, "Are the embeddings of this species"),
        (HUMAN_IDS, SYMBOLS, SYMBOLS, "the embeddings by symbol"),
        (SYMBOLS, HUMAN_IDS, [""] * 9, "by Ensembl id only"),
        (SYMBOLS, HUMAN_IDS, HUMAN_IDS, "by Ensembl id only"),
        (MOUSE_IDS, HUMAN_IDS, [""] * 9, "begin with ENSMUSG, those of the embeddings with ENSG"),
        (["foo", "bar"], HUMAN_IDS[:4], SYMBOLS, "of this species"),
    ],
)
def test_likely_reason(
    names: list[str], embedded: list[str], symbols: list[str], word: str
) -> None:
    blank = strings([""] * len(embedded))
    columns = {"symbol": strings(symbols), "ensembl_id": blank}
    assert word in likely_reason(strings(names), Table(strings(embedded), dict(columns)))


def test_names_are_spelt_in_many_ways() -> None:
    embedded = Table(strings(["HLA-A", "7SK", "INS", "TBCE", "x"]))
    embedded.columns["symbol"] = strings(["", "", "", "", "NKX2-2"])
    embedded.columns["ensembl_id"] = strings(["", "", "ENSG00000254647", "", ""])
    for column in ("gene_id", "aliases"):
        embedded.columns[column] = strings([""] * 5)
    ways = {
        "HLA.A": ("HLA-A", "punctuation"),
        "X7SK": ("7SK", "punctuation"),
        "NKX2.2": ("x", "punctuation"),
        "ENSG00000254647.5|INS2": ("INS", "Ensembl id"),
        "INS2_ENSG00000254647": ("INS", "Ensembl id"),
        "TBCE": ("TBCE", "id"),
        "TBCE.1": ("TBCE", "suffix"),
        "TBCE-1": ("TBCE", "suffix"),
        "INS-1": ("", ""),  # INS is not among the names
        "hla-a": ("", ""),
    }
    match = match_names(strings(ways), embedded)
    found = ["" if row == ABSENT else embedded.index[row] for row in match.rows]
    assert dict(zip(ways, zip(found, match.ways, strict=True), strict=True)) == ways
