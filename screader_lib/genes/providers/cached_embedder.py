"""A provider whose vectors are kept on disk, so that no text is embedded twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Embedder, Keep
from screader_lib.genes.services.cache import DiskCache
from screader_lib.reporting import Reporter


class CachedEmbedder(Embedder):
    """Asks ``embedder`` only for what the cache lacks; each finished batch is kept at once.

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

    def key(self, text: str) -> str:
        """The cache's key for a text."""
        return hashlib.sha256(json.dumps([*self.identity, text]).encode()).hexdigest()

    def lacking(self, texts: Sequence[str]) -> list[str]:
        """The texts that would be embedded anew."""
        known = self.cache.get(map(self.key, texts))
        return [text for text in texts if self.key(text) not in known]

    def embed(
        self, texts: Sequence[str], reporter: Reporter, keep: Keep | None = None
    ) -> np.ndarray:
        keys = [self.key(text) for text in texts]
        known = self.cache.get(keys)
        missing = [row for row, key in enumerate(keys) if key not in known]
        if len(missing) < len(texts):
            reporter.info(f"{len(texts) - len(missing):,} of {len(texts):,} texts are known.")
        new = self._embed_missing([texts[row] for row in missing], reporter)
        dim = new.shape[1] if missing else len(known[keys[0]]) // 4
        vectors = np.empty((len(texts), dim), np.float32)
        if missing:
            vectors[missing] = new
        for row in sorted(set(range(len(texts))) - set(missing)):
            vectors[row] = self._kept(known[keys[row]], dim)
        return vectors

    def _embed_missing(self, texts: list[str], reporter: Reporter) -> np.ndarray:
        if not texts:
            return np.zeros((0, 0), np.float32)

        def keep_batch(some: Sequence[str], vectors: np.ndarray) -> None:
            values = (np.ascontiguousarray(vector, "<f4").tobytes() for vector in vectors)
            self.cache.put(dict(zip(map(self.key, some), values, strict=True)))

        return self.embedder.embed(texts, reporter, keep_batch)

    def _kept(self, value: bytes, dim: int) -> np.ndarray:
        if len(value) != 4 * dim:
            raise ScReaderError(
                "holds a vector of another length than the model gives.",
                file=self.cache.path,
                remedy="Remove it and run again.",
            )
        return np.frombuffer(value, "<f4")
