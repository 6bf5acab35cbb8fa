"""Describe a user's own file of cells in words: what is in it, and what its matrices hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from screader_lib.cells import normalisation
from screader_lib.cells.formats.expression import USUAL, Expression, Wanted
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.obs.labels import Labels
from screader_lib.errors import ScReaderError
from screader_lib.exchange.summary import MAX_VALUES, human_size
from screader_lib.exchange.table import LazyTable
from screader_lib.reporting import counted

MOST_LABELS = 1_000
EXAMPLES = 3


def describe_cells(path: Path, name: str) -> Iterator[str]:
    """Lines: format, cells and genes, species, matrices and values, columns that may be labels.

    ScReaderError where the file is none of cells.
    """
    with open_expression(path, name, USUAL) as source:
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
        with open_expression(path, name, Wanted(layer=matrix or None)) as source:
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
