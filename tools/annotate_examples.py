"""``annotate --examples``: labels from some cells that a person has named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from screader_lib.annotation.annotate import AUTO, AnnotationOptions
from screader_lib.annotation.calls import Calls
from screader_lib.annotation.clusters import write_tsv
from screader_lib.annotation.few_labels.by_examples import annotate_by_examples
from screader_lib.annotation.few_labels.example_table import read_examples
from screader_lib.annotation.few_labels.final_predictions import write_final_predictions
from screader_lib.annotation.sample import SampleOptions
from screader_lib.cells.formats.expression import Expression
from screader_lib.command_line.run import ToolRun
from screader_lib.exchange.provenance import Provenance
from screader_tools.annotate_markers import read_markers
from screader_tools.build_cells_files import InputFiles


def by_examples(
    run: ToolRun,
    files: InputFiles,
    query: tuple[Sequence[Expression], SampleOptions],
    examples: str,
    folder: Path,
    cluster_table: str | None,
    report: str | None,
    given: Mapping[str, Any],
) -> tuple[Calls, Provenance]:
    """The calls, and what they are made of; the clusters' table and the report too."""
    sources, sample = query
    table = read_examples(files.path("examples", examples), examples)
    known_markers = read_markers(files, given["markers"], sources, run.reporter)
    made = run.provenance(files.inputs)
    wants_clusters = cluster_table is not None or report is not None
    options = AnnotationOptions(
        given["min_confidence"], given["min_familiarity"],
        clusters=given["clusters"] or (AUTO if wants_clusters else None),
        known_markers=known_markers, sample=sample,
    )  # fmt: skip
    annotation = annotate_by_examples(sources, table, made, folder, options, run.reporter)
    if cluster_table is not None and annotation.clusters is not None:
        write_tsv(annotation.clusters, cluster_table)
    if report is not None:
        from screader_tools.annotate_report import write_report

        write_final_predictions(annotation, made, folder)
        named = f"{len(table.labels):,} named {table.kind}s"
        write_report(report, annotation, folder, sources, named, run)
    return annotation.calls, made
