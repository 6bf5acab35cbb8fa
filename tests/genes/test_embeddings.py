"""Descriptions to embeddings: each text once, and genes without a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fake_openai import vector_of

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table, strings
from screader_lib.genes.embeddings import embed
from screader_lib.genes.providers.embedder import Embedder


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


def test_equal_texts_are_embedded_once() -> None:
    embedder = Counting()
    vectors = embed(GENES, embedder, "zero").vectors
    assert embedder.asked == ["x", "y"]
    assert np.array_equal(vectors[0], vectors[3])
    assert np.array_equal(vectors[2], vector_of("y"))


@pytest.mark.parametrize(
    ("policy", "row"),
    [
        ("zero", np.zeros(6)),
        ("mean", (2 * vector_of("x").astype(float) + vector_of("y")) / 3),
    ],
)
def test_genes_without_text(policy: str, row: np.ndarray) -> None:
    assert np.allclose(embed(GENES, Counting(), policy).vectors[1], row, atol=1e-6)


def test_drop_and_error() -> None:
    made = embed(GENES, Counting(), "drop")
    assert made.genes.index.tolist() == ["a", "c", "d"] and len(made.vectors) == 3
    with pytest.raises(ScReaderError, match="1 genes have no text, the first is 'b'"):
        embed(GENES, Counting(), "error")
    with pytest.raises(ScReaderError, match="none of the 1 genes"):
        embed(Table(strings("a"), {"text": strings([""])}), Counting())
