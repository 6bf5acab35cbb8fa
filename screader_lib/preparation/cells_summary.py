"""What is in a user's own file of cells, in words, and what would stop it as a sample.

Nothing is computed, and no embeddings are needed: at most a block of cells with values is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from screader_lib.cells import normalisation
from screader_lib.cells.across_species import organisms_of
from screader_lib.cells.formats.expression import DEFAULTS, Expression, ReadOptions
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.input_file import naming_layers
from screader_lib.cells.obs.columns import ObsColumns
from screader_lib.cells.obs.labels import Labels, is_known
from screader_lib.cells.obs.selection import CellSelection, select_cells
from screader_lib.errors import ScReaderError
from screader_lib.exchange.summary import MAX_VALUES, human_size
from screader_lib.exchange.table import LazyTable
from screader_lib.genes.records import organism_of
from screader_lib.genes.spelling import species_of_names
from screader_lib.preparation.marker_tables import TAXA
from screader_lib.reporting import counted

MOST_LABELS = 1_000
EXAMPLES = 3


def describe_cells(path: Path, name: str) -> Iterator[str]:
    """Lines: format, cells and genes, species, matrices and values, columns that may be labels.

    ScReaderError where the file is none of cells.
    """
    with open_expression(path, name, DEFAULTS) as source:
        size = f", {human_size(path.stat().st_size)}" if path.is_file() else ""
        cells, genes = len(source.obs), len(source.genes)
        yield f"{name}: {source.format}{size}"
        yield f"{counted(cells, 'cell')} × {counted(genes, 'gene')}"
        yield ""
        examples = ", ".join(source.genes.index[:EXAMPLES])
        species = source.species or source.organism or "not clear from the names"
        yield f"  genes     {examples}, …; species: {species}"
        if source.left_out:
            yield f"            left out: {source.left_out}"
        matrices = source.matrices or (source.matrix_name,)
        yield from _columns(source.obs)
    for matrix in matrices:
        yield f"  {matrix or 'matrix':<9} {_values(path, name, matrix)}"
    yield ""
    yield f"To label its cells: screader annotate {name} -r READER -o OUTPUT.h5ad"
    yield "('screader readers' lists readers); to train one: build-cells, then train-reader."


def _values(path: Path, name: str, matrix: str) -> str:
    """What a matrix holds, by the first cells that have any value."""
    try:
        with open_expression(path, name, ReadOptions(layer=matrix or None)) as source:
            return _kind(source)
    except ScReaderError as error:
        return str(error).removeprefix(f"{name}: ")


def _kind(source: Expression) -> str:
    block = normalisation.first_values(source.read(*span) for span in source.spans())
    if block is None:
        return "zeros only"
    lowest, highest = block.data.min(), block.data.max()
    between = f"{lowest:g} to {highest:g}, {block.data.dtype}"
    if lowest < 0:
        return f"scaled: negative values ({between})"
    try:
        kind = normalisation.detect_kind(block, "auto", source.name, source.log_base)
    except ScReaderError as error:
        return f"of no kind that is known: {str(error).removeprefix(f'{source.name}: ')}"
    return f"{normalisation.KIND_NAMES[kind]} ({between})"


def _columns(obs: LazyTable) -> Iterator[str]:
    """Columns with a few texts, each often, with their values, then the names of the others."""
    others = []
    for name, column in obs.columns.items():
        counts = Labels.of(column).counts if column.is_string else Counter[str]()
        if not 2 <= len(counts) <= min(MOST_LABELS, len(obs) // 2):
            others.append(name)
            continue
        listed = counts.most_common(MAX_VALUES)
        values = ", ".join(f"{value or '(missing)'} {number:,}" for value, number in listed)
        more = f" and {len(counts) - len(listed)} more" if len(counts) > len(listed) else ""
        yield f"  obs/{name}: {len(counts)} values: {values}{more}"
    if others:
        yield f"  other columns of obs: {', '.join(others)}"


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
