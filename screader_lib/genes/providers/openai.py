"""OpenAI's embeddings, and any server that answers as it does (``POST /embeddings``).

Limits: OpenAI API reference, "Create embeddings": 2,048 inputs a request, 8,192 tokens an input,
300,000 tokens a request.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Embedder, Keep
from screader_lib.genes.services.answers import BadAnswer, parse_json
from screader_lib.genes.services.openai_server import URL, OpenAIServer
from screader_lib.genes.services.pace import Pace
from screader_lib.reporting import SILENT, Reporter

SERVICE = "the embedding server"
DEFAULT_MODEL = "text-embedding-ada-002"
INPUTS_PER_REQUEST = 2_048
TOKENS_PER_INPUT = 8_192
TOKENS_PER_REQUEST = 300_000
BYTES_PER_TOKEN = 3  # of English gene texts about 4; 3 keeps estimates on the safe side
PRICES = {  # US dollars per million tokens
    "text-embedding-ada-002": 0.10,
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
}


@dataclass(frozen=True)
class Limits:
    """What the account or server allows; ``concurrent`` requests are under way at a time."""

    requests_per_minute: float = 500
    tokens_per_minute: float = 1_000_000
    concurrent: int = 4


class OpenAIEmbeddings(Embedder):
    """Embeddings by request; the key is read from the environment and goes nowhere else.

    ``dimensions`` shortens the vectors of models that can (text-embedding-3). ScReaderError
    where OpenAI itself is asked without a key.
    """

    provider = "openai"

    def __init__(
        self,
        model: str | None = None,
        base_url: str | None = None,
        dimensions: int | None = None,
        limits: Limits = Limits(),
        reporter: Reporter = SILENT,
        **settings: Any,
    ) -> None:
        self.model = model or DEFAULT_MODEL
        self.dimensions = dimensions
        self.limits = limits
        self.tokens_spent = 0
        self.as_text = base_url is not None  # not every compatible server knows base64
        pace = Pace(limits.requests_per_minute / 60)
        self.server = OpenAIServer(
            SERVICE, base_url or URL, pace, "--base-url", reporter, **settings
        )
        self.token_pace = Pace(limits.tokens_per_minute / 60)

    @property
    def identity(self) -> tuple[str, ...]:
        elsewhere = () if self.server.url == URL else (self.server.url,)
        return (self.provider, self.model, str(self.dimensions or ""), *elsewhere)

    def embed(
        self, texts: Sequence[str], reporter: Reporter, keep: Keep | None = None
    ) -> np.ndarray:
        packs = list(packed(texts))
        found: list[np.ndarray | None] = [None] * len(packs)
        failed: BaseException | None = None
        with (
            ThreadPoolExecutor(self.limits.concurrent) as pool,
            reporter.progress("Embedding", len(texts), "genes") as advance,
        ):
            futures = {
                pool.submit(self._ask, [texts[row] for row in rows]): number
                for number, rows in enumerate(packs)
            }
            try:
                for future in as_completed(futures):
                    number = futures[future]
                    failed = failed or _failure(future, futures)
                    if future.cancelled() or future.exception():
                        continue
                    vectors = found[number] = future.result()
                    if keep is not None:
                        keep([texts[row] for row in packs[number]], vectors)
                    advance(len(packs[number]))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failed is not None:
            raise failed
        return self._together(found)

    def _together(self, found: Sequence[np.ndarray | None]) -> np.ndarray:
        parts = [part for part in found if part is not None]
        if len({part.shape[1] for part in parts}) > 1:
            raise ScReaderError(
                "the server answered with vectors of different lengths.", file=self.server.url
            )
        return np.concatenate(parts)

    def _ask(self, texts: list[str]) -> np.ndarray:
        self.token_pace.wait(sum(map(estimated_tokens, texts)))
        body: dict[str, Any] = {
            "model": self.model,
            "input": [shortened(text) for text in texts],
            "encoding_format": "float" if self.as_text else "base64",
        }
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        vectors, tokens = self.server.ask(
            lambda client: client.embeddings.with_raw_response.create(**body),
            partial(parse_answer, wanted=len(texts), dimensions=self.dimensions),
        )
        self.tokens_spent += tokens
        return vectors


def _failure(future: Future, futures: Mapping[Future, int]) -> BaseException | None:
    """A request's failure; those that have not started are then left, the others finished."""
    error = None if future.cancelled() else future.exception()
    if error is not None:
        for other in futures:
            other.cancel()
    return error


def estimated_tokens(text: str) -> int:
    """Tokens of a text, estimated without the model's tokenizer, rather too many than too few."""
    return len(text.encode()) // BYTES_PER_TOKEN + 1


def shortened(text: str) -> str:
    """A text that keeps to the tokens an input may have, cut after a whole character."""
    most = (TOKENS_PER_INPUT - 1) * BYTES_PER_TOKEN
    return text.encode()[:most].decode("utf-8", "ignore")


def packed(texts: Sequence[str]) -> Iterator[range]:
    """Consecutive rows that one request may hold, by number of inputs and of tokens."""
    start = tokens = 0
    for row, text in enumerate(texts):
        more = min(estimated_tokens(text), TOKENS_PER_INPUT)
        if row > start and (
            row - start == INPUTS_PER_REQUEST or tokens + more > TOKENS_PER_REQUEST
        ):
            yield range(start, row)
            start, tokens = row, 0
        tokens += more
    if texts:
        yield range(start, len(texts))


def parse_answer(body: bytes, wanted: int, dimensions: int | None = None) -> tuple[np.ndarray, int]:
    """float32 (wanted, dim) and the tokens charged; BadAnswer for anything else."""
    answer = parse_json(body)
    try:
        entries = sorted(answer["data"], key=lambda entry: entry["index"])
        if [entry["index"] for entry in entries] != list(range(wanted)):
            raise BadAnswer(f"{len(entries)} vectors instead of {wanted}")
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
