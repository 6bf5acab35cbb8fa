"""From options to a provider."""

from __future__ import annotations

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Embedder
from screader_lib.genes.providers.encoding import Settings

PROVIDERS = ("packaged", "sentence-transformers", "openai", "hidden-states")


def provider_of(provider: str | None, model: str | None, base_url: str | None) -> str:
    """The provider asked for, or the one that the other options mean."""
    if provider is not None:
        return provider
    if base_url is not None or (model or "").startswith("text-embedding-"):
        return "openai"
    return "packaged" if model is None else "sentence-transformers"


def make_local(provider: str, model: str | None, settings: Settings) -> Embedder:
    """A local provider; ScReaderError where its model is not named or not installed."""
    from screader_lib.genes.providers.hidden_states import HiddenStates
    from screader_lib.genes.providers.packaged import PackagedMiniLM
    from screader_lib.genes.providers.sentences import SentenceTransformer

    if provider == "packaged":
        if model is not None:
            raise ScReaderError(
                "--model: the packaged provider has one model.", remedy="Leave --provider out."
            )
        return PackagedMiniLM(settings)
    if model is None:
        raise ScReaderError(
            f"--provider {provider} needs a model.", remedy="Name it with --model ID_OR_FOLDER."
        )
    if provider == "sentence-transformers":
        return SentenceTransformer(model, settings)
    return HiddenStates(model, settings)
