"""What speaks for which of the named types: markers and texts, by groups of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screader_lib.annotation.no_labels.gene_sets import (
    SampleGenes,
    marker_weights,
    negative_weights,
    text_weights,
)
from screader_lib.annotation.no_labels.groups import Grouping
from screader_lib.annotation.no_labels.type_table import NamedType
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.confidence.calibration import softmax

TEMPERATURE = 0.05  # of scores


@dataclass(frozen=True)
class GenesOfTypes:
    """Which of a sample's ``genes`` speak for the ``types``: weights float64 (types, genes).

    ``by_markers`` and ``by_text`` have zeros for a type without any; ``negative`` count against it.
    """

    types: Sequence[NamedType]
    genes: SampleGenes
    by_markers: np.ndarray
    by_text: np.ndarray
    negative: np.ndarray

    @classmethod
    def of(
        cls,
        genes: Table,
        types: Sequence[NamedType],
        tables: Sequence[Sequence[CellType]],
        needed: int | None = None,
    ) -> GenesOfTypes:
        """Of ``genes`` with the column ``symbol``, by ``tables`` of markers and the types' texts.

        ScReaderError where there is neither a marker nor a text for one of the first ``needed``
        types, by default all; any other such type has no evidence anywhere.
        """
        known = SampleGenes(genes)
        markers, texts = marker_weights(types, tables, known), text_weights(types, known)
        without = np.flatnonzero((markers + texts).sum(1)[:needed] == 0)
        if len(without):
            raise ScReaderError(
                f"type {types[without[0]].name!r} has no marker among the genes of the cells, and "
                "no gene's text shares a word with its own.",
                file="--types",
                remedy="Give it markers, a text or a Cell Ontology id, or a table with --markers.",
            )
        return cls(types, known, markers, texts, negative_weights(types, known))

    def evidence(self, groupings: Sequence[Grouping]) -> TypeEvidence:
        """What the groups of some cells say of the types; markers and texts have equal voices."""
        shape = (len(groupings[0].codes), len(self.types))
        scores, strength = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for grouping in groupings:
            total, voices = np.zeros((len(grouping.values), shape[1])), np.zeros(shape[1])
            largest = np.full_like(total, -np.inf)
            for weights in (self.by_markers, self.by_text):
                has = weights.sum(1) > 0
                found, errors = grouping.scores(weights - has[:, None] * self.negative)
                total += has * found
                voices += has
                largest = np.maximum(largest, np.where(has, errors, -np.inf))
            scores += (total / np.maximum(voices, 1))[grouping.codes] / len(groupings)
            strength += largest[grouping.codes] / len(groupings)
        return TypeEvidence(self, softmax(scores, TEMPERATURE), strength)


@dataclass(frozen=True)
class TypeEvidence:
    """What is said of each cell, float32 (cells, types).

    ``probability`` of each type, if there were no others, and ``strength``: by how many standard
    errors its genes are higher than chance gives.
    """

    of: GenesOfTypes
    probability: np.ndarray
    strength: np.ndarray

    def best(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Number, probability and strength of each cell's most probable type, (cells,)."""
        best = self.probability.argmax(1)
        rows = np.arange(len(best))
        return best, self.probability[rows, best], self.strength[rows, best]
