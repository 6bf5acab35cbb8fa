"""Calls of a sample's cells from the few of them that a person has named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.annotation.annotate import (
    ASSIGNED,
    AUTO,
    LOW,
    NO_GENE,
    STATUSES,
    UNFAMILIAR,
    Annotation,
    AnnotationOptions,
)
from screader_lib.annotation.by_reader.answers import CELLS
from screader_lib.annotation.by_reader.consensus import gene_weights
from screader_lib.annotation.calls import Calls
from screader_lib.annotation.clusters import (
    GENES_COMPARED,
    NEAR,
    TellingGenes,
    find_clusters,
    import_igraph,
    tabulate,
)
from screader_lib.annotation.evidence import CalledCells
from screader_lib.annotation.few_labels.example_table import CLUSTER, Examples, learnt_from
from screader_lib.annotation.few_labels.own_cells import OwnCells
from screader_lib.annotation.new_h5ad import cells_of
from screader_lib.annotation.no_labels.type_evidence import mean_values
from screader_lib.annotation.sample import obs_column
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange import writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, as_strings
from screader_lib.reader.methods.label_propagation import LabelPropagation
from screader_lib.reader.methods.places import Neighbours, own_components
from screader_lib.reader.task import Labels
from screader_lib.reporting import SILENT, Reporter, counted

STATUSES_BY_EXAMPLES = (*STATUSES, "example")
EXAMPLE = len(STATUSES)
MIN_CELLS = 20
MIN_EXAMPLES, OF_LABEL = 20, 5  # to say how alike they are, and of each label that counts
ALIKE = 0.98  # of the examples


def annotate_by_examples(
    sources: Sequence[Expression],
    examples: Examples,
    made: Provenance,
    folder: Path,
    options: AnnotationOptions,
    reporter: Reporter = SILENT,
) -> Annotation:
    """Call the cells of the inputs, each by its place among them.

    ``folder`` gets a ``cells`` file. An example has its own label, with the probability that the
    others give it as confidence. ``options.clusters`` are described by the genes in which they are
    the farthest above all cells. ScReaderError where an example is not there, or cells are too few.
    """
    sample = OwnCells(sources, options.sample, reporter)
    clusters = _given_clusters(sources, sample.selected, examples, options.clusters)
    named_clusters = clusters if examples.kind == CLUSTER else None
    names = as_strings(cells_of(sources).index.load())[sample.selected]  # as in all outputs
    rows, truth = examples.of_cells(names, named_clusters)
    labels = examples.label_names
    if len(names) < MIN_CELLS:
        raise ScReaderError(
            f"has {len(names):,} cells, fewer than {MIN_CELLS}: each is called by the others.",
            file=sample.builder.name,
            remedy="Give --reader instead of --examples.",
        )
    with writing.create("cells", folder / CELLS, made) as file:
        sample.write(file)
    with open_exchange(folder / CELLS, "cells", name=sample.builder.name) as opened:
        cells = CellSequences(opened, sequential=True)
        known = cells.lengths > 0
        places, sketch = own_components(gene_weights(cells), len(cells))
    groups = truth if named_clusters is None else named_clusters.codes[rows]
    learnt = known[rows] & learnt_from(rows, groups)
    without = sorted(set(range(len(labels))) - set(truth[learnt].tolist()))
    if without:
        raise ScReaderError(
            f"no cell of {labels[without[0]]!r} is left to learn from.", file=examples.table
        )
    propagation = LabelPropagation(places, sketch)
    probability = propagation.probability(rows[learnt], truth[learnt], len(labels))
    nearness = propagation.nearness(rows[learnt])
    columns = _columns(probability, nearness, known, (rows, truth), labels, options)
    status = columns["screader_status"].codes
    counts = np.bincount(status, minlength=len(STATUSES_BY_EXAMPLES))
    listed = (f"{n:,} {name}" for n, name in zip(counts, STATUSES_BY_EXAMPLES, strict=True) if n)
    reporter.info(f"{counted(len(names), 'cell')}: {', '.join(listed)}.")
    if not options.min_familiarity:
        least = usual_cosine(propagation.places[rows[learnt]], truth[learnt])
        _tell_unlike(nearness[known & (status != EXAMPLE)], least, reporter)
    if named_clusters is None:
        _warn_of_doubtful(names, rows, truth, probability[rows], labels, reporter)
    named = np.bincount(truth, minlength=len(labels)).tolist()
    uns: dict[str, Any] = {
        "labels": list(labels),
        "examples": dict(zip(labels, named, strict=True)),
    }
    label, no_term = as_strings(columns["screader_label"]), np.full(len(names), "", object)
    confidence, is_example = columns["screader_confidence"], status == EXAMPLE
    called = CalledCells(label, no_term, label, confidence, nearness, probability, is_example)
    if options.clusters is not None:
        if clusters is None:
            clusters = columns["screader_cluster"] = find_clusters(
                Neighbours(propagation.nearest, sketch)
            )
        with open_exchange(folder / CELLS, "cells", name=sample.builder.name) as opened:
            cells = CellSequences(opened, sequential=True)
            telling = _above_all(clusters, sketch, cells)
            known_markers = options.known_markers
            uns["clusters"] = tabulate(clusters, called, labels, cells, telling, known_markers)
    kept = None if sample.selected.all() else np.flatnonzero(sample.selected)
    calls = Calls(len(sample.selected), columns, {"X_screader": propagation.places}, uns, kept)
    known_labels = Labels(labels, ("",) * len(labels), tuple(named))
    return Annotation(calls, called, known_labels, uns.get("clusters"))


def _given_clusters(
    sources: Sequence[Expression], selected: np.ndarray, examples: Examples, column: str | None
) -> Categorical | None:
    """The clusters of the ``selected`` cells in a column, if it is one."""
    if column == AUTO:
        import_igraph()  # so that what is missing is told before the work
    elif column is not None:
        return obs_column(sources, selected, column)
    if examples.kind == CLUSTER:
        raise ScReaderError(
            "names clusters.",
            file=examples.table,
            remedy="Say which column of obs these are: --clusters COLUMN.",
        )
    return None


def _columns(
    probability: np.ndarray,
    nearness: np.ndarray,
    known: np.ndarray,
    examples: tuple[np.ndarray, np.ndarray],
    labels: tuple[str, ...],
    options: AnnotationOptions,
) -> dict[str, Any]:
    """Label, confidence, familiarity and status of each cell; ``examples`` are rows and labels."""
    rows, truth = examples
    best, confidence = probability.argmax(1), probability.max(1)
    status = np.where(confidence >= options.min_confidence, ASSIGNED, LOW)
    status[nearness < max(NEAR, options.min_familiarity)] = UNFAMILIAR
    status[~known] = NO_GENE
    status[rows] = EXAMPLE
    best[rows], confidence[rows] = truth, probability[rows, truth]
    is_called = (status == ASSIGNED) | (status == EXAMPLE)
    return {
        "screader_label": Categorical(np.where(is_called, best, -1).astype(np.int32), labels),
        "screader_confidence": confidence.astype(np.float32),
        "screader_familiarity": nearness,
        "screader_status": Categorical(status.astype(np.int32), STATUSES_BY_EXAMPLES),
    }


def usual_cosine(places: np.ndarray, truth: np.ndarray) -> float | None:
    """What ``ALIKE`` of the examples reach with the nearest other example; None where they are few.

    ``places`` float32 (examples, components) of length 1, ``truth`` int64 (examples,). Labels with
    fewer than ``OF_LABEL`` examples do not count.
    """
    counted_in = np.bincount(truth)[truth] >= OF_LABEL
    if counted_in.sum() < MIN_EXAMPLES:
        return None
    cosine = places @ places.T
    np.fill_diagonal(cosine, -1)
    return float(np.quantile(cosine[counted_in].max(1), 1 - ALIKE))


def _tell_unlike(nearness: np.ndarray, least: float | None, reporter: Reporter) -> None:
    """Say how many cells, of cosines ``nearness``, are less like any example than usual."""
    if least is None or least <= NEAR:
        return
    least = math.floor(least * 100) / 100
    count = int((nearness < least).sum())
    if count:
        reporter.info(
            f"{count:,} of them ({count / len(nearness):.0%}) are less like any example than "
            f"{ALIKE:.0%} of the examples are like each other: of types without an example, or of "
            f"donors without one. --min-familiarity {least:.2f} leaves them without a label."
        )


def _warn_of_doubtful(
    names: np.ndarray,
    rows: np.ndarray,
    truth: np.ndarray,
    probability: np.ndarray,
    labels: tuple[str, ...],
    reporter: Reporter,
) -> None:
    """Warn of example cells whose ``probability`` is greater for another label."""
    best = probability.argmax(1)
    doubtful = np.flatnonzero(best != truth)
    if len(doubtful):
        first = doubtful[0]
        reporter.warning(
            f"{len(doubtful):,} of the {len(rows):,} examples look more like another label, "
            f"such as {names[rows[first]]!r}, named {labels[truth[first]]} and more like "
            f"{labels[best[first]]}: a mistake?"
        )


def _above_all(clusters: Categorical, sketch: np.ndarray, cells: CellSequences) -> TellingGenes:
    """Genes by how far their mean in a cluster is above that of all cells, in deviations."""
    values = mean_values([clusters.codes], sketch, gene_weights(cells))[0]
    number_of = np.flatnonzero(cells.genes_in_input)

    def telling(members: np.ndarray, _: int) -> np.ndarray:
        above = values[clusters.codes[members[0]]]
        best = np.argsort(-above, kind="stable")[:GENES_COMPARED]
        return number_of[best[above[best] > 0]]

    return telling
