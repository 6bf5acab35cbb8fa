"""Tokens and price of a request, told before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.cached_embedder import CachedEmbedder
from screader_lib.genes.providers.embedder import Embedder
from screader_lib.genes.providers.openai import PRICES, OpenAIEmbeddings
from screader_lib.genes.providers.request_batches import estimated_tokens, packed


@dataclass(frozen=True)
class Estimate:
    """What embedding would take; ``dollars`` is None where the price is not known."""

    texts: int
    new: int
    tokens: int
    requests: int
    dollars: float | None

    def __str__(self) -> str:
        known = self.texts - self.new
        price = "price unknown" if self.dollars is None else f"about ${self.dollars:.4f}"
        return (
            f"{self.texts:,} distinct texts, {known:,} of them known; {self.new:,} to embed: "
            f"about {self.tokens:,} tokens in {self.requests:,} requests, {price}."
        )


def estimate(embedder: Embedder, texts: Sequence[str], price: float | None) -> Estimate:
    """The estimate; ``price`` in US dollars per million tokens, else the model's known price.

    Local models cost nothing.
    """
    new = embedder.lacking(texts) if isinstance(embedder, CachedEmbedder) else list(texts)
    asked = embedder.embedder if isinstance(embedder, CachedEmbedder) else embedder
    tokens = sum(map(estimated_tokens, new))
    if not isinstance(asked, OpenAIEmbeddings):
        return Estimate(len(texts), len(new), tokens, 0, 0.0)
    if price is None:
        price = PRICES.get(asked.model)
    requests = len(list(packed(new, asked.limits.concurrent)))
    dollars = None if price is None else tokens / 1e6 * price
    return Estimate(len(texts), len(new), tokens, requests, dollars)


def check_cost(estimated: Estimate, most: float | None) -> None:
    """ScReaderError where the estimate passes ``most`` US dollars, or cannot tell."""
    if most is None or not estimated.new:
        return
    if estimated.dollars is None:
        raise ScReaderError(
            "--max-cost: the price of this model is not known.",
            remedy="Give it with --price, in US dollars per million tokens.",
        )
    if estimated.dollars > most:
        raise ScReaderError(
            f"this would cost about ${estimated.dollars:.4f}, more than --max-cost {most:g}.",
            remedy="Raise --max-cost, or choose fewer --fields or genes.",
        )
