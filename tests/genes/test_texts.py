"""Texts of genes: cleaned and put together."""

from __future__ import annotations

import pytest
from fake_ncbi import INS

from screader_lib.errors import ScReaderError
from screader_lib.genes.records import Gene
from screader_lib.genes.texts import cleaned, compose, parse_fields


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        pytest.param("A gene. [provided by RefSeq, May 2020]", "A gene.", id="refseq"),
        pytest.param(
            "A. [provided by Alliance of Genome Resources, Jun 2026]", "A.", id="alliance"
        ),
        pytest.param("A [PubMed 123, 456] gene [supplied by OMIM].", "A gene.", id="pubmed"),
        pytest.param("Binds (PMID: 123) DNA [1, 2-4].", "Binds DNA.", id="numbers"),
        pytest.param("a\x00b\tc\u200bd\r\n e", "a b c d e", id="invisible"),
        pytest.param("e\u0301", "é", id="unicode-form-c"),
        pytest.param("[Ca2+] and [NADP(+)] stay", "[Ca2+] and [NADP(+)] stay", id="chemistry"),
        pytest.param("  ", "", id="blank"),
    ],
)
def test_cleaning(raw: str, clean: str) -> None:
    assert cleaned(raw) == clean


def test_fields_in_the_order_asked_for() -> None:
    assert compose(INS, ("full_name", "symbol")) == "insulin. INS."
    assert compose(INS) == (
        "INS. insulin. protein-coding. Restricted expression toward pancreas (RPKM 1.2). "
        "This gene encodes insulin."
    )
    assert compose(INS, ("aliases",)) == "Also known as IDDM, ILPR."


def test_own_text_is_embedded_as_it_is() -> None:
    assert compose(Gene("INS", full_name="insulin", text=" my\ttext ")) == "my text"


@pytest.mark.parametrize("listed", ["", "symbol,colour", "symbol,symbol"])
def test_wrong_fields_are_refused(listed: str) -> None:
    with pytest.raises(ScReaderError, match="--fields"):
        parse_fields(listed)
