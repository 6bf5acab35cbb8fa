"""Texts of genes: cleaned, put together and embedded once each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fake_ncbi import INS
from fake_openai import vector_of

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table, strings
from screader_lib.genes.describe import cleaned, compose, parse_fields
from screader_lib.genes.embeddings import embed
from screader_lib.genes.providers.embedder import Embedder
from screader_lib.genes.providers.openai import estimate
from screader_lib.genes.records import Gene


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("A. [provided by Alliance of Genome Resources, Jun 2026]", "A."),
        ("A [PubMed 123, 456] gene [supplied by OMIM].", "A gene."),
        ("Binds (PMID: 123) DNA [1, 2-4].", "Binds DNA."),
        ("a\x00b\tc\u200bd\r\n e", "a b c d e"),
        ("e\u0301", "é"),
        ("[Ca2+] and [NADP(+)] stay", "[Ca2+] and [NADP(+)] stay"),
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


class Counting(Embedder):
    """Remembers what it was asked."""

    provider = "test"
    model = "test"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str], *_: Any) -> np.ndarray:
        self.asked = list(texts)
        return np.stack([vector_of(text) for text in texts])


GENES = Table(strings("abcd"), {"text": strings(["x", "", "y", "x"])})


def test_equal_texts_are_embedded_once_and_genes_without_text() -> None:
    embedder = Counting()
    vectors = embed(GENES, embedder, "zero").vectors
    x, y = map(vector_of, "xy")
    assert embedder.asked == ["x", "y"]
    assert np.array_equal(vectors, [x, np.zeros(6), y, x])
    assert estimate(embedder, ["x"], 5.0).dollars == 0  # as it is no server, whatever the price
    mean = embed(GENES, embedder, "mean").vectors[1]
    assert np.allclose(mean, (2 * x.astype(float) + y) / 3, atol=1e-6)
    made = embed(GENES, embedder, "drop")
    assert made.genes.index.tolist() == ["a", "c", "d"] and len(made.vectors) == 3
    with pytest.raises(ScReaderError, match="1 gene without a text, the first is 'b'"):
        embed(GENES, Counting(), "error")
    with pytest.raises(ScReaderError, match="none of the 1 genes"):
        embed(Table(strings("a"), {"text": strings([""])}), Counting())
