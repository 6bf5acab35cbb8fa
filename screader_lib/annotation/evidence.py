"""The genes behind labels: those that contribute most to the labels' log-odds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.table import Column, Table, as_strings, strings
from screader_lib.genes.records import organism_of
from screader_lib.genes.sources.tables import PackagedFacts
from screader_lib.reader.confidence.explanation import explain
from screader_lib.reader.task import TrainedMethod

CELLS_EXPLAINED = 30  # of a cluster or label


@dataclass(frozen=True)
class CalledCells:
    """What is said of each cell: objects or float32 (cells,).

    ``label`` with its ``ontology_id``, empty where there is none, and its ``confidence``: those of
    the consensus where there is one; ``own_label`` without the neighbours; ``familiarity``, to a
    reader or examples, None for types that are only named; ``probability`` float32 (cells, labels)
    behind the labels. ``is_example``, bool: which cells a
    person has named; None: a reader called them all.
    """

    label: np.ndarray
    ontology_id: np.ndarray
    own_label: np.ndarray
    confidence: np.ndarray
    familiarity: np.ndarray | None
    probability: np.ndarray
    is_example: np.ndarray | None = None

    @classmethod
    def of(cls, columns: Mapping[str, Column], probability: np.ndarray) -> CalledCells:
        """From the columns of the calls."""
        kind = "consensus_" if "screader_consensus_label" in columns else ""
        label, term = (
            as_strings(columns[f"screader_{kind}{name}"]) for name in ("label", "ontology_id")
        )
        own, confidence = (
            as_strings(columns["screader_label"]),
            columns[f"screader_{kind}confidence"],
        )
        familiarity = columns["screader_familiarity"]
        return cls(label, term, own, np.asarray(confidence), np.asarray(familiarity), probability)


def contributions(
    members: np.ndarray,
    label: int,
    calls: CalledCells,
    cells: CellSequences,
    trained: TrainedMethod,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the genes that contribute most to ``label``, the largest first, int64 (genes,).

    And their mean contributions, float64, all positive. Of the ``members``, cells by number, at
    most ``CELLS_EXPLAINED`` are explained: where there are some, those of the label.
    """
    which = members[calls.probability[members].argmax(1) == label]
    which = which if len(which) else members
    which = which[cells.lengths[which] > 0]
    if not len(which):
        return which, np.zeros(0)
    sample = which[np.unique(np.linspace(0, len(which) - 1, CELLS_EXPLAINED).astype(int))]
    called = np.full(len(sample), label, np.int64)
    labels = calls.probability.shape[1]
    means = explain(cells, sample, trained, called, labels, 1).sums[label] / len(sample)
    best = np.argsort(-means, kind="stable")[:count]
    best = best[means[best] > 0]
    return best, means[best]


def tabulate_genes(
    calls: CalledCells,
    labels: Sequence[str],
    cells: CellSequences,
    trained: TrainedMethod,
    count: int,
) -> Table:
    """A row for each label that is called and each of its ``count`` genes, the largest first.

    Columns: label, cells (with that label), gene, symbol, full_name, contribution.
    """
    names, names_of = gene_names(cells), full_names()
    best = calls.probability.argmax(1)
    rows: list[tuple[str, int, str, str, str, float]] = []
    for label in np.unique(best[cells.lengths > 0]).tolist():
        members = np.flatnonzero(best == label)
        genes, parts = contributions(members, label, calls, cells, trained, count)
        for gene, part in zip(genes.tolist(), parts.tolist(), strict=True):
            gene_id = str(cells.genes.index[gene])
            full_name = names_of.get(names[gene].upper(), "")
            rows.append((labels[label], len(members), gene_id, names[gene], full_name, part))
    titles = ("label", "cells", "gene", "symbol", "full_name", "contribution")
    columns: dict[str, Column] = {
        name: np.array([row[number] for row in rows], object if number not in (1, 5) else None)
        for number, name in enumerate(titles)
    }
    return Table(strings(range(len(rows))), columns)


def gene_names(cells: CellSequences) -> list[str]:
    """The genes' symbols, or their ids where they have none."""
    symbols = cells.genes.strings("symbol")
    return [str(symbol or gene) for symbol, gene in zip(symbols, cells.genes.index, strict=True)]


def full_names() -> dict[str, str]:
    """Full names of human genes by symbol in capitals; mouse genes are mostly called alike."""
    genes = PackagedFacts(organism_of("human")).genes()
    return {gene.symbol.upper(): gene.full_name for gene in genes if gene.full_name}
