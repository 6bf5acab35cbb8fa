"""Parts of ``annotate``: by types or examples instead of a reader; marker tables; the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from screader_lib.annotation import new_h5ad
from screader_lib.annotation.annotate import AUTO, CELLS, PREDICTIONS, Annotation, AnnotationOptions
from screader_lib.annotation.calls import Calls
from screader_lib.annotation.clusters import read_known_markers, write_tsv
from screader_lib.annotation.few_labels.by_examples import annotate_by_examples
from screader_lib.annotation.few_labels.example_table import read_examples
from screader_lib.annotation.final_predictions import write_final_predictions
from screader_lib.annotation.no_labels.by_types import annotate_by_types
from screader_lib.annotation.no_labels.type_table import NamedType, is_term, read_types
from screader_lib.annotation.sample import SampleOptions
from screader_lib.cells.formats.expression import Expression
from screader_lib.command_line.run import ToolRun
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.exchange.provenance import Provenance
from screader_lib.exchange.writing import replacing
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.task import Labels
from screader_lib.reporting import Reporter
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
        write_final_predictions(annotation, made, folder)
        named = f"{len(table.labels):,} named {table.kind}s"
        write_report(report, annotation, folder, sources, named, run)
    return annotation.calls, made


def read_markers(
    files: InputFiles, names: Sequence[str], sources: Sequence[Expression], reporter: Reporter
) -> list[CellType]:
    """The cell types of all tables together."""
    paths = [files.path(f"markers_{number}", name) for number, name in enumerate(names, 1)]
    return read_known_markers(paths, names, sources[0].genes.index, reporter)


def write_report(
    path: str,
    annotation: Annotation,
    folder: Path,
    sources: Sequence[Expression],
    called_by: str,
    run: ToolRun,
    reader: ExchangeFile | None = None,
) -> None:
    """The report of the ``cells`` and ``predictions`` files in ``folder``, of the final labels."""
    from screader_lib.figures.data.prediction_data import PredictionData
    from screader_lib.figures.report.cell_map import MapInputs
    from screader_lib.figures.report.report import ReportInputs, build
    from screader_tools.figures.command_words import command_words

    obs, rows = new_h5ad.cells_of(sources), annotation.calls.rows
    called = obs if rows is None else obs.take(rows)
    on_map = MapInputs(called.index, annotation.calls.obs, called.columns)
    named = sources[0].name if len(sources) == 1 else f"{len(sources)} files"
    with (
        open_exchange(folder / PREDICTIONS, "predictions") as predictions,
        open_exchange(folder / CELLS, "cells") as cells,
    ):
        inputs = ReportInputs(
            PredictionData(predictions), reader, cells, clusters=annotation.clusters, on_map=on_map
        )
        title = f"{Path(named).name}: {len(inputs.predictions):,} cells labelled by {called_by}"
        page = build(inputs, title=title, words=command_words, reporter=run.reporter)
    with replacing(path) as temporary:
        temporary.write_text(page, "utf-8")
