"""Parts of ``annotate``: by types or examples instead of a reader; marker tables; the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from screader_lib.annotation import new_h5ad
from screader_lib.annotation.annotate import AUTO, Annotation, AnnotationOptions
from screader_lib.annotation.by_reader.answers import CELLS, PREDICTIONS
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
from screader_lib.exchange.table import Table
from screader_lib.exchange.writing import replacing
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.task import Labels
from screader_tools.annotate_checks import Given
from screader_tools.build_cells_files import InputFiles


@dataclass(frozen=True)
class Work:
    """One run: its ``files``, the cells of ``sources``, read as ``sample`` says, and a folder."""

    run: ToolRun
    given: Given
    files: InputFiles
    sources: Sequence[Expression]
    sample: SampleOptions
    folder: Path

    @property
    def clusters(self) -> str | None:
        """The column of clusters, or ``auto``, as also where only what shows them is wanted."""
        given = self.given
        return given.clusters or (AUTO if given.cluster_table or given.report else None)


def by_types(work: Work) -> tuple[Calls, Provenance]:
    """The calls by the types that are named, and what they are made of; table and report too."""
    given = work.given
    named, tables = types_and_markers(work)
    made = work.run.provenance(work.files.inputs)
    options = AnnotationOptions(given.min_confidence, clusters=given.clusters, sample=work.sample)
    annotation = annotate_by_types(
        work.sources, named, tables, made, work.folder, options, work.run.reporter
    )
    write_clusters(work, annotation.clusters)
    if given.report is not None:
        write_final_predictions(annotation, made, work.folder)
        write_report(work, annotation, f"what is known of {len(named)} types")
    return annotation.calls, made


def types_and_markers(
    work: Work, labels: Labels | None = None
) -> tuple[list[NamedType], list[list[CellType]]]:
    """The types that are named, then a reader's ``labels``, and each table of markers by itself."""
    types, reporter = work.given.types, work.run.reporter
    words = [word for word in types if not is_term(word)]
    paths = {word: work.files.path(f"types_{number}", word) for number, word in enumerate(words, 1)}
    named = read_types(paths, [word for word in types if is_term(word)], reporter, labels)
    genes = work.sources[0].genes.index
    tables = [
        read_known_markers([path], [name], genes, reporter)
        for name, path in zip(work.given.markers, _marker_paths(work), strict=True)
    ]
    return named, tables


def by_examples(work: Work) -> tuple[Calls, Provenance]:
    """The calls, and what they are made of; the clusters' table and the report too."""
    run, given, examples = work.run, work.given, work.given.examples or ""
    table = read_examples(work.files.path("examples", examples), examples)
    known_markers = read_markers(work)
    made = run.provenance(work.files.inputs)
    options = AnnotationOptions(
        given.min_confidence, given.min_familiarity, clusters=work.clusters,
        known_markers=known_markers, sample=work.sample,
    )  # fmt: skip
    annotation = annotate_by_examples(work.sources, table, made, work.folder, options, run.reporter)
    write_clusters(work, annotation.clusters)
    if given.report is not None:
        write_final_predictions(annotation, made, work.folder)
        write_report(work, annotation, f"{len(table.labels):,} named {table.kind}s")
    return annotation.calls, made


def _marker_paths(work: Work) -> list[Path]:
    markers = enumerate(work.given.markers, 1)
    return [work.files.path(f"markers_{number}", name) for number, name in markers]


def read_markers(work: Work) -> list[CellType]:
    """The cell types of all tables together."""
    genes = work.sources[0].genes.index
    return read_known_markers(_marker_paths(work), work.given.markers, genes, work.run.reporter)


def write_clusters(work: Work, clusters: Table | None) -> None:
    """The clusters as a table, where one is wanted."""
    if work.given.cluster_table is not None and clusters is not None:
        write_tsv(clusters, work.given.cluster_table)


def write_report(
    work: Work, annotation: Annotation, called_by: str, reader: ExchangeFile | None = None
) -> None:
    """The report of the ``cells`` and ``predictions`` files in ``folder``, of the final labels."""
    from screader_lib.figures.data.prediction_data import PredictionData
    from screader_lib.figures.report.cell_map import MapInputs
    from screader_lib.figures.report.report import ReportInputs, build
    from screader_tools.figures.command_words import command_words

    sources, folder = work.sources, work.folder
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
        page = build(inputs, title=title, words=command_words, reporter=work.run.reporter)
    with replacing(work.given.report or "") as temporary:
        temporary.write_text(page, "utf-8")
