"""From options to a provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import CachedEmbedder, Embedder
from screader_lib.genes.providers.local_models import (
    EncoderSettings,
    HiddenStates,
    PackagedMiniLM,
    SentenceTransformer,
)
from screader_lib.genes.providers.openai import OpenAIEmbeddings, RateLimits
from screader_lib.genes.providers.tfidf import NAME as TFIDF
from screader_lib.genes.providers.tfidf import Tfidf
from screader_lib.genes.services.cache import DiskCache, default_folder
from screader_lib.reporting import SILENT, Reporter

VECTOR_CACHE = "embeddings.sqlite"


@dataclass(frozen=True)
class ProviderOptions:
    """The options of a provider; None where an option is not given."""

    provider: str
    model: str | None = None
    base_url: str | None = None
    dimensions: int | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    settings: EncoderSettings = field(default_factory=EncoderSettings)
    cache: str | None = None
    no_cache: bool = False


def provider_of(provider: str | None, model: str | None, base_url: str | None) -> str:
    """``provider``, or the one that the other options imply."""
    if provider is not None:
        return provider
    if model == TFIDF:
        return TFIDF
    if base_url is not None or (model or "").startswith("text-embedding-"):
        return "openai"
    return "packaged" if model is None else "sentence-transformers"


def make_embedder(options: ProviderOptions, reporter: Reporter = SILENT) -> Embedder:
    """The provider, with its cache; ScReaderError where options do not fit it.

    A server's vectors, which cost money, are cached unless ``no_cache``; a local model's only
    where a cache is named.
    """
    if options.provider == "openai":
        embedder: Embedder = OpenAIEmbeddings(
            options.model, options.base_url, options.dimensions, options.limits, reporter
        )
    elif options.provider == TFIDF:
        return _tfidf(options)
    else:
        embedder = _local(options)
    if options.no_cache or (options.cache is None and options.provider != "openai"):
        return embedder
    folder = default_folder() if options.cache is None else Path(options.cache)
    return CachedEmbedder(embedder, DiskCache(folder / VECTOR_CACHE))


def _tfidf(options: ProviderOptions) -> Tfidf:
    """A text's vector depends on the other texts, so none is cached."""
    if options.model not in (None, TFIDF):
        raise ScReaderError("--provider tfidf has no models.", remedy="Leave --model out.")
    if options.base_url is not None or options.cache is not None:
        option = "--cache" if options.base_url is None else "--base-url"
        raise ScReaderError(
            f"{option} does not go with --model {TFIDF}.", remedy="Leave one of them out."
        )
    return Tfidf(options.dimensions)


def _local(options: ProviderOptions) -> Embedder:
    for option, value in (("--base-url", options.base_url), ("--dimensions", options.dimensions)):
        if value is not None:
            raise ScReaderError(
                f"{option} does not go with --provider {options.provider}.",
                remedy="Leave one of them out.",
            )
    if options.provider == "packaged":
        if options.model is not None:
            raise ScReaderError(
                "--model: the packaged provider has one model.", remedy="Leave --provider out."
            )
        return PackagedMiniLM(options.settings)
    if options.model is None:
        raise ScReaderError(
            f"--provider {options.provider} needs a model.",
            remedy="Name it with --model ID_OR_FOLDER.",
        )
    if options.provider == "sentence-transformers":
        return SentenceTransformer(options.model, options.settings)
    return HiddenStates(options.model, options.settings)
