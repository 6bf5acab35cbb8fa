"""Embeddings from OpenAI or any server that answers as it does (``POST /embeddings``).

Limits: OpenAI API reference, "Create embeddings": 2,048 inputs a request, 8,192 tokens an input,
300,000 tokens a request. The models' tokens are runs of bytes, so a text has at most as many
tokens as bytes: requests are filled by bytes and cannot have too many tokens. The tokens and the
price given before a run are estimates.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import CachedEmbedder, Embedder, OnBatch
from screader_lib.genes.services.openai_server import URL, OpenAIServer, TooLarge
from screader_lib.genes.services.service import BadAnswer, Pace, parse_json
from screader_lib.reporting import SILENT, Reporter, counted

DEFAULT_MODEL = "text-embedding-ada-002"
PRICES = {  # US dollars per million tokens
    "text-embedding-ada-002": 0.10,
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
}
INPUTS_PER_REQUEST = 2_048
TOKENS_PER_INPUT = 8_192
TOKENS_PER_REQUEST = 300_000
BYTES_PER_TOKEN = 3  # about 4 in English gene texts; 3 keeps estimates on the safe side
MAX_BYTES = (TOKENS_PER_INPUT - 1) * BYTES_PER_TOKEN  # of a text; a server may take fewer
MIN_BYTES = 64  # a text this short is refused for another reason than its length


@dataclass(frozen=True)
class RateLimits:
    """What the account or server allows; ``concurrent`` requests run at a time.

    Together these hold no more than one full request.
    """

    requests_per_minute: float = 500
    tokens_per_minute: float = 1_000_000
    concurrent: int = 4


class OpenAIEmbeddings(Embedder):
    """Embeddings from a server; the key is read from the environment and goes nowhere else.

    ``dimensions`` shortens the vectors of models that can (text-embedding-3). ScReaderError
    where OpenAI itself is asked without a key.
    """

    provider = "openai"

    def __init__(
        self,
        model: str | None = None,
        base_url: str | None = None,
        dimensions: int | None = None,
        limits: RateLimits = RateLimits(),
        reporter: Reporter = SILENT,
        **settings: Any,
    ) -> None:
        self.model = model or DEFAULT_MODEL
        self.dimensions = dimensions
        self.limits = limits
        self.tokens_spent = 0
        self.truncated: set[str] = set()
        self.lock = threading.Lock()
        self.encoding = "base64" if base_url is None else "float"  # which every server knows
        pace = Pace(limits.requests_per_minute / 60)
        settings = {"reporter": reporter, "url_option": "--base-url", **settings}
        self.server = OpenAIServer("the embedding server", base_url or URL, pace, **settings)
        self.token_pace = Pace(limits.tokens_per_minute / 60)

    @property
    def identity(self) -> tuple[str, ...]:
        elsewhere = () if self.server.url == URL else (self.server.url,)
        return (self.provider, self.model, str(self.dimensions or ""), *elsewhere)

    def embed(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        batches = list(request_batches(texts, self.limits.concurrent))
        requests = [
            partial(self._embed_request, [texts[row] for row in rows], on_batch) for rows in batches
        ]
        self.truncated.clear()
        try:
            with reporter.progress("Embedding", len(texts), "genes") as advance:
                vectors = self.server.run_all(
                    requests, self.limits.concurrent, lambda number: advance(len(batches[number]))
                )
        finally:
            if self.truncated:
                number = counted(len(self.truncated), "text")
                reporter.info(f"{number} truncated to the model's maximum length.")
            if self.tokens_spent:
                reporter.detail(f"the server counted {self.tokens_spent:,} tokens.")
        return self._concatenated(vectors)

    def _embed_request(self, texts: list[str], on_batch: OnBatch | None) -> np.ndarray:
        """The vectors of one request, passed to ``on_batch`` before anything else can fail.

        What the server calls too large is sent again in halves, a single text truncated.
        """
        try:
            vectors = self._ask(texts)
        except TooLarge as refused:
            if len(texts) > 1:
                self.server.reporter.detail(f"{refused} Trying again in halves.")
                middle = len(texts) // 2
                halves = texts[:middle], texts[middle:]
                return self._concatenated([self._embed_request(half, on_batch) for half in halves])
            vectors = self._ask_truncated(texts[0], refused)
        if on_batch is not None:
            on_batch(texts, vectors)
        return vectors

    def _ask_truncated(self, text: str, refused: TooLarge) -> np.ndarray:
        self.truncated.add(text)
        size = min(len(text.encode()), MAX_BYTES)
        while size > MIN_BYTES:
            size = int(size * min(0.95, refused.share or 0.75))
            try:
                return self._ask([truncated(text, size)])
            except TooLarge as again:
                refused = again
        raise refused

    def _concatenated(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        if len({part.shape[1] for part in parts}) > 1:
            raise ScReaderError(
                "the server answered with vectors of different lengths.", file=self.server.url
            )
        return np.concatenate(parts)

    def _ask(self, texts: list[str]) -> np.ndarray:
        self.token_pace.wait(sum(map(estimated_tokens, texts)))
        sent = [truncated(text) for text in texts]
        self.truncated.update(text for text, part in zip(texts, sent, strict=True) if text != part)
        body: dict[str, Any] = {
            "model": self.model,
            "input": sent,
            "encoding_format": self.encoding,
        }
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        vectors, tokens = self.server.ask(
            lambda client: client.embeddings.with_raw_response.create(**body),
            partial(parse_answer, count=len(texts), dimensions=self.dimensions),
        )
        with self.lock:
            self.tokens_spent += tokens
        return vectors


def parse_answer(body: bytes, count: int, dimensions: int | None = None) -> tuple[np.ndarray, int]:
    """float32 (count, dim) and the tokens charged; BadAnswer for anything else."""
    answer = parse_json(body)
    try:
        entries = sorted(answer["data"], key=lambda entry: entry["index"])
        if [entry["index"] for entry in entries] != list(range(count)):
            raise BadAnswer(f"{len(entries)} vectors instead of {count}")
        vectors = np.array([_vector(entry["embedding"]) for entry in entries], np.float32)
        tokens = int((answer.get("usage") or {}).get("prompt_tokens") or 0)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"JSON that holds no embeddings ({type(error).__name__})") from None
    if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
        raise BadAnswer("vectors that are empty or not finite")
    if dimensions is not None and vectors.shape[1] != dimensions:
        raise BadAnswer(f"vectors of {vectors.shape[1]} dimensions instead of {dimensions}")
    return vectors, tokens


def _vector(value: Any) -> np.ndarray:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4")
    return np.asarray(value, np.float32)


def estimated_tokens(text: str) -> int:
    """Tokens charged for a text, estimated without the model's tokenizer, rather too many."""
    return min(len(text.encode()) // BYTES_PER_TOKEN + 1, TOKENS_PER_INPUT)


def truncated(text: str, max_bytes: int = MAX_BYTES) -> str:
    """A text of at most ``max_bytes`` bytes, cut after a whole character."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def request_batches(texts: Sequence[str], concurrent: int = 1) -> Iterator[range]:
    """Consecutive rows for one request each; ``concurrent`` of them keep to the limits of one.

    So a run that is killed loses at most one full request.
    """
    max_inputs = max(1, INPUTS_PER_REQUEST // concurrent)
    start = tokens = size = 0
    for row, text in enumerate(texts):
        more_tokens, more_bytes = estimated_tokens(text), min(len(text.encode()), MAX_BYTES)
        if row > start and (
            row - start == max_inputs
            or tokens + more_tokens > TOKENS_PER_REQUEST // concurrent
            or size + more_bytes > TOKENS_PER_REQUEST
        ):
            yield range(start, row)
            start, tokens, size = row, 0, 0
        tokens += more_tokens
        size += more_bytes
    if texts:
        yield range(start, len(texts))


@dataclass(frozen=True)
class Estimate:
    """What embedding would take; ``dollars`` is None where the price is not known."""

    texts: int
    new: int
    tokens: int
    requests: int
    dollars: float | None

    def __str__(self) -> str:
        price = "price unknown" if self.dollars is None else f"about ${self.dollars:.4f}"
        return (
            f"{self.texts:,} distinct texts, {self.texts - self.new:,} of them cached; "
            f"{self.new:,} to embed: about {self.tokens:,} tokens in {self.requests:,} requests, "
            f"{price}."
        )


def estimate(embedder: Embedder, texts: Sequence[str], price: float | None) -> Estimate:
    """The estimate; ``price`` in US dollars per million tokens, else the model's known price.

    Local models cost nothing.
    """
    new = list(texts)
    if isinstance(embedder, CachedEmbedder):
        new = embedder.uncached(texts)
        embedder = embedder.embedder
    tokens = sum(map(estimated_tokens, new))
    if not isinstance(embedder, OpenAIEmbeddings):
        return Estimate(len(texts), len(new), tokens, 0, 0.0)
    if price is None:
        price = PRICES.get(embedder.model)
    requests = len(list(request_batches(new, embedder.limits.concurrent)))
    dollars = None if price is None else tokens / 1e6 * price
    return Estimate(len(texts), len(new), tokens, requests, dollars)


def check_cost(estimated: Estimate, max_cost: float | None) -> None:
    """ScReaderError where the estimate exceeds ``max_cost`` US dollars or has no price."""
    if max_cost is None or not estimated.new:
        return
    if estimated.dollars is None:
        raise ScReaderError(
            "--max-cost: the price of this model is not known.",
            remedy="Give it with --price, in US dollars per million tokens.",
        )
    if estimated.dollars > max_cost:
        raise ScReaderError(
            f"this would cost about ${estimated.dollars:.4f}, more than --max-cost {max_cost:g}.",
            remedy="Raise --max-cost, or choose fewer --fields or genes.",
        )
