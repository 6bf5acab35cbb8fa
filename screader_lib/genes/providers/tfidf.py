"""Vectors without any model: the words of the texts, weighted, in fewer dimensions.

A text's words count by TF-IDF (rarer words more); a truncated singular value decomposition of all
texts' words gives the dimensions. Both depend on the texts that they are fitted on, so vectors of
two runs may be compared only where the second was made ``like`` the first. No fit is stored: it is
made anew from the texts that the first file keeps, and the model's name holds their hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.genes.providers.embedder import Embedder, OnBatch
from screader_lib.reporting import Reporter, counted

NAME = "tfidf"
DIMENSIONS = 256
LEAST_TEXTS = 2  # that have a word; a word of one text says nothing of others


class Tfidf(Embedder):
    """``dimensions`` of the TF-IDF of ``fitted`` texts, or else of those that are embedded."""

    provider = NAME

    def __init__(self, dimensions: int | None = None, fitted: Sequence[str] | None = None) -> None:
        self.dimensions = dimensions or DIMENSIONS
        self.fitted = fitted
        self.model = NAME if fitted is None else _name(fitted, self.dimensions)

    @classmethod
    def like(cls, embeddings: ExchangeFile) -> Tfidf:
        """Fitted on the texts of a ``gene-embeddings`` file that was made by this provider.

        ScReaderError where another one made it, or it was itself made like a third file.
        """
        uns, obs = embeddings.file["uns"], encoding.read_table(embeddings.file["obs"])
        model = encoding.read_text(uns, "model")
        if not model.startswith(f"{NAME} ") or "text" not in obs.columns:
            raise ScReaderError(
                f"its vectors are by {model}, not by --model {NAME}.",
                file=embeddings.name,
                remedy="--like takes gene embeddings that embed-genes --model tfidf has made.",
            )
        dimensions = int(model.split()[1])
        made = cls(dimensions, [text for text in obs.strings("text") if text])
        if made.model != model:
            raise ScReaderError(
                f"its texts are not those that {model} was fitted on: it was itself made --like "
                "another file, or shuffled.",
                file=embeddings.name,
                remedy="Give that other file.",
            )
        return made

    def embed(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        """float32 (texts, dim), of length 1, or 0 for a text without a known word.

        There are fewer dimensions than ``dimensions`` where the texts or their words are fewer.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        fitted = sorted(set(texts if self.fitted is None else self.fitted))
        self.model = _name(fitted, self.dimensions)
        words = TfidfVectorizer(sublinear_tf=True, min_df=LEAST_TEXTS)
        try:
            weights = words.fit_transform(fitted)
        except ValueError:
            raise ScReaderError(
                f"no word is in {LEAST_TEXTS} of the {counted(len(fitted), 'text')}: nothing to "
                "compare genes by.",
                remedy="Give more genes or longer texts, or another --model.",
            ) from None
        width = min(self.dimensions, weights.shape[1], len(fitted))
        reduction = TruncatedSVD(width, random_state=0).fit(weights)
        vectors = reduction.transform(words.transform(texts))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        without = int((lengths == 0).sum())
        if without:
            reporter.info(f"{counted(without, 'text')} without a word that others have: zeros.")
        vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        if on_batch is not None:
            on_batch(texts, vectors)
        return vectors


def _name(texts: Sequence[str], dimensions: int) -> str:
    """The model's name: what vectors have in common that may be compared."""
    digest = hashlib.sha256("\n".join(sorted(set(texts))).encode()).hexdigest()
    return f"{NAME} {dimensions} {digest[:12]}"
