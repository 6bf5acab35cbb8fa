"""``annotate``: the cells of a file, labelled by a reader, in a copy of that file."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib.command_line.options import (
    FilePath,
    OutputPath,
    expression_options,
    minimum_options,
    orthologs_option,
    threads_option,
    value_options,
)
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.errors import ScReaderError
from screader_tools.annotate_checks import Given, check_labels_from, check_outputs
from screader_tools.annotate_samples import IsDone, annotate_each, are_named_after_inputs
from screader_tools.machine_options import machine_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from screader_lib.annotation.by_reader.answers import LoadedReader
    from screader_lib.annotation.calls import Calls
    from screader_lib.cells.formats.expression import Expression
    from screader_lib.exchange.provenance import Provenance, Record
    from screader_tools.annotate_parts import Work

CELLS_OF_REFERENCE = 1_000  # of each label; see benchmarks/training_many_cells.md


@tool(
    "annotate",
    examples=[
        "annotate counts.h5ad --reader human-pancreas -o annotated.h5ad",
        "annotate filtered_feature_bc_matrix.h5 -r human-blood --calls calls.csv",
        "annotate my.h5ad -r reader.h5 --in-place",
        "annotate my.h5ad --reference atlas.h5ad --label cell_type -o annotated.h5ad",
        "annotate mouse.h5ad -r human-pancreas --min-confidence 0.8 -o annotated.h5ad",
        "annotate sample1/ sample2/ -r human-blood -o annotated.h5ad --calls calls.tsv",
        "annotate samples/*.h5ad -r human-blood -o 'annotated/{name}.h5ad'",
        "annotate my.h5ad -r human-blood --clusters leiden --cluster-table clusters.tsv \\\n"
        "--report report.html -o annotated.h5ad",
        "annotate my.h5ad --examples a-few-cells.csv -o annotated.h5ad",
        "annotate my.h5ad --examples named-clusters.csv --clusters leiden -o annotated.h5ad",
        "annotate my.h5ad --types types.csv --markers PanglaoDB.tsv.gz -o annotated.h5ad",
        'annotate my.h5ad --types "cl:B cell" --types cl:0000084 --types cl:monocyte \\\n'
        "--cluster-table evidence.tsv -o annotated.h5ad",
        "annotate my.h5ad -r human-pancreas --types types.csv -o annotated.h5ad",
    ],
)
@click.argument("expression", type=FilePath(), nargs=-1, required=True)
@click.option(
    "-r",
    "--reader",
    metavar="NAME|FILE",
    help="A reader by name (see 'screader readers'), or its file (train-reader).",
)
@click.option(
    "--examples",
    type=FilePath(),
    metavar="TABLE",
    help="Instead of a reader: the labels of a few cells of EXPRESSION, or of some of its clusters "
    "(then with --clusters COLUMN), as .csv or .tsv with columns cell (or cluster) and label; for "
    "example the table saved from the report. One cell of each type will do; cells similar to none "
    "of them stay unlabelled.",
)
@click.option(
    "--types",
    metavar="TABLE|cl:TERM",
    multiple=True,
    help="Without any label: the types that cells may be of, identified by their markers (of TABLE "
    "and --markers) and by what is written about them and about genes. TABLE, .csv or .tsv, has "
    "the column type and optionally ontology_id, markers, negative_markers and text; TERM is an id "
    "or a name of the Cell Ontology. Repeatable. Beside a reader, they are proposed for cells "
    "that are unlike all of its types.",
)
@click.option(
    "--reference",
    type=FilePath(),
    multiple=True,
    help="Labelled reference cells to train a reader on, instead of --reader: on at most 1,000 of "
    "each label, drawn evenly from the donors. Repeatable.",
)
@click.option("--label", metavar="COLUMN", help="Column of obs with the reference's labels.")
@click.option(
    "--donor",
    metavar="COLUMN",
    show_default="donor_id or donor, if there",
    help="Column of obs with the reference's donors, on whom confidence is calibrated.",
)
@click.option(
    "--shared-genes",
    is_flag=True,
    help="Learn only genes of the reference that EXPRESSION has: better for a panel of the same "
    "technology, worse for cells of another (benchmarks/annotate.md).",
)
@click.option(
    "--keep-reader",
    type=OutputPath(),
    metavar="FILE",
    help="Also write the reader that was trained on the reference.",
)
@click.option(
    "-o",
    "--output",
    type=OutputPath(),
    help="The h5ad to write: all that the input holds, with the calls in it.",
)
@click.option("--in-place", is_flag=True, help="Add the calls to the input itself (one h5ad).")
@click.option(
    "--no-vectors",
    is_flag=True,
    help="Leave out the reader's vector of each cell, obsm/X_screader of the h5ad, which is for "
    "maps and neighbours. That is faster, and the file is smaller.",
)
@click.option(
    "--calls",
    type=OutputPath(),
    metavar="TABLE",
    help="Also, or only, write the calls as a table: .csv, .tsv (also .gz) or .parquet.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="Give cells with a lower confidence the finest broader type that reaches it, or none.",
)
@click.option(
    "--min-familiarity",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Give no label to cells whose familiarity is lower: the share of the reader's held-out "
    "cells that are no more familiar to it; with --examples, the cosine to the nearest example.",
)
@click.option(
    "--consensus",
    type=click.Choice(["auto", "none"]),
    default="auto",
    help="auto: from 50 cells, also a consensus of each cell with its nearest neighbours, in "
    "columns of its own.",
)
@click.option(
    "--clusters",
    metavar="COLUMN|auto",
    show_default="auto with --cluster-table or --report, else none",
    help="Also report each cluster's types, the genes supporting them and what to check, in "
    "uns/screader/clusters. Clusters are those of a column of obs; auto finds them (Leiden) and "
    "writes screader_cluster.",
)
@click.option(
    "--cluster-table", type=OutputPath(), metavar="TSV", help="Write the clusters here as well."
)
@click.option(
    "--markers",
    type=FilePath(),
    multiple=True,
    help="Table of known marker genes to compare with the genes behind the clusters' types, or, "
    "with --types, to identify the types by: PanglaoDB, CellMarker, or columns cell_type and gene. "
    "Repeatable.",
)
@click.option(
    "--report",
    type=OutputPath(),
    metavar="HTML",
    help="Write a report in one HTML file: a map of the cells to explore, to select cells in and "
    "to name them; clusters with the genes behind them; the cells with the lowest confidence.",
)
@expression_options
@orthologs_option("by name, ignoring upper and lower case where few names are the reader's")
@value_options("as the reader's cells")
@minimum_options()
@click.option(
    "--force",
    is_flag=True,
    help="Annotate a sample even though it is rejected (another tissue, or hardly any of the "
    "reader's genes); the status of its cells is 'doubtful'.",
)
@click.option("--llm", metavar="NAME", help="Where to find the LLM of a reader that needs one.")
@machine_options
@threads_option
def main(run: ToolRun, **given: Any) -> None:
    """Label the cells of EXPRESSION, and write them into a copy of it.

    EXPRESSION is what build-cells reads: h5ad, h5mu, 10x h5, loom, AnnData or SpatialData zarr
    store, folder with matrix.mtx, table of counts, or Seurat or SingleCellExperiment object of R,
    also compressed or zipped. Several become one h5ad, or, where {name} is in the names of all
    outputs, each has outputs of its own. Outputs that were made before from the same files with the
    same options are left as they are, and a sample that cannot be annotated does not stop the
    others. No gene embeddings are needed: the reader knows its genes by all their names.

    Labels come from a reader that was trained before (--reader); from labelled cells (--reference,
    --label), on which one is trained first; from a few cells of the file itself (--examples); or
    from what is known of the types (--types).

    The columns of obs are screader_label (a broader type, or missing, where no label is confident
    enough), screader_confidence, screader_familiarity, screader_status, screader_ontology_id, broad
    types as screader_label_1 and so on, and screader_consensus_label with its confidence. A cell's
    own label depends on that cell alone; the consensus also on its nearest neighbours. What an
    earlier run added is kept under other names. With --examples, a cell's label depends on all
    cells of the file, and its familiarity is the cosine to the nearest example. With --types, it
    depends on the group of like cells that a cell is in; screader_evidence says by how many
    standard errors the genes of its type are higher there than chance gives, and below 2 the status
    is unassigned; uns/screader/clusters has a row for each group, with the genes that made the
    call.

    With both a reader and --types, the nearest of the types that the reader does not know is
    proposed for cells that are unlike all of its own, in screader_proposed_type with its confidence
    and evidence; the reader's own columns stay as they are.
    """
    asked = Given(**given)
    check_outputs(run, asked)
    check_labels_from(run, asked)
    _check_packages(asked)
    if asked.calls is not None:
        from screader_lib.annotation.calls_table import table_kind

        table_kind(asked.calls)
    with ExitStack() as stack:
        readers = Readers(stack)

        def annotate_one(one: ToolRun, is_done: IsDone) -> Calls | None:
            return _annotate(one, Given(**one.context.params), readers, is_done)

        if are_named_after_inputs(run.context.params):
            annotate_each(run, asked.expression, annotate_one)
        else:
            annotate_one(run, lambda made: False)


class Readers:
    """Readers that were opened and loaded, until ``stack`` ends."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.loaded: dict[Path, LoadedReader] = {}

    def load(self, path: Path, name: str, given: Given) -> LoadedReader:
        """The reader in a file, loaded once."""
        from screader_lib.annotation.by_reader.answers import LoadedReader
        from screader_lib.exchange.opening import open_exchange
        from screader_lib.reader.llm.machine import prepare
        from screader_lib.reader.reader_file import read_reader

        if path not in self.loaded:
            file = self.stack.enter_context(open_exchange(path, "reader", name=name))
            machine = prepare(*given.machine, needs_torch=read_reader(file).needs_torch)
            self.loaded[path] = LoadedReader(file, machine, given.llm)
        return self.loaded[path]


def _annotate(
    run: ToolRun,
    given: Given,
    readers: Readers,
    is_done: IsDone,
) -> Calls | None:
    """The calls of a file or several, written; None where ``is_done`` says that they are."""
    from screader_lib.annotation import annotated_file, new_h5ad
    from screader_lib.annotation.annotate import AUTO
    from screader_lib.annotation.sample import SampleOptions, check_clusters
    from screader_lib.cells.formats.expression import ReadOptions
    from screader_tools.annotate_parts import Work, by_examples, by_types
    from screader_tools.build_cells_files import InputFiles

    with ExitStack() as stack:
        files = InputFiles(run, stack)
        sources = files.expression(
            given.expression, ReadOptions(given.layer, None, given.modality, given.genome)
        )
        whole = sources[0].anndata_path if len(sources) == 1 else None
        opened = whole.stat() if whole is not None else None
        if given.in_place and (whole != Path(given.expression[0]) or whole.is_dir()):
            raise ScReaderError(
                f"is not an h5ad to add to ({sources[0].format}).",
                file=given.expression[0],
                remedy="Write one: -o OUT.h5ad instead of --in-place.",
            )
        if given.clusters not in (None, AUTO):
            check_clusters(sources, given.clusters)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screader-")))
        orthologs = given.orthologs and files.path("orthologs", given.orthologs)
        sample = SampleOptions(
            given.values, given.normalise, given.min_counts, given.min_genes,
            orthologs, given.threads, given.gene_column,
        )  # fmt: skip
        work = Work(run, given, files, sources, sample, folder)
        if given.examples is not None:
            called, made = by_examples(work)
        elif given.has_reader:
            of_reader = _by_reader(work, readers, is_done)
            if of_reader is None:
                return None
            called, made = of_reader
        else:
            called, made = by_types(work)
        _write_calls(run, sources, called, given.calls)
        target = given.expression[0] if given.in_place else given.output
        if target is None:
            return called
        if whole is not None:
            annotated_file.write_annotated(
                whole, target, called, made,
                name=sources[0].name, opened=opened, reporter=run.reporter,
            )  # fmt: skip
        else:
            new_h5ad.write_new(sources, target, called, made, reporter=run.reporter)
        return called


def _by_reader(work: Work, readers: Readers, is_done: IsDone) -> tuple[Calls, Provenance] | None:
    """The calls by a reader, and what they are made of; the clusters' table and the report too.

    None where ``is_done`` says that outputs so made are there.
    """
    from screader_lib.annotation.annotate import AnnotationOptions, annotate
    from screader_lib.annotation.final_predictions import store_final_labels
    from screader_lib.annotation.no_labels.proposed_types import with_proposed_types
    from screader_lib.readers.fetching import find_reader
    from screader_tools.annotate_parts import (
        read_markers,
        types_and_markers,
        write_clusters,
        write_report,
    )

    run, given, sources, folder = work.run, work.given, work.sources, work.folder
    if given.reader is not None:
        path = find_reader(given.reader, reporter=run.reporter)
    else:
        path = _train(work)
    known = readers.load(path, given.reader or Path(given.reference[0]).name, given)
    if given.types:
        named = types_and_markers(work, known.stored.labels)
    inputs = {**work.files.inputs, "reader": known.file}
    made = cache(lambda: run.provenance(inputs))  # waits until all inputs are hashed
    if is_done(made):
        return None
    options = AnnotationOptions(
        given.min_confidence, given.min_familiarity, given.consensus, work.clusters,
        read_markers(work), given.force, work.sample,
        vectors=not given.no_vectors and (given.in_place or given.output is not None),
        keeps_files=given.report is not None,
    )  # fmt: skip
    annotation = annotate(sources, known, made, folder, options, run.reporter)
    trained_on = {sha256 for step in known.file.steps for sha256 in _expression(step)}
    if trained_on.intersection(_expression(made().record)):
        run.reporter.info(
            f"{known.file.name} was trained on cells of this file: what it says of them does not "
            "show how often it is right on others."
        )
    if given.types:
        annotation = with_proposed_types(
            annotation, sources, named, made(), folder, options, run.reporter
        )
    write_clusters(work, annotation.clusters)
    if given.report is not None:
        store_final_labels(annotation, folder)
        write_report(work, annotation, known.file.name, known.file)
    return annotation.calls, made()


def _expression(step: Record) -> Iterator[str]:
    """SHA-256 of the files of expression that a step read."""
    for role, one in step.inputs.items():
        if role.startswith("expression"):
            yield one["sha256"]


def _train(work: Work) -> Path:
    """A reader of the reference's cells, if wanted for the genes of the query alone."""
    from screader_lib.annotation.reference import ReferenceOptions, train_on
    from screader_lib.cells.obs.columns import ObsColumns
    from screader_lib.exchange.writing import replacing
    from screader_lib.reader.llm.machine import prepare

    given = work.given
    machine = prepare(*given.machine)
    options = ReferenceOptions(
        ObsColumns(given.label, None, given.donor), provider="tfidf", threads=given.threads,
        settings={"cells_per_label": CELLS_OF_REFERENCE},
    )  # fmt: skip
    cells = work.files.expression(given.reference, role="reference")
    path = work.folder / "trained-reader.h5"
    sources = work.sources if given.shared_genes else ()
    train_on(cells, path, work.folder, options, sources, work.sample, machine, work.run.reporter)
    if given.keep_reader is not None:
        with replacing(given.keep_reader) as temporary:
            shutil.copyfile(path, temporary)
    return path


def _check_packages(given: Given) -> None:
    """ScReaderError, before the work, where what clusters or a report need is missing."""
    from screader_lib.annotation.annotate import AUTO
    from screader_lib.annotation.clusters import import_igraph

    by_default = given.report or given.cluster_table
    wants_clusters = given.clusters == AUTO or (given.clusters is None and by_default)
    if wants_clusters and (given.has_reader or given.examples):  # types have their own groups
        import_igraph()
    if given.report is None:
        return
    from screader_lib.figures.data.projection import import_umap
    from screader_lib.figures.drawing.canvas import require

    require("jinja2")
    require("matplotlib")
    import_umap()


def _write_calls(
    run: ToolRun, sources: Sequence[Expression], called: Calls, calls: str | None
) -> None:
    """The table, where one is wanted, and how calls get into the object of R that was read."""
    if calls is not None:
        from screader_lib.annotation import calls_table, new_h5ad

        names = new_h5ad.cells_of(sources).index
        calls_table.write_calls(calls, names, called.columns())
    line = sources[0].how_to_add if len(sources) == 1 else ""
    if line and calls is None:
        run.reporter.info("--calls TABLE writes a table that R can add to the object.")
    elif line:
        from screader_lib.annotation.calls_table import read_in_r

        run.reporter.info(f"in R: {line.format(calls=read_in_r(calls or ''))}")
