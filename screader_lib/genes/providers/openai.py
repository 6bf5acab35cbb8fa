"""OpenAI's embeddings, and any server that answers as it does (``POST /embeddings``)."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Embedder, Keep
from screader_lib.genes.providers.request_batches import (
    LONGEST,
    estimated_tokens,
    packed,
    shortened,
)
from screader_lib.genes.services.answers import BadAnswer, parse_json
from screader_lib.genes.services.openai_server import URL, OpenAIServer, TooLarge
from screader_lib.genes.services.pace import Pace
from screader_lib.reporting import SILENT, Reporter

SERVICE = "the embedding server"
DEFAULT_MODEL = "text-embedding-ada-002"
SHORTEST = 64  # bytes; a text of so few that is refused is refused for another reason
PRICES = {  # US dollars per million tokens
    "text-embedding-ada-002": 0.10,
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
}


@dataclass(frozen=True)
class Limits:
    """What the account or server allows; ``concurrent`` requests are under way at a time.

    Together these hold no more than one full request.
    """

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
        self.cut: set[str] = set()  # texts that were not sent whole
        self.lock = threading.Lock()
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
        packs = list(packed(texts, self.limits.concurrent))
        found: list[np.ndarray | None] = [None] * len(packs)
        failed: BaseException | None = None
        self.cut.clear()
        with (
            ThreadPoolExecutor(self.limits.concurrent) as pool,
            reporter.progress("Embedding", len(texts), "genes") as advance,
        ):
            futures = {
                pool.submit(self._finish, [texts[row] for row in rows], keep): number
                for number, rows in enumerate(packs)
            }
            try:
                for future in as_completed(futures):
                    number = futures[future]
                    failed = failed or _failure(future, futures)
                    if future.cancelled() or future.exception():
                        continue
                    found[number] = future.result()
                    advance(len(packs[number]))
            except BaseException:
                self.server.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if self.cut:
            reporter.info(f"{len(self.cut):,} texts were longer than the model takes and were cut.")
        if self.tokens_spent:
            reporter.detail(f"the server counted {self.tokens_spent:,} tokens.")
        if failed is not None:
            raise failed
        return self._together(found)

    def _finish(self, texts: list[str], keep: Keep | None) -> np.ndarray:
        """The vectors of a request, kept by the thread that got them, before anything else.

        What the server calls too large is sent again in halves, a single text shortened.
        """
        try:
            vectors = self._ask(texts)
        except TooLarge as refused:
            if len(texts) > 1:
                self.server.reporter.detail(f"{refused} Trying again in halves.")
                middle = len(texts) // 2
                halves = texts[:middle], texts[middle:]
                return self._together([self._finish(half, keep) for half in halves])
            vectors = self._ask_shorter(texts[0], refused)
        if keep is not None:
            keep(texts, vectors)
        return vectors

    def _ask_shorter(self, text: str, refused: TooLarge) -> np.ndarray:
        self.cut.add(text)
        size = min(len(text.encode()), LONGEST)
        while size > SHORTEST:
            size = int(size * min(0.95, refused.share or 0.75))
            try:
                return self._ask([shortened(text, size)])
            except TooLarge as again:
                refused = again
        raise refused

    def _together(self, found: Sequence[np.ndarray | None]) -> np.ndarray:
        parts = [part for part in found if part is not None]
        if len({part.shape[1] for part in parts}) > 1:
            raise ScReaderError(
                "the server answered with vectors of different lengths.", file=self.server.url
            )
        return np.concatenate(parts)

    def _ask(self, texts: list[str]) -> np.ndarray:
        self.token_pace.wait(sum(map(estimated_tokens, texts)))
        sent = [shortened(text) for text in texts]
        self.cut.update(text for text, short in zip(texts, sent, strict=True) if text != short)
        body: dict[str, Any] = {
            "model": self.model,
            "input": sent,
            "encoding_format": "float" if self.as_text else "base64",
        }
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        vectors, tokens = self.server.ask(
            lambda client: client.embeddings.with_raw_response.create(**body),
            partial(parse_answer, wanted=len(texts), dimensions=self.dimensions),
        )
        with self.lock:
            self.tokens_spent += tokens
        return vectors


def _failure(future: Future, futures: Mapping[Future, int]) -> BaseException | None:
    """A request's failure; those that have not started are then left, the others finished."""
    error = None if future.cancelled() else future.exception()
    if error is not None:
        for other in futures:
            other.cancel()
    return error


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
