"""The genes that speak for each type: those of marker tables, and those whose texts are alike.

A marker counts less the more types of its table it marks, and the more of the named types. Each
table has the same weight. By texts, a type's genes are those whose own text (symbol, aliases, full
name and summary) shares most words and pairs of words with the type's (name, synonyms, definition,
what it is a kind of), by TF-IDF, less what all the types share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from screader_lib.annotation.no_labels.type_table import NamedType
from screader_lib.exchange.table import Table
from screader_lib.genes.describe import compose
from screader_lib.genes.records import Gene, organism_of
from screader_lib.genes.sources.tables import PackagedFacts
from screader_lib.genes.spelling import species_of_names
from screader_lib.preparation.marker_tables import CellType

GENES_BY_TEXT = 50
LEAST_TEXTS = 2  # that have a word
FIELDS = ("symbol", "aliases", "full_name", "summary")
# A single letter belongs to the word after it: "T cell" is a word of its own.
WORD = re.compile(r"\b(?:[b-z] )?[a-z0-9][a-z0-9]+")


class SampleGenes:
    """A sample's genes by ``names``, their symbols where known, and what the package says."""

    def __init__(self, genes: Table) -> None:
        """``genes`` has the column ``symbol``; human and mouse genes are known."""
        given = zip(genes.index, genes.strings("symbol"), strict=True)
        own = [str(symbol or name) for name, symbol in given]
        species = "mouse" if species_of_names(own) == "mouse" else "human"
        catalog = PackagedFacts(organism_of(species)).catalog([], [])
        self.records = [catalog.match(name).gene or Gene("") for name in own]
        self.names = [record.symbol or name for record, name in zip(self.records, own, strict=True)]
        self.column_of: dict[str, int] = {}
        for names in (own, self.names):
            for column, name in enumerate(names):
                self.column_of.setdefault(name.upper(), column)

    def texts(self) -> list[str]:
        """What is written about each, empty for an unknown gene."""
        return [compose(record, FIELDS) if record.symbol else "" for record in self.records]


def marker_weights(
    types: Sequence[NamedType], tables: Sequence[Sequence[CellType]], genes: SampleGenes
) -> np.ndarray:
    """By ``tables`` and the types' own markers, float64 (types, genes); positive ones sum to 1.

    A type without any marker has zeros.
    """
    weights = [_of_one_table([dict.fromkeys(one.markers, 1.0) for one in types], genes)]
    for table in tables:
        counts = Counter(gene for listed in table for gene in listed.genes)
        found = (set().union(*(row.genes for row in table if one.is_in(row))) for one in types)
        weights.append(
            _of_one_table([{gene: counts[gene] ** -0.5 for gene in one} for one in found], genes)
        )
    return _shares(np.sum(weights, axis=0))


def negative_weights(types: Sequence[NamedType], genes: SampleGenes) -> np.ndarray:
    """By the types' own negative markers, float64 (types, genes), rows that sum to 1 or 0."""
    return _of_one_table([dict.fromkeys(one.negative_markers, 1.0) for one in types], genes)


def _of_one_table(weights: Sequence[Mapping[str, float]], genes: SampleGenes) -> np.ndarray:
    result = np.zeros((len(weights), len(genes.names)))
    for row, of_type in enumerate(weights):
        for gene, weight in of_type.items():
            if gene in genes.column_of:
                result[row, genes.column_of[gene]] = weight
    return _shares(result / np.maximum((result > 0).sum(0), 1))


def _shares(weights: np.ndarray) -> np.ndarray:
    sums = weights.sum(1, keepdims=True)
    return np.asarray(weights / np.where(sums > 0, sums, 1))


def text_weights(types: Sequence[NamedType], genes: SampleGenes) -> np.ndarray:
    """By texts, float64 (types, genes), rows that sum to 1, or 0 where no word is shared."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(analyzer=_words, sublinear_tf=True, min_df=LEAST_TEXTS)
    try:
        of_genes = words.fit_transform(genes.texts())
    except ValueError:  # no word at all
        return np.zeros((len(types), len(genes.names)))
    alike = (words.transform([one.text for one in types]) @ of_genes.T).toarray()
    alike = np.maximum(alike - alike.mean(0), 0)
    least = -np.sort(-alike, axis=1)[:, :GENES_BY_TEXT][:, -1:]
    return _shares(np.where(alike >= least, alike, 0))


def _words(text: str) -> list[str]:
    """Words and pairs of words, singular and without those that say nothing of a cell."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    plain = re.sub(r"[-+]", " ", text.lower())
    found = [
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in WORD.findall(plain)
    ]
    found = [word for word in found if word not in ENGLISH_STOP_WORDS]
    return found + [f"{one} {two}" for one, two in pairwise(found)]
