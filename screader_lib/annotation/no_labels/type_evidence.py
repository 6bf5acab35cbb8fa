"""What speaks for which of the named types: markers and texts, by groups of cells.

A group's value of a gene is its cells' mean of z-scores over all cells. A type's score in a group
is the weighted mean of its genes' values, taken from its own least to its own largest over the
groups, so that a type with weak markers counts as much as one with strong ones; but where not
even the largest stands out from what chance gives, it stays small. Scores of three numbers of
groups are averaged. The numbers were chosen on Baron's mouse cells and on blood of three
chemistries (benchmarks/no_labels.md), not on the cells that the figures are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from screader_lib.annotation.no_labels.gene_sets import (
    SampleGenes,
    marker_weights,
    negative_weights,
    text_weights,
)
from screader_lib.annotation.no_labels.type_table import NamedType
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, Table, strings
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods.places import MOST_DEVIATIONS, Read
from screader_lib.reader.task import row_blocks

NUMBERS_OF_GROUPS = (25, 50, 100)
CELLS_IN_GROUP = 8  # on average, at least
LOW = 0.1  # quantile of a type's scores over the groups that stands for cells of other types
CLEAR = 8.0  # standard errors by which a type's largest score counts in full
MIN_CELLS = 3  # with a gene
GENES_SHOWN = 8
SHOWN_FROM = 0.5  # a gene's mean z-score in the cluster
CLEAR_MAJORITY = 0.7  # of a cluster's cells
FEW_CELLS = 10
TEMPERATURE = 0.05  # of scores


@dataclass(frozen=True)
class Grouping:
    """``codes`` int64 (cells,), the group of each cell, and ``values`` float64 (groups, genes)."""

    codes: np.ndarray
    values: np.ndarray

    def scores(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of types with ``weights`` (types, genes): scores from 0 to about 1, float64 (groups,
        types).

        And by how many standard errors each is above what genes of this number give by chance.
        """
        errors = self.values.std() * np.sqrt((weights**2).sum(1))
        errors = np.where(errors > 0, errors, 1)
        means = self.values @ weights.T
        low = np.quantile(means, LOW, axis=0)
        height = np.maximum(means.max(0) - low, CLEAR * errors)
        return (means - low) / height, means / errors


def group_cells(places: np.ndarray, sketch: np.ndarray, read: Read) -> list[Grouping]:
    """The cells in groups by k-means on their ``places``, several times, from few to many groups.

    ``places`` float32 (cells, components), found in those of the ``sketch``, int64 rising, and
    ``read(rows)`` their gene weights. Groups are numbered from the largest.
    """
    from sklearn.cluster import KMeans

    most = max(2, len(sketch) // CELLS_IN_GROUP)
    codes = []
    for number in sorted({min(number, most) for number in NUMBERS_OF_GROUPS}):
        found = KMeans(number, n_init=4, random_state=0).fit(places[sketch]).predict(places)
        rank = np.argsort(np.argsort(-np.bincount(found, minlength=number), kind="stable"))
        codes.append(rank[found])
    return [Grouping(*one) for one in zip(codes, mean_values(codes, sketch, read), strict=True)]


def mean_values(codes: Sequence[np.ndarray], sketch: np.ndarray, read: Read) -> list[np.ndarray]:
    """The groups' mean z-scores float64 (groups, genes), for several ways to group the cells.

    ``codes`` int64 (cells,) each, −1 for a cell in no group. Means and deviations of genes are
    those of the ``sketch``; genes that next to no cell has, or that do not vary, have 0.
    """
    weights = read(sketch)
    mean = weights.mean(0).A1
    spread = np.sqrt(np.maximum(weights.multiply(weights).mean(0).A1 - mean**2, 0))
    most = (mean + MOST_DEVIATIONS * spread).astype(np.float32)
    spread[(spread == 0) | (weights.getnnz(0) < MIN_CELLS)] = np.inf
    members = [_members(one) for one in codes]
    sums = [np.zeros((one.shape[0], len(mean))) for one in members]
    for rows in row_blocks(np.arange(len(codes[0]))):
        block = read(rows)
        block.data = np.minimum(block.data, most[block.indices])
        for number, one in enumerate(members):
            sums[number] += (one[:, rows] @ block).toarray()
    sizes = [np.maximum(one.sum(1).A1, 1)[:, None] for one in members]
    return [(total / size - mean) / spread for total, size in zip(sums, sizes, strict=True)]


def _members(codes: np.ndarray) -> sparse.csc_matrix:
    """Which cells are in each group, ones (groups, cells)."""
    known = np.flatnonzero(codes >= 0)
    shape = (int(codes.max(initial=-1)) + 1, len(codes))
    return sparse.csc_matrix((np.ones(len(known)), (codes[known], known)), shape)


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
        """What the groups of some cells say of the types; markers and texts have equal weight."""
        shape = (len(groupings[0].codes), len(self.types))
        scores, strength = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for grouping in groupings:
            total, sources = np.zeros((len(grouping.values), shape[1])), np.zeros(shape[1])
            largest = np.full_like(total, -np.inf)
            for weights in (self.by_markers, self.by_text):
                has = weights.sum(1) > 0
                found, errors = grouping.scores(weights - has[:, None] * self.negative)
                total += has * found
                sources += has
                largest = np.maximum(largest, np.where(has, errors, -np.inf))
            scores += (total / np.maximum(sources, 1))[grouping.codes] / len(groupings)
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


def tabulate_evidence(
    evidence: TypeEvidence, is_called: np.ndarray, clusters: Categorical, values: np.ndarray
) -> Table:
    """A row for each of the ``clusters`` with cells; ``is_called`` bool (cells,).

    ``values`` float64 (clusters, genes) are their mean z-scores. The genes are those that add most
    to the score of the type with the most calls, or else the most probable one.
    """
    best, confidence, strength = evidence.best()
    names = [one.name for one in evidence.of.types]
    rows: dict[str, dict[str, Any]] = {}
    for code, cluster in enumerate(clusters.categories):
        members = np.flatnonzero(clusters.codes == code)
        if not len(members):
            continue
        calls = np.bincount(best[members][is_called[members]], minlength=len(names))
        first, second, *_ = np.argsort(-calls, kind="stable").tolist()
        likely = first if calls[first] else int(evidence.probability[members].mean(0).argmax())
        row: dict[str, Any] = {
            "cells": len(members),
            "label": names[first] if calls[first] else "",
            "ontology_id": evidence.of.types[first].ontology_id if calls[first] else "",
            "share": calls[first] / len(members),
            "second_label": names[second] if calls[second] else "",
            "second_share": calls[second] / len(members),
            "without_label": float((~is_called[members]).mean()),
            "nearest_type": names[likely],
            "confidence": float(np.median(confidence[members])),
            "evidence": float(np.median(strength[members])),
            "markers": _genes(evidence.of.by_markers[likely], values[code], evidence),
            "genes_by_text": _genes(evidence.of.by_text[likely], values[code], evidence),
        }
        row["check"] = _what_to_check(row, evidence.of.by_markers[likely].any())
        rows[cluster] = row
    columns: dict[str, Column] = {}
    for name in next(iter(rows.values())):
        found = [row[name] for row in rows.values()]
        columns[name] = strings(found) if isinstance(found[0], str) else np.array(found)
    return Table(strings(rows), columns, "cluster")


def _genes(weights: np.ndarray, values: np.ndarray, evidence: TypeEvidence) -> str:
    parts = np.where(values >= SHOWN_FROM, weights * values, 0)
    most = np.argsort(-parts, kind="stable")[:GENES_SHOWN]
    return ", ".join(evidence.of.genes.names[gene] for gene in most if parts[gene] > 0)


def _what_to_check(row: dict[str, Any], has_markers: bool) -> str:
    """What a person should look at, in words; empty where nothing stands out."""
    remarks = []
    if row["cells"] < FEW_CELLS:
        remarks.append("few cells")
    if row["without_label"] > 1 - CLEAR_MAJORITY:
        remarks.append("many cells are similar to none of the types, or to several")
    elif row["share"] < CLEAR_MAJORITY:
        remarks.append(f"mixed: {row['label']} and {row['second_label']}")
    if not has_markers:
        remarks.append("no marker of this type is known: by its text alone")
    elif not row["markers"]:
        remarks.append("no marker of this type is higher here than elsewhere")
    return "; ".join(remarks)
