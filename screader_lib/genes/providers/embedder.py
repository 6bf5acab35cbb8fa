"""What every provider of embeddings offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from screader_lib.reporting import Reporter

Keep = Callable[[Sequence[str], np.ndarray], None]


class Embedder(ABC):
    """Turns texts into vectors.

    ``provider`` and ``model`` are written to the output.
    """

    provider: str
    model: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What, beside the text, decides the vector; part of the cache's key."""
        return (self.provider, self.model)

    @abstractmethod
    def embed(
        self, texts: Sequence[str], reporter: Reporter, keep: Keep | None = None
    ) -> np.ndarray:
        """float32 (texts, dim), in the order of ``texts``, which are not empty.

        ``keep`` is handed each finished batch, its texts and vectors, by whichever thread has
        finished it. ScReaderError where the
        model cannot be loaded or does not answer.
        """
