"""GenePT-w and GenePT-s (Chen and Zou 2023): a cell as the embeddings of its genes, or as a text.

GenePT-s embeds a cell's gene symbols as one text, with the model that embedded the genes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_texts import LAYER
from screader_lib.errors import ScReaderError
from screader_lib.exchange.writing import temporary_file
from screader_lib.genes.providers.embedder import CachedEmbedder, Embedder
from screader_lib.genes.providers.tfidf import NAME as TFIDF
from screader_lib.genes.services.cache import DiskCache, default_folder
from screader_lib.option_values import PROVIDERS
from screader_lib.reader.methods.feature_classifier import FeatureClassifier, LinearLogits, unit
from screader_lib.reader.task import Task, row_blocks
from screader_lib.reporting import Reporter

if (
    TYPE_CHECKING
):  # imported where it is used: all readers import this module, few have a text model
    from screader_lib.genes.providers.provider_options import ProviderOptions

TEXT_MODELS = tuple(name for name in PROVIDERS if name != TFIDF)  # that embed a cell by itself
SERVER = re.compile(r"https?://", re.IGNORECASE)
PROBE = "INS GCG SST PPY GHRL"  # one text whose vector tells models apart
MIN_SIMILARITY = 0.99  # cosine of the probe's vectors; precisions and machines differ by less


class GenePTw(FeatureClassifier):
    """GenePT-w: weighted mean of gene embeddings at unit length; classifier."""

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        vectors = self._vectors(cells)
        return unit(cells.weights(rows) @ vectors)

    def known(self, cells: CellSequences) -> np.ndarray:
        match = self.match(cells)
        return (match.named | (not match.texts_differ)).astype(np.float32)

    def _vectors(self, cells: CellSequences) -> np.ndarray:
        """Embeddings float32 (genes, dim): as learnt of a gene known by name, else its own.

        Zeros where that is of another text or model.
        """
        match = self.match(cells)
        if match.is_identity:
            return self.genes.embedding
        vectors = np.zeros((len(match.named), self.genes.embedding.shape[1]), np.float32)
        if not match.texts_differ:
            vectors[:] = cells.embedding
        vectors[match.named] = self.genes.embedding[match.neighbours[match.named, 0]]
        return vectors

    def linear_logits(self, cells: CellSequences) -> LinearLogits:
        weights = self.tensors["weights"] / self.tensors["spread"][:, None]
        biases = self.tensors["biases"] - self.tensors["mean"] @ weights
        vectors = self._vectors(cells)
        return vectors @ weights, biases, vectors


class GenePTs(FeatureClassifier):
    """GenePT-s: the cell's gene symbols, in order, embedded as one text; classifier."""

    text_model: TextModel
    by_text = False

    def known(self, cells: CellSequences) -> np.ndarray:
        return np.ones(len(cells.genes), np.float32)

    def fit(self, task: Task) -> None:
        """Keep the vectors in a temporary file: fitting may go over them again and again."""
        self.tensors["probe"] = self.text_model.probe
        self.text_model.report_cost(cell_texts(task.cells, rows) for rows in row_blocks(task.rows))
        shape = (len(task.rows), len(self.text_model.probe))
        with temporary_file("cell-vectors") as path:
            vectors = np.memmap(path, np.float32, "w+", shape=shape)
            with task.reporter.progress("Embedding", len(task.rows), "cells") as advance:
                for block, rows in zip(row_blocks(vectors), row_blocks(task.rows), strict=True):
                    block[:] = self.text_model.vectors(cell_texts(task.cells, rows), advance)
            self.fit_blocks(lambda: zip(row_blocks(vectors), row_blocks(task.truth), strict=True))

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        return self.text_model.vectors(cell_texts(cells, rows))


def cell_texts(cells: CellSequences, rows: np.ndarray) -> list[str]:
    """The cells' gene symbols in the cells' order, joined by spaces; ids where none is known."""
    symbols = cells.genes.strings("symbol")
    names = np.where(symbols == "", cells.genes.index, symbols)
    genes, _ = cells.rows(rows)
    return [" ".join(names[own[own >= 0]]) for own in genes]


class TextModel:
    """Embeds texts and caches the vectors on disk; ``probe`` is one text's, float32 (dim,)."""

    def __init__(self, embedder: Embedder, reporter: Reporter) -> None:
        self.embedder = embedder
        self.reporter = reporter
        self.probe = embedder.embed([PROBE], _NestedReporter(reporter))[0]

    def vectors(
        self, texts: Sequence[str], advance: Callable[[int], None] = lambda done: None
    ) -> np.ndarray:
        """float32 (texts, dim) of unit length; zeros for an empty text.

        ``advance`` is called with how many more are done. ScReaderError where the model fails.
        """
        vectors = np.zeros((len(texts), len(self.probe)), np.float32)
        filled = [row for row, text in enumerate(texts) if text]
        nested = _NestedReporter(self.reporter, advance)
        if filled:
            vectors[filled] = unit(self.embedder.embed([texts[row] for row in filled], nested))
        advance(len(texts) - nested.done)
        return vectors

    def report_cost(self, blocks: Iterable[Sequence[str]]) -> None:
        """Report what a server will be sent and charge for the texts; not for a local model."""
        if self.embedder.provider != "openai":
            return
        from screader_lib.genes.providers.openai import estimate

        costs = [
            estimate(self.embedder, [text for text in dict.fromkeys(texts) if text], None)
            for texts in blocks
        ]
        new, tokens = sum(one.new for one in costs), sum(one.tokens for one in costs)
        known = all(one.dollars is not None for one in costs)
        dollars = sum(one.dollars or 0.0 for one in costs)
        price = f"about ${dollars:.2f}" if known else "price unknown"
        self.reporter.info(
            f"{new:,} cells to embed: about {tokens:,} tokens, {price}; the validation cells, "
            "also with genes removed, are additional."
        )

    def check(self, probe: np.ndarray) -> None:
        """ScReaderError where this is not the model whose vector of the probe was ``probe``."""
        same = len(probe) == len(self.probe)
        if not same or float(unit(probe[None])[0] @ unit(self.probe[None])[0]) < MIN_SIMILARITY:
            raise ScReaderError(
                f"the text model {self.embedder.model} is not the one that the reader was trained "
                "with: it gives a different vector for the same text.",
                remedy="Give the reader's model with --embedder.",
            )


class _NestedReporter(Reporter):
    """Reports inside another's progress, which it advances; information becomes detail."""

    def __init__(self, outer: Reporter, advance: Callable[[int], None] = lambda done: None) -> None:
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
        def advance(done: int) -> None:
            self.done += done
            self.advance(done)

        yield advance


def load_text_model(
    identity: dict, location: str | None, device: str, reporter: Reporter, file: object = None
) -> TextModel:
    """The model of a gene embedding's ``identity`` (provider, model), or the one at ``location``.

    ``location`` is a folder, a Hugging Face id, a server's URL, or ``packaged``. ScReaderError,
    in one line naming ``file``, where the model is not available.
    """
    provider, name = str(identity.get("provider", "")), str(identity.get("model", ""))
    if location is None and provider not in TEXT_MODELS:
        raise ScReaderError(
            f"its gene vectors are of {name or 'an unknown model'} (provider "
            f"{provider or 'unknown'}) and were not made by embed-genes, but method genept-s needs "
            "their model to embed cells.",
            file=file,
            remedy="Say where the model is with --embedder, or embed the genes with embed-genes.",
        )
    from screader_lib.genes.providers.provider_options import make_embedder
    from screader_lib.genes.services.service import OPENAI_KEY, secret_of

    options = _provider_options(provider, name, location, device)
    try:
        if options.provider == "openai" and not (options.base_url or secret_of(OPENAI_KEY)):
            raise ScReaderError(
                f"OpenAI's {name} needs a key, but {OPENAI_KEY} is not set.",
                remedy="Set it, or give the URL of another server with --embedder.",
            )
        embedder = make_embedder(options, reporter)
        return TextModel(_with_cache(embedder, reporter), reporter)
    except ScReaderError as error:
        raise ScReaderError(
            f"method genept-s cannot use the text model {location or name}: {error}", file=file
        ) from error


def _provider_options(
    provider: str, name: str, location: str | None, device: str
) -> ProviderOptions:
    from screader_lib.genes.providers.local_models import EncoderSettings
    from screader_lib.genes.providers.provider_options import ProviderOptions

    layer, base_url = -1, None
    if provider == "hidden-states" and (split := LAYER.fullmatch(name)):
        name, layer = split[1], int(split[2])
    kind: str = "hidden-states" if provider == "hidden-states" else "sentence-transformers"
    model: str | None = location or name
    if location is not None and SERVER.match(location):
        kind, model, base_url = "openai", name, location
    elif (location or provider) == "packaged":
        kind, model = "packaged", None
    elif location is None and provider == "openai":
        kind = "openai"
    return ProviderOptions(
        kind,
        model,
        base_url=base_url,
        settings=EncoderSettings(precision="float32", device=device, layer=layer),
        no_cache=True,
    )


def _with_cache(embedder: Embedder, reporter: Reporter) -> Embedder:
    """The model with its cache; without one where the folder cannot be written.

    A server's vectors are paid for: there it is an error.
    """
    from screader_lib.genes.providers.provider_options import VECTOR_CACHE

    try:
        return CachedEmbedder(embedder, DiskCache(default_folder() / VECTOR_CACHE))
    except ScReaderError as error:
        if embedder.provider == "openai":
            raise ScReaderError(
                f"{default_folder()} cannot be used as a cache.",
                remedy="Name a folder for it in SCREADER_CACHE.",
            ) from error
        reporter.warning("the cache folder cannot be written: vectors of cells are not cached.")
        return embedder
