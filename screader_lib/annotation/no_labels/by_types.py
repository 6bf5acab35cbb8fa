"""Calls of a sample's cells by the types that a person names, and the evidence for each cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.annotation.annotate import AUTO, Annotation, AnnotationOptions
from screader_lib.annotation.by_reader.answers import CELLS
from screader_lib.annotation.by_reader.consensus import gene_weights
from screader_lib.annotation.calls import Calls
from screader_lib.annotation.evidence import CalledCells
from screader_lib.annotation.few_labels.own_cells import OwnCells
from screader_lib.annotation.no_labels.type_evidence import (
    GenesOfTypes,
    Grouping,
    TypeEvidence,
    group_cells,
    mean_values,
    tabulate_evidence,
)
from screader_lib.annotation.no_labels.type_table import NamedType
from screader_lib.annotation.sample import obs_column
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange import writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, Column, as_strings
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.methods.places import Read, own_components
from screader_lib.reader.task import Labels
from screader_lib.reporting import SILENT, Reporter, counted

STATUSES = ("assigned", "low confidence", "unassigned", "no known gene")
ASSIGNED, LOW, UNASSIGNED, NO_GENE = range(len(STATUSES))
WEAK = 2.0  # standard errors, below which a type has no evidence
MIN_CELLS = 20


@dataclass(frozen=True)
class GroupedCells:
    """The ``selected``, bool (cells of the inputs,), cells in groups, and the evidence for each.

    ``known`` bool (cells,) says which have a gene. As long as their file is open, ``read`` reads
    their gene weights; ``sketch`` are the cells by which genes are standardised.
    """

    selected: np.ndarray
    known: np.ndarray
    read: Read
    places: np.ndarray
    sketch: np.ndarray
    groupings: Sequence[Grouping]
    evidence: TypeEvidence


@contextmanager
def grouped_cells(
    sources: Sequence[Expression],
    types: Sequence[NamedType],
    tables: Sequence[Sequence[CellType]],
    made: Provenance,
    folder: Path,
    options: AnnotationOptions,
    reporter: Reporter = SILENT,
    needed: int | None = None,
) -> Iterator[GroupedCells]:
    """The inputs' cells by their own genes; ``folder`` gets a ``cells`` file.

    ScReaderError where cells are too few, or one of the first ``needed`` types, by default all, has
    no evidence at all.
    """
    sample = OwnCells(sources, options.sample, reporter)
    with writing.create("cells", folder / CELLS, made) as file:
        sample.write(file)
    with open_exchange(folder / CELLS, "cells", name=sample.builder.name) as opened:
        cells = CellSequences(opened, sequential=True)
        if len(cells) < MIN_CELLS:
            raise ScReaderError(
                f"has {len(cells):,} cells, fewer than {MIN_CELLS}: types are scored relative to "
                "the other cells.",
                file=sample.builder.name,
                remedy="Leave out --types, and give --reader.",
            )
        read = gene_weights(cells)
        genes = cells.genes.take(np.flatnonzero(cells.genes_in_input))
        of_types = GenesOfTypes.of(genes, types, tables, needed)
        places, sketch = own_components(read, len(cells))
        groupings = group_cells(places, sketch, read)
        evidence = of_types.evidence(groupings)
        yield GroupedCells(
            sample.selected, cells.lengths > 0, read, places, sketch, groupings, evidence
        )


def annotate_by_types(
    sources: Sequence[Expression],
    types: Sequence[NamedType],
    tables: Sequence[Sequence[CellType]],
    made: Provenance,
    folder: Path,
    options: AnnotationOptions,
    reporter: Reporter = SILENT,
) -> Annotation:
    """Call the cells of the inputs, and tabulate the evidence for each cluster.

    ``folder`` gets a ``cells`` file. Clusters are those of ``options.clusters``, or else the
    largest groups that calls are made by. ScReaderError where cells are too few, or a type has no
    evidence at all.
    """
    with grouped_cells(sources, types, tables, made, folder, options, reporter) as cells:
        if options.clusters in (None, AUTO):
            values = cells.groupings[0].values
            names = tuple(str(number) for number in range(1, len(values) + 1))
            clusters = Categorical(cells.groupings[0].codes.astype(np.int32), names)
        else:
            clusters = obs_column(sources, cells.selected, options.clusters)
            values = mean_values([clusters.codes], cells.sketch, cells.read)[0]
    evidence = cells.evidence
    best, confidence, strength = evidence.best()
    status = np.where(confidence >= options.min_confidence, ASSIGNED, LOW)
    status[strength < WEAK] = UNASSIGNED
    status[~cells.known] = NO_GENE
    names, terms = tuple(one.name for one in types), tuple(one.ontology_id for one in types)
    label = Categorical(np.where(status == ASSIGNED, best, -1).astype(np.int32), names)
    ids = np.array([*terms, ""], dtype=object)
    columns: dict[str, Column] = {
        "screader_label": label,
        "screader_ontology_id": Categorical.with_missing(ids[label.codes]),
        "screader_confidence": confidence,
        "screader_evidence": strength,
        "screader_status": Categorical(status.astype(np.int32), STATUSES),
    }
    if options.clusters in (None, AUTO):
        columns["screader_cluster"] = clusters
    table = tabulate_evidence(evidence, status == ASSIGNED, clusters, values)
    counts = np.bincount(status, minlength=len(STATUSES))
    listed = (f"{n:,} {name}" for n, name in zip(counts, STATUSES, strict=True) if n)
    reporter.info(f"{counted(len(best), 'cell')}: {', '.join(listed)}.")
    uns: dict[str, Any] = {"labels": list(names), "clusters": table}
    kept = None if cells.selected.all() else np.flatnonzero(cells.selected)
    calls = Calls(len(cells.selected), columns, {"X_screader": cells.places}, uns, kept)
    called = as_strings(label)
    cells_called = CalledCells(
        called, ids[label.codes], called, confidence, None, evidence.probability
    )
    return Annotation(calls, cells_called, Labels(names, terms, (0,) * len(names)), table)
