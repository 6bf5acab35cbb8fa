"""``annotate --types``: labels from what is known of types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from screader_lib.annotation.annotate import AnnotationOptions
from screader_lib.annotation.calls import Calls
from screader_lib.annotation.clusters import read_known_markers, write_tsv
from screader_lib.annotation.no_labels.by_types import annotate_by_types
from screader_lib.annotation.no_labels.type_table import NamedType, is_term, read_types
from screader_lib.annotation.sample import SampleOptions
from screader_lib.cells.formats.expression import Expression
from screader_lib.command_line.run import ToolRun
from screader_lib.exchange.provenance import Provenance
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.task import Labels
from screader_tools.build_cells_files import InputFiles


def by_types(
    run: ToolRun,
    files: InputFiles,
    query: tuple[Sequence[Expression], SampleOptions],
    types: tuple[str, ...],
    folder: Path,
    cluster_table: str | None,
    given: Mapping[str, Any],
) -> tuple[Calls, Provenance]:
    """The calls by the types that are named, and what they are made of; the table of evidence."""
    sources, sample = query
    named, tables = types_and_markers(files, types, given["markers"], sources, run)
    made = run.provenance(files.inputs)
    options = AnnotationOptions(given["min_confidence"], clusters=given["clusters"], sample=sample)
    called, evidence = annotate_by_types(
        sources, named, tables, made, folder, options, run.reporter
    )
    if cluster_table is not None:
        write_tsv(evidence, cluster_table)
    return called, made


def types_and_markers(
    files: InputFiles,
    types: tuple[str, ...],
    markers: tuple[str, ...],
    sources: Sequence[Expression],
    run: ToolRun,
    labels: Labels | None = None,
) -> tuple[list[NamedType], list[list[CellType]]]:
    """The types that are named, then a reader's ``labels``, and each table of markers by itself."""
    words = [word for word in types if not is_term(word)]
    paths = {word: files.path(f"types_{number}", word) for number, word in enumerate(words, 1)}
    named = read_types(paths, [word for word in types if is_term(word)], run.reporter, labels)
    genes = sources[0].genes.index
    tables = [
        read_known_markers([files.path(f"markers_{number}", name)], [name], genes, run.reporter)
        for number, name in enumerate(markers, 1)
    ]
    return named, tables
