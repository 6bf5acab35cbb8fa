"""``annotate --markers``: tables of known marker genes, for the genes of the input."""

from __future__ import annotations

from collections.abc import Sequence

from screader_lib.annotation.clusters import read_known_markers
from screader_lib.cells.formats.expression import Expression
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reporting import Reporter
from screader_tools.build_cells_files import InputFiles


def read_markers(
    files: InputFiles, names: Sequence[str], sources: Sequence[Expression], reporter: Reporter
) -> list[CellType]:
    """The cell types of all tables together."""
    paths = [files.path(f"markers_{number}", name) for number, name in enumerate(names, 1)]
    return read_known_markers(paths, names, sources[0].genes.index, reporter)
