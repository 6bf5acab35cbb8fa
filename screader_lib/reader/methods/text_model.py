"""The text embedding model that embedded the genes, for texts of whole cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers import provider_options
from screader_lib.genes.providers.embedder import CachedEmbedder, Embedder
from screader_lib.genes.providers.local_encoder import EncoderSettings
from screader_lib.genes.providers.openai import estimate
from screader_lib.genes.services.cache import DiskCache, default_folder
from screader_lib.genes.services.connections import OPENAI_KEY, secret_of
from screader_lib.reader.methods.nearest_neighbours import unit
from screader_lib.reporting import SILENT, Reporter

PROVIDERS = ("packaged", "sentence-transformers", "openai", "hidden-states")
SERVER = re.compile(r"https?://", re.IGNORECASE)
LAYER = re.compile(r"(.+) layer (-?\d+)")
PROBE = "INS GCG SST PPY GHRL"  # one text whose vector tells models apart
LEAST_ALIKE = 0.99  # cosine of the probe's vectors; precisions and machines differ by less


class TextModel:
    """Embeds texts and remembers the vectors on disk; ``probe`` is one text's, float32 (dim,)."""

    def __init__(self, embedder: Embedder, reporter: Reporter = SILENT) -> None:
        self.embedder = embedder
        self.reporter = reporter
        self.probe = embedder.embed([PROBE], _Within(reporter))[0]

    def vectors(
        self, texts: Sequence[str], advance: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """float32 (texts, dim) of unit length; zeros for an empty text.

        ``advance`` is told how many are done. ScReaderError where the model fails.
        """
        found = np.zeros((len(texts), len(self.probe)), np.float32)
        filled = [row for row, text in enumerate(texts) if text]
        within = _Within(self.reporter, advance)
        if filled:
            found[filled] = unit(self.embedder.embed([texts[row] for row in filled], within))
        if advance is not None:
            advance(len(texts) - within.done)
        return found

    def tell_cost(self, blocks: Iterable[Sequence[str]]) -> None:
        """Say what a server will be sent and charge for the texts; nothing for a local model."""
        if self.embedder.provider != "openai":
            return
        found = [
            estimate(self.embedder, [text for text in dict.fromkeys(texts) if text], None)
            for texts in blocks
        ]
        new, tokens = sum(one.new for one in found), sum(one.tokens for one in found)
        known = all(one.dollars is not None for one in found)
        dollars = sum(one.dollars or 0.0 for one in found)
        price = f"about ${dollars:.2f}" if known else "price unknown"
        self.reporter.info(f"{new:,} cells to embed: about {tokens:,} tokens, {price}.")

    def check(self, probe: np.ndarray) -> None:
        """ScReaderError where this is not the model whose vector of the probe was ``probe``."""
        same = len(probe) == len(self.probe)
        if not same or float((unit(probe[None]) @ unit(self.probe[None]).T)[0, 0]) < LEAST_ALIKE:
            raise ScReaderError(
                f"the text model {self.embedder.model} is not the one that the reader was trained "
                "with: it embeds a text otherwise.",
                remedy="Give that one with --embedder.",
            )


class _Within(Reporter):
    """Reports inside another's progress: progress is handed on, what is said becomes detail."""

    def __init__(self, outer: Reporter, advance: Callable[[int], None] | None = None) -> None:
        self.outer = outer
        self.advance = advance
        self.done = 0

    def info(self, message: str) -> None:
        self.outer.detail(message)

    def detail(self, message: str) -> None:
        self.outer.detail(message)

    def warning(self, message: str) -> None:
        self.outer.warning(message)

    @contextmanager
    def progress(
        self, description: str, total: int, unit: str = ""
    ) -> Iterator[Callable[[int], None]]:
        yield self._tell

    def _tell(self, done: int) -> None:
        self.done += done
        if self.advance is not None:
            self.advance(done)


def text_model(
    identity: dict,
    place: str | None = None,
    *,
    device: str = "cpu",
    reporter: Reporter = SILENT,
    file: object = None,
) -> TextModel:
    """The model of a gene embedding's ``identity`` (provider, model), or the one at ``place``.

    ``place`` is a folder, a Hugging Face id, a server's URL, or ``packaged``. ScReaderError, in
    one line naming ``file``, where the model is not to be had.
    """
    provider, name = str(identity.get("provider", "")), str(identity.get("model", ""))
    if place is None and provider not in PROVIDERS:
        raise ScReaderError(
            f"its genes have vectors of {name or 'an unknown model'} that were not made by "
            "embed-genes (provider "
            f"{provider or 'unknown'}), and method genept-s needs the model to embed cells.",
            file=file,
            remedy="Say where the model is with --embedder, or embed the genes with embed-genes.",
        )
    chosen = _choice(provider, name, place, device)
    try:
        if chosen.provider == "openai" and chosen.base_url is None:
            _check_key(name)
        embedder = provider_options.make_embedder(chosen, reporter)
        return TextModel(_remembering(embedder, reporter), reporter)
    except ScReaderError as error:
        raise ScReaderError(
            f"method genept-s needs the text model {place or name}, which cannot be used: {error}",
            file=file,
        ) from error


def _choice(
    provider: str, name: str, place: str | None, device: str
) -> provider_options.ProviderOptions:
    layer = -1
    if provider == "hidden-states" and (split := LAYER.fullmatch(name)):
        name, layer = split[1], int(split[2])
    settings = EncoderSettings(precision="float32", device=device, layer=layer)
    if place is not None and SERVER.match(place):
        return provider_options.ProviderOptions(
            "openai", name, base_url=place, settings=settings, no_cache=True
        )
    if place == "packaged" or (place is None and provider == "packaged"):
        return provider_options.ProviderOptions("packaged", settings=settings, no_cache=True)
    if place is None and provider == "openai":
        return provider_options.ProviderOptions("openai", name, settings=settings, no_cache=True)
    kind = "hidden-states" if provider == "hidden-states" else "sentence-transformers"
    return provider_options.ProviderOptions(kind, place or name, settings=settings, no_cache=True)


def _check_key(model: str) -> None:
    if not secret_of(OPENAI_KEY):
        raise ScReaderError(
            f"OpenAI's {model} needs a key, and {OPENAI_KEY} is not set.",
            remedy="Set it, or give the URL of another server with --embedder.",
        )


def _remembering(embedder: Embedder, reporter: Reporter) -> Embedder:
    """The model with its cache; without one where the folder cannot be written.

    A server's vectors are paid for: there it is an error.
    """
    try:
        return CachedEmbedder(embedder, DiskCache(default_folder() / provider_options.VECTOR_CACHE))
    except ScReaderError as error:
        if embedder.provider == "openai":
            raise ScReaderError(
                f"{default_folder()} cannot be used as a cache.",
                remedy="Name a folder for it in SCREADER_CACHE.",
            ) from error
        reporter.warning(
            "vectors of cells are not remembered: the cache's folder cannot be written."
        )
        return embedder
