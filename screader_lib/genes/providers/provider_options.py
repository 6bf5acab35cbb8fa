"""From options to a provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.cached_embedder import CachedEmbedder
from screader_lib.genes.providers.embedder import Embedder
from screader_lib.genes.providers.hidden_states import HiddenStates
from screader_lib.genes.providers.local_encoder import EncoderSettings
from screader_lib.genes.providers.openai import Limits, OpenAIEmbeddings
from screader_lib.genes.providers.packaged import PackagedMiniLM
from screader_lib.genes.providers.sentences import SentenceTransformer
from screader_lib.genes.services.cache import DiskCache, default_folder
from screader_lib.reporting import SILENT, Reporter

VECTORS = "embeddings.sqlite"


@dataclass(frozen=True)
class ProviderOptions:
    """The options of a provider; None where an option is not given."""

    provider: str
    model: str | None = None
    base_url: str | None = None
    dimensions: int | None = None
    limits: Limits = field(default_factory=Limits)
    settings: EncoderSettings = field(default_factory=EncoderSettings)
    cache: str | None = None
    no_cache: bool = False


def provider_of(provider: str | None, model: str | None, base_url: str | None) -> str:
    """The provider asked for, or the one that the other options mean."""
    if provider is not None:
        return provider
    if base_url is not None or (model or "").startswith("text-embedding-"):
        return "openai"
    return "packaged" if model is None else "sentence-transformers"


def make(choice: ProviderOptions, reporter: Reporter = SILENT) -> Embedder:
    """The provider, with its cache; ScReaderError where options do not fit it.

    A server's vectors are always kept, unless ``no_cache``; a local model's only where a cache is
    named: they are computed again faster than they would be paid for.
    """
    if choice.provider == "openai":
        embedder: Embedder = OpenAIEmbeddings(
            choice.model, choice.base_url, choice.dimensions, choice.limits, reporter
        )
    else:
        embedder = _local(choice)
    if choice.no_cache or (choice.cache is None and choice.provider != "openai"):
        return embedder
    folder = default_folder() if choice.cache is None else Path(choice.cache)
    return CachedEmbedder(embedder, DiskCache(folder / VECTORS))


def _local(choice: ProviderOptions) -> Embedder:
    for option, value in (("--base-url", choice.base_url), ("--dimensions", choice.dimensions)):
        if value is not None:
            raise ScReaderError(
                f"{option} is for --provider openai, not {choice.provider}.",
                remedy="Leave one of them out.",
            )
    if choice.provider == "packaged":
        if choice.model is not None:
            raise ScReaderError(
                "--model: the packaged provider has one model.", remedy="Leave --provider out."
            )
        return PackagedMiniLM(choice.settings)
    if choice.model is None:
        raise ScReaderError(
            f"--provider {choice.provider} needs a model.",
            remedy="Name it with --model ID_OR_FOLDER.",
        )
    if choice.provider == "sentence-transformers":
        return SentenceTransformer(choice.model, choice.settings)
    return HiddenStates(choice.model, choice.settings)
