"""``build-cells``: expression and gene embeddings to ranked, weighted gene sequences."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from screader_lib.command_line.options import (
    FilePath,
    expression_options,
    minimum_options,
    orthologs_option,
    output_option,
    seed_option,
    threads_option,
    value_options,
)
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.option_values import RANKINGS, SELECTIONS, WEIGHTS
from screader_tools.build_cells_files import InputFiles

if TYPE_CHECKING:
    import numpy as np

    from screader_lib.cells.cell_builder import CellBuilder
    from screader_lib.cells.obs.columns import ObsColumns

SET_BY_LIKE = (
    "genes_of",
    "select",
    "variable_genes",
    "genes_per_cell",
    "rank_by",
    "weight",
    "medians",
    "folds",
    "group_by",
)


@tool(
    "build-cells",
    examples=[
        "build-cells counts.h5ad -e genes.h5ad --label cell_type -o cells.h5ad",
        "build-cells new.h5ad -e genes.h5ad --like reader.h5 -o new-cells.h5ad",
        "build-cells sample1.h5 sample2/ sample3.h5ad -e genes.h5ad -o cells.h5ad",
        "build-cells counts.h5ad -e genes.h5ad --where 'n_genes>500' -o cells.h5ad",
        "build-cells counts.h5ad -e genes.h5ad --label cell_type --group-by donor -o cells.h5ad",
        "build-cells atlas.h5ad -e genes.h5ad --label type --genes-of panel.h5ad -o cells.h5ad",
        "build-cells mouse.h5ad -e mouse-genes.h5ad --like human-reader.h5 -o mouse-cells.h5ad",
        "build-cells mouse.h5ad -e human-genes.h5ad --orthologs mouse2human.csv -o c.h5ad",
        "fetch-descriptions --genes counts.h5ad | embed-genes \\\n"
        "| build-cells counts.h5ad --label cell_type > cells.h5ad",
    ],
)
@click.argument("expression", type=FilePath(), nargs=-1, required=True)
@click.option(
    "-e", "--embeddings", type=FilePath(), default="-", help="Gene embeddings (embed-genes)."
)
@output_option("the cells")
@click.option("--label", metavar="COLUMN", help="Column of obs with the cell types.")
@click.option(
    "--label-ontology",
    metavar="COLUMN",
    show_default="a column of a usual name",
    help="Column of obs with Cell Ontology ids.",
)
@click.option(
    "--donor",
    metavar="COLUMN",
    show_default="a column of a usual name",
    help="Column of obs with the donors.",
)
@expression_options
@orthologs_option()
@value_options("auto; with --like totals or reader if its cells were so")
@click.option(
    "--cells",
    type=FilePath(),
    help="Keep only the cells listed in this text file, one name per line.",
)
@click.option(
    "--where",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="Keep only cells that meet a condition: donor=d1, donor=d1,d2 (one of these), donor!=d1, "
    "or, for numbers, also <, <=, > and >=, such as 'n_genes>500'. Repeatable; all must hold.",
)
@click.option(
    "--drop-labels",
    metavar="LABEL",
    multiple=True,
    help="Drop the cells of this label. Repeatable.",
)
@click.option(
    "--merge-labels",
    is_flag=True,
    help="Merge labels that differ only in upper and lower case, spaces or hyphens, keeping the "
    "most frequent spelling.",
)
@click.option(
    "--min-cells-per-label",
    type=click.IntRange(min=0),
    default=0,
    help="Drop labels with fewer cells.",
)
@minimum_options()
@click.option(
    "--like",
    type=FilePath(),
    metavar="NAME|FILE",
    help="Use the genes, medians and construction of this reader or cells file; a reader may be "
    "named ('screader readers'). Genes of another species are matched to them by text.",
)
@click.option(
    "--genes-of",
    type=FilePath(),
    metavar="QUERY",
    help="Use only genes that this file of cells has, too: for a reader of a panel or of another "
    "laboratory's cells.",
)
@click.option(
    "--select",
    type=click.Choice(SELECTIONS),
    default="variable",
    help="variable: the genes with the largest excess variance; all: every embedded gene.",
)
@click.option(
    "--variable-genes",
    type=click.IntRange(min=1),
    default=3000,
    help="Number of variable genes (--select variable).",
)
@click.option(
    "-k",
    "--genes-per-cell",
    type=click.IntRange(min=1),
    default=2048,
    help="Maximum number of genes per cell.",
)
@click.option(
    "--rank-by",
    type=click.Choice(RANKINGS),
    default="median-ratio",
    help="Rank a cell's genes by value, or by value divided by the gene's median.",
)
@click.option(
    "--weight",
    type=click.Choice(WEIGHTS),
    default="log",
    help="Weight of a gene in a cell: log1p of the normalised value; that value divided by the "
    "gene's median; that value (counts per 10,000); the raw count (expression); 1 / rank; or 1.",
)
@click.option(
    "--medians",
    type=FilePath(),
    show_default="from the cells, or from --like",
    help="Table of genes and the medians to rank by.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Prepare a cross-validation with this many folds: select genes and medians also for each "
    "fold, from the cells outside it, for train-reader --folds to use. As there, folds are "
    "stratified by label, or of whole groups with --group-by.",
)
@click.option(
    "--group-by",
    metavar="COLUMN",
    help="Assign whole groups, such as donors, to folds; one fold per group unless --folds is "
    "given.",
)
@seed_option
@threads_option
@click.option(
    "--min-mapped",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="Fail if a smaller share of an input's genes has an embedding, or if an input has a "
    "smaller share of the genes of --like (with another species: if a smaller share is matched).",
)
@click.option(
    "--check",
    metavar="ORGANISM",
    help="Only check EXPRESSION, as cells of this organism: columns, conditions, kind of values, "
    "size, and the species that the names of the genes are of. Needs no embeddings and writes no "
    "cells: one line for each input and fault, and exit status 1 if there are faults.",
)
def main(
    run: ToolRun,
    expression: tuple[str, ...],
    embeddings: str,
    output: str | None,
    label: str | None,
    label_ontology: str | None,
    donor: str | None,
    gene_column: str | None,
    orthologs: str | None,
    layer: str | None,
    modality: str | None,
    genome: str | None,
    values: str,
    normalise: str | None,
    cells: str | None,
    where: tuple[str, ...],
    drop_labels: tuple[str, ...],
    merge_labels: bool,
    min_cells_per_label: int,
    min_counts: int,
    min_genes: int,
    like: str | None,
    genes_of: str | None,
    select: str,
    variable_genes: int,
    genes_per_cell: int,
    rank_by: str,
    weight: str,
    medians: str | None,
    folds: int | None,
    group_by: str | None,
    seed: int,
    threads: int | None,
    min_mapped: float,
    check: str | None,
) -> None:
    """Turn the cells of EXPRESSION into ranked, weighted sequences of embedded genes.

    EXPRESSION is a file or folder of cells: h5ad, h5mu, 10x h5, loom, AnnData or SpatialData zarr
    store, folder with matrix.mtx, table of counts, or Seurat or SingleCellExperiment object of R,
    also compressed or zipped, with counts or log-normalised values; several are combined, and
    their genes may differ. Each cell becomes its expressed genes, highest rank first. Ties go to
    the gene that comes first in the vocabulary. With more than 20,000 cells, genes are selected
    and medians computed from a sample of 20,000.
    """
    from screader_lib.cells.across_species import vocabulary_by_texts
    from screader_lib.cells.cell_builder import CellBuilder
    from screader_lib.cells.formats.expression import ReadOptions
    from screader_lib.cells.input_file import prepare_input
    from screader_lib.cells.obs.columns import ObsColumns
    from screader_lib.cells.obs.selection import CellSelection, select_cells
    from screader_lib.cells.sequences import Construction
    from screader_lib.cells.vocabulary import with_medians

    if check is None:
        run.output_path(output)
    _check_like(run.context)
    wanted = ReadOptions(layer, gene_column, modality, genome)
    columns = ObsColumns(label, label_ontology, donor, merge_labels)
    construction = Construction(select, variable_genes, genes_per_cell, rank_by, weight)
    with ExitStack() as stack:
        files = InputFiles(run, stack)
        selection = CellSelection(
            files.listed_cells(cells),
            cells or "",
            where,
            drop_labels,
            min_cells_per_label,
            min_counts,
            min_genes,
        )
        if check is not None:
            files.check(expression, wanted, (columns, selection, values, check))
            return
        sources = files.expression(expression, wanted)
        masks = select_cells(sources, selection, columns, run.reporter)
        table = files.embeddings(embeddings)
        reference = None if like is None else files.reference(like)
        files.match_genes(sources, masks, table.genes, orthologs, genes_of)
        by_text = bool(reference and orthologs is None and reference.is_other_species(table))
        means = None if reference is None or by_text else reference.means
        _check_normalise(run.context, normalise, means, reference is not None)
        like_normalise = "auto"
        if reference is not None:
            construction = reference.construction
            like_normalise = reference.normalise(by_text)
        inputs = [
            prepare_input(
                source,
                table.genes,
                mask,
                values,
                normalise or like_normalise,
                min_mapped,
                run.reporter,
                f"{source.name}: " if len(sources) > 1 else "",
                means,
            )
            for source, mask in zip(sources, masks, strict=True)
        ]
        builder = CellBuilder(inputs, table, construction, threads=threads, reporter=run.reporter)
        _plan_folds(run, builder, columns, folds, group_by, seed)
        if reference is None:
            vocabulary = builder.learn_vocabulary(min_mapped)
        elif by_text:
            genes = (table, builder.rows, expression[0])
            vocabulary = vocabulary_by_texts(reference, *genes, min_mapped)
        else:
            vocabulary = builder.like(reference, min_mapped)
        if medians is not None:
            path = files.path("medians", medians)
            vocabulary, missing = with_medians(vocabulary, table, path, medians)
            if missing:
                run.reporter.info(f"{missing:,} genes without a median are ranked by value.")
        file = stack.enter_context(run.create("cells", output, files.inputs))
        builder.write(file, vocabulary, columns)


def _check_normalise(
    context: click.Context, normalise: str | None, means: np.ndarray | None, is_like: bool
) -> None:
    """UsageError for --normalise reader where there are no means of a reader's genes."""
    if normalise == "reader" and means is None:
        what = "its genes' mean values are not known" if is_like else "it needs --like"
        raise click.UsageError(f"--normalise reader: {what}.", context)


def _plan_folds(
    run: ToolRun,
    builder: CellBuilder,
    columns: ObsColumns,
    folds: int | None,
    group_by: str | None,
    seed: int,
) -> None:
    if folds or group_by:
        builder.plan_folds(columns, folds or 0, group_by or "", seed)
    else:
        run.not_recorded |= {"folds", "group_by", "seed"}


def _check_like(context: click.Context) -> None:
    """UsageError for an option that --like, if given, sets."""
    if context.params["like"] is None:
        return
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in SET_BY_LIKE and source is not ParameterSource.DEFAULT:
            hint = option.get_error_hint(context)
            raise click.UsageError(
                f"{hint} cannot be combined with --like, which sets it.", context
            )
