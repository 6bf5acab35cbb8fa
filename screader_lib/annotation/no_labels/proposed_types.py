"""Types proposed for cells that are unlike all that a reader was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from screader_lib.annotation.annotate import Annotation, AnnotationOptions
from screader_lib.annotation.no_labels.by_types import WEAK, grouped_cells
from screader_lib.annotation.no_labels.type_evidence import Grouping
from screader_lib.annotation.no_labels.type_table import NamedType
from screader_lib.cells.formats.expression import Expression
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.table import Categorical, Column
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.task import Labels
from screader_lib.reporting import SILENT, Reporter, counted

UNLIKE = 0.1  # median familiarity of like cells, below which a type is proposed for them


def with_proposed_types(
    annotation: Annotation,
    sources: Sequence[Expression],
    named: tuple[Sequence[NamedType], Sequence[Sequence[CellType]]],
    made: Provenance,
    folder: Path,
    options: AnnotationOptions,
    reporter: Reporter = SILENT,
) -> Annotation:
    """An annotation by a reader, of the same inputs and options, with :func:`proposed_columns`.

    ``named`` are the types and the tables of their markers; ``folder`` gets a folder for them.
    """
    own = folder / "types"
    own.mkdir()
    (types, tables), calls = named, annotation.calls
    familiarity = np.asarray(calls.obs["screader_familiarity"])
    columns = proposed_columns(
        sources, types, tables, annotation.labels, familiarity, made, own, options, reporter
    )
    return replace(annotation, calls=replace(calls, obs={**calls.obs, **columns}))


def proposed_columns(
    sources: Sequence[Expression],
    types: Sequence[NamedType],
    tables: Sequence[Sequence[CellType]],
    labels: Labels,
    familiarity: np.ndarray,
    made: Provenance,
    folder: Path,
    options: AnnotationOptions,
    reporter: Reporter = SILENT,
) -> dict[str, Column]:
    """Columns ``screader_proposed_…`` of the inputs' cells: type, id, confidence, evidence.

    ``types`` are those that are named, and the reader's ``labels`` so far as these have evidence. A
    cell has a type where its groups are unlike the reader's cells, by their ``familiarity``,
    float32 (cells,), and most like a type that is none of the reader's. All others are missing, or
    NaN.
    """
    of_reader = [NamedType(*pair) for pair in zip(labels.names, labels.ontology_ids, strict=True)]
    new = [one for one in types if not any(map(one.is_same, of_reader))]
    types = [*new, *(one for one in types if one not in new)]
    with grouped_cells(sources, types, tables, made, folder, options, reporter, len(new)) as found:
        best, confidence, strength = found.evidence.best()
    unfamiliar = typical(familiarity, found.groupings) < UNLIKE
    is_sure = (confidence >= options.min_confidence) & (strength >= WEAK)
    proposed = unfamiliar & (best < len(new)) & is_sure
    codes = np.where(proposed, best, -1).astype(np.int32)
    ids = np.array([*(one.ontology_id for one in types), ""], dtype=object)
    reporter.info(
        f"{counted(int(proposed.sum()), 'cell')} unlike the reader's types: another type is "
        "proposed in screader_proposed_type."
    )
    return {
        "screader_proposed_type": Categorical(codes, tuple(one.name for one in types)),
        "screader_proposed_ontology_id": Categorical.with_missing(ids[codes]),
        "screader_proposed_confidence": np.where(proposed, confidence, np.nan).astype(np.float32),
        "screader_proposed_evidence": np.where(proposed, strength, np.nan).astype(np.float32),
    }


def typical(familiarity: np.ndarray, groupings: Sequence[Grouping]) -> np.ndarray:
    """Median of the cells of each cell's group, the mean over groupings, float64 (cells,)."""
    total = np.zeros(len(familiarity))
    for one in groupings:
        groups = range(len(one.values))
        total += np.array([np.median(familiarity[one.codes == code]) for code in groups])[one.codes]
    return total / len(groupings)
