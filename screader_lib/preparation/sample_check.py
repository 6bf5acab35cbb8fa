"""What would stop a sample, found in seconds: its columns, kind of values, size and species.

Nothing is computed, and no embeddings are needed: at most a block of cells with values is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from screader_lib.cells import normalisation
from screader_lib.cells.across_species import organisms_of
from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.input_file import naming_layers
from screader_lib.cells.obs.columns import ObsColumns
from screader_lib.cells.obs.labels import is_known
from screader_lib.cells.obs.selection import CellSelection, select_cells
from screader_lib.errors import ScReaderError
from screader_lib.genes.records import organism_of
from screader_lib.genes.spelling import species_of_names
from screader_lib.preparation.marker_tables import TAXA


def check_sample(
    source: Expression,
    columns: ObsColumns,
    selection: CellSelection,
    value_kind: str,
    organism: str,
) -> tuple[str, list[str]]:
    """What a sample is, as one line, and what is wrong with it, one line each.

    ``organism`` is the species that its cells should be of, as a name or taxonomy id.
    """
    kind: list[str] = []
    checks: list[Callable[[], object]] = [partial(_check_size, source)]
    for name in ("label", "ontology", "donor"):
        column = getattr(columns, name)
        if column is not None:
            checks.append(partial(ObsColumns(column).resolved, source.obs, source.name))
    checks += [
        partial(_check_labels, source, columns.label),
        partial(_check_species, source, organism),
        lambda: kind.append(_kind_of(source, value_kind)),
    ]
    faults = _faults(checks) or _faults([partial(select_cells, [source], selection, columns)])
    summary = f"{len(source.obs):,} cells, {len(source.genes):,} genes"
    return ", ".join([summary, *(normalisation.KIND_NAMES[name] for name in kind)]), faults


def _faults(checks: Iterable[Callable[[], object]]) -> list[str]:
    found = []
    for check in checks:
        try:
            check()
        except ScReaderError as error:
            found.append(str(error))
    return found


def _check_size(source: Expression) -> None:
    if not len(source.obs) or not len(source.genes):
        raise ScReaderError("holds no cells or no genes.", file=source.name)


def _check_labels(source: Expression, column: str | None) -> None:
    if column in source.obs.columns:
        blocks = source.obs.column(column).string_blocks()
        if not any(is_known(label) for block in blocks for label in block):
            raise ScReaderError(f"no cell has a label in {column!r}.", file=source.name)


def _kind_of(source: Expression, value_kind: str) -> str:
    block = normalisation.first_values(source.read(*span) for span in source.spans())
    with naming_layers(source):
        return normalisation.detect_kind(block, value_kind, source.name, source.log_base)


def _check_species(source: Expression, organism: str) -> None:
    """ScReaderError where the file states another species, or its genes' names are of another."""
    wanted = f"NCBITaxon:{organism_of(organism).tax_id}"
    stated = organisms_of(source, np.ones(len(source.obs), bool))
    named = species_of_names(source.genes.index)
    remedy = f"Expected: {organism}."
    if stated and wanted not in stated:
        raise ScReaderError(
            f"its cells are of {' and '.join(sorted(stated))}.", file=source.name, remedy=remedy
        )
    if named and wanted in TAXA.values() and TAXA.get(named) != wanted:
        raise ScReaderError(
            f"its genes are named like those of {named}.", file=source.name, remedy=remedy
        )
