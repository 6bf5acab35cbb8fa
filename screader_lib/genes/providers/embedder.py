"""What every provider of embeddings offers, and a provider with a cache on disk."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.services.cache import DiskCache
from screader_lib.reporting import Reporter

OnBatch = Callable[[Sequence[str], np.ndarray], None]


class Embedder(ABC):
    """Turns texts into vectors.

    ``provider`` and ``model`` are written to the output.
    """

    provider: str
    model: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What determines a text's vector besides the text; part of the cache's key."""
        return (self.provider, self.model)

    @abstractmethod
    def embed(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        """float32 (texts, dim), in the order of ``texts``, none of which is empty.

        ``on_batch`` is called with the texts and vectors of each finished batch, from the thread
        that finished it. ScReaderError where the model cannot be loaded or does not answer.
        """


class CachedEmbedder(Embedder):
    """Asks ``embedder`` only for vectors that are not in ``cache``; stores each finished batch.

    Keys are the SHA-256 of the provider's identity (provider, model, dimensions) and the text.
    """

    def __init__(self, embedder: Embedder, cache: DiskCache) -> None:
        self.embedder = embedder
        self.cache = cache
        self.provider = embedder.provider
        self.model = embedder.model

    @property
    def identity(self) -> tuple[str, ...]:
        return self.embedder.identity

    def uncached(self, texts: Sequence[str]) -> list[str]:
        """The texts that would have to be embedded."""
        cached = self.cache.get(map(self._key, texts))
        return [text for text in texts if self._key(text) not in cached]

    def embed(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        keys = [self._key(text) for text in texts]
        cached = self.cache.get(keys)
        missing = [row for row, key in enumerate(keys) if key not in cached]
        if len(missing) < len(texts):
            reporter.info(f"{len(texts) - len(missing):,} of {len(texts):,} texts are cached.")
        if missing:
            new = self.embedder.embed([texts[row] for row in missing], reporter, self._store)
            vectors = np.empty((len(texts), new.shape[1]), np.float32)
            vectors[missing] = new
        else:
            vectors = np.empty((len(texts), len(cached[keys[0]]) // 4), np.float32)
        for row, key in enumerate(keys):
            if key in cached:
                vectors[row] = self._decoded(cached[key], vectors.shape[1])
        return vectors

    def _key(self, text: str) -> str:
        return hashlib.sha256(json.dumps([*self.identity, text]).encode()).hexdigest()

    def _store(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        values = (np.ascontiguousarray(vector, "<f4").tobytes() for vector in vectors)
        self.cache.put(dict(zip(map(self._key, texts), values, strict=True)))

    def _decoded(self, value: bytes, dim: int) -> np.ndarray:
        if len(value) != 4 * dim:
            raise ScReaderError(
                "holds a vector of a different length from the model's.",
                file=self.cache.path,
                remedy="Remove it and run again.",
            )
        return np.frombuffer(value, "<f4")
