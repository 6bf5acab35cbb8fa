"""Mean-pooled hidden states of any Hugging Face model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from screader_lib.genes.providers.embedder import Embedder, Keep
from screader_lib.genes.providers.local_encoder import Encoder, EncoderSettings, fingerprint
from screader_lib.genes.providers.sentences import model_name
from screader_lib.reporting import Reporter


class HiddenStates(Embedder):
    """Hidden states of one layer, averaged over a text's tokens.

    The model is an id, a folder or a GGUF file; its weights are read from safetensors or GGUF.
    """

    provider = "hidden-states"

    def __init__(self, model: str, settings: EncoderSettings) -> None:
        self.place = model
        self.model = model_name(model)
        if settings.layer != -1:
            self.model += f" layer {settings.layer}"
        self.settings = settings

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.provider, *fingerprint(self.place), repr(self.settings))

    def embed(
        self, texts: Sequence[str], reporter: Reporter, keep: Keep | None = None
    ) -> np.ndarray:
        return Encoder(self.place, self.settings).encode(texts, reporter, keep)
