"""Calls of a sample's cells from the few of them that a person has named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.annotation.annotate import (
    ASSIGNED,
    CELLS,
    LOW,
    NO_GENE,
    STATUSES,
    UNFAMILIAR,
    AnnotationOptions,
)
from screader_lib.annotation.calls import Calls
from screader_lib.annotation.consensus import gene_weights
from screader_lib.annotation.few_labels.example_table import CLUSTER, Examples, learnt_from
from screader_lib.annotation.few_labels.own_cells import OwnCells
from screader_lib.annotation.few_labels.spreading import Spreading
from screader_lib.annotation.neighbours import own_components
from screader_lib.annotation.sample import obs_column
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange import writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, Column, as_strings
from screader_lib.reporting import SILENT, Reporter, counted

NEAR = 0.4  # nearness to an example, below which a cell is like none
EXAMPLE = "example"
STATUSES_BY_EXAMPLES = (*STATUSES, EXAMPLE)
MIN_CELLS = 20


def annotate_by_examples(
    sources: Sequence[Expression],
    examples: Examples,
    made: Provenance,
    folder: Path,
    options: AnnotationOptions,
    reporter: Reporter = SILENT,
) -> Calls:
    """Call the cells of the inputs, each by its place among them.

    ``folder`` gets a ``cells`` file. An example has its own label, with the probability that the
    others give it as confidence. ScReaderError where an example is not there, or cells are too few.
    """
    sample = OwnCells(sources, options.sample, reporter)
    clusters = None
    if examples.kind == CLUSTER:
        if options.clusters is None:
            raise ScReaderError(
                "names clusters.",
                file=examples.table,
                remedy="Say which column of obs these are: --clusters COLUMN.",
            )
        clusters = obs_column(sources, sample.selected, options.clusters)
    names = as_strings(sample.builder.obs.index.load())
    rows, truth = examples.of_cells(names, clusters)
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
    groups = truth if clusters is None else clusters.codes[rows]
    learnt = known[rows] & learnt_from(rows, groups)
    without = sorted(set(range(len(labels))) - set(truth[learnt].tolist()))
    if without:
        raise ScReaderError(
            f"no cell of {labels[without[0]]!r} is left to learn from.", file=examples.table
        )
    spreading = Spreading(places, sketch)
    probability = spreading.probability(rows[learnt], truth[learnt], len(labels))
    nearness = spreading.nearness(rows[learnt])
    best, confidence = probability.argmax(1), probability.max(1)
    status = np.where(confidence >= options.min_confidence, ASSIGNED, LOW)
    status[nearness < max(NEAR, options.min_familiarity)] = UNFAMILIAR
    status[~known] = NO_GENE
    status[rows] = STATUSES_BY_EXAMPLES.index(EXAMPLE)
    best[rows], confidence[rows] = truth, probability[rows, truth]
    called = (status == ASSIGNED) | (status == STATUSES_BY_EXAMPLES.index(EXAMPLE))
    columns: dict[str, Column] = {
        "screader_label": Categorical(np.where(called, best, -1).astype(np.int32), labels),
        "screader_confidence": confidence.astype(np.float32),
        "screader_familiarity": nearness,
        "screader_status": Categorical(status.astype(np.int32), STATUSES_BY_EXAMPLES),
    }
    counts = np.bincount(status, minlength=len(STATUSES_BY_EXAMPLES))
    listed = (f"{n:,} {name}" for n, name in zip(counts, STATUSES_BY_EXAMPLES, strict=True) if n)
    reporter.info(f"{counted(len(names), 'cell')}: {', '.join(listed)}.")
    doubtful = rows[probability[rows].argmax(1) != truth]
    if clusters is None and len(doubtful):
        other = labels[probability[doubtful[0]].argmax()]
        reporter.warning(
            f"{len(doubtful):,} of the {len(rows):,} examples look like another of the labels, "
            f"such as {names[doubtful[0]]!r} ({other}): a mistake?"
        )
    uns: dict[str, Any] = {
        "labels": list(labels),
        "examples": {label: int((truth == number).sum()) for number, label in enumerate(labels)},
    }
    kept = None if sample.selected.all() else np.flatnonzero(sample.selected)
    return Calls(len(sample.selected), columns, {"X_screader": spreading.places}, uns, kept)
