"""``build-cells``: expression and gene embeddings to ranked, weighted gene sequences."""

from __future__ import annotations

from contextlib import ExitStack

import click
from click.core import ParameterSource

from screader_lib.command_line.options import FilePath, output_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.option_values import RANKINGS, SELECTIONS, VALUE_KINDS, WEIGHTS
from screader_tools.build_cells_files import Files, embeddings_of, known_of

FROM_LIKE = ("select", "variable_genes", "genes_per_cell", "rank_by", "weight", "medians")


@tool(
    "build-cells",
    examples=[
        "build-cells counts.h5ad -e genes.h5ad --label cell_type -o cells.h5ad",
        "build-cells new.h5ad -e genes.h5ad --like reader.h5 -o new-cells.h5ad",
        "build-cells sample1.h5 sample2/ sample3.h5ad -e genes.h5ad -o cells.h5ad",
        "build-cells counts.h5ad -e genes.h5ad --where 'n_genes>500' -o cells.h5ad",
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
@click.option("--label", metavar="COLUMN", help="Column of the cells that holds their type.")
@click.option(
    "--label-ontology", metavar="COLUMN", help="Column of Cell Ontology ids. [default: usual names]"
)
@click.option("--donor", metavar="COLUMN", help="Column of the donors. [default: usual names]")
@click.option(
    "--gene-column",
    metavar="COLUMN",
    show_default="the index, or a usual column of names that matches more",
    help="Match by this column of the genes.",
)
@click.option(
    "--orthologs",
    type=FilePath(),
    help="Match by orthologs: a table whose first two columns name the genes of two species.",
)
@click.option(
    "--layer",
    metavar="NAME",
    show_default="X; raw where X holds no counts and there is a raw",
    help="Matrix to read: X, raw, or a layer.",
)
@click.option(
    "--values",
    type=click.Choice(VALUE_KINDS),
    default="auto",
    help="What the values are; log is log1p of normalised counts, log2 the same to base 2.",
)
@click.option("--cells", type=FilePath(), help="Text file: only these cells, a name a line.")
@click.option(
    "--where",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="Only cells for which this holds: donor=d1, donor=d1,d2 (one of these), donor!=d1, or for "
    "numbers also <, <=, > and >=, such as 'n_genes>500'. Repeatable; all have to hold.",
)
@click.option(
    "--drop-labels",
    metavar="LABEL",
    multiple=True,
    help="Leave out cells of this label. Repeatable.",
)
@click.option(
    "--min-cells-per-label",
    type=click.IntRange(min=0),
    default=0,
    help="Leave out labels with fewer cells.",
)
@click.option(
    "--like",
    type=FilePath(),
    help="Cells or a reader whose genes, medians and construction to use. Genes of another "
    "species stand for them by their texts.",
)
@click.option(
    "--select", type=click.Choice(SELECTIONS), default="variable", help="Genes to choose from."
)
@click.option(
    "--variable-genes",
    type=click.IntRange(min=1),
    default=3000,
    help="How many most variable genes (--select variable).",
)
@click.option(
    "-k", "--genes-per-cell", type=click.IntRange(min=1), default=2048, help="Most genes a cell."
)
@click.option(
    "--rank-by",
    type=click.Choice(RANKINGS),
    default="median-ratio",
    help="Order of a cell's genes: value, or value over the gene's median.",
)
@click.option(
    "--weight",
    type=click.Choice(WEIGHTS),
    default="log",
    help="Weight of a gene in a cell: log of the normalised value plus one, this value over the "
    "gene's median, this value (per 10,000 counts of the cell), the count as it is, "
    "1 / rank, or 1.",
)
@click.option(
    "--medians",
    type=FilePath(),
    show_default="from the cells, or from --like",
    help="Table of gene and median to rank by.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    show_default="the processors, 8 at most",
    help="Blocks of cells at a time; each takes about 50 MB.",
)
@click.option(
    "--min-mapped",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="Stop where a smaller share of the genes has an embedding, or, with another species, "
    "of the genes of --like is known.",
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
    values: str,
    cells: str | None,
    where: tuple[str, ...],
    drop_labels: tuple[str, ...],
    min_cells_per_label: int,
    like: str | None,
    select: str,
    variable_genes: int,
    genes_per_cell: int,
    rank_by: str,
    weight: str,
    medians: str | None,
    threads: int | None,
    min_mapped: float,
) -> None:
    """Turn the cells of EXPRESSION into ranked, weighted sequences of embedded genes.

    EXPRESSION is an h5ad, a 10x h5, a loom file, an AnnData zarr store or a folder with
    matrix.mtx, with counts or log-normalised values; several become one, their genes may differ.
    Each cell becomes its expressed genes, highest rank first. Ties go to the gene that comes
    first in the vocabulary. With more than 20,000 cells, genes are chosen by, and medians taken
    from, 20,000 of them.
    """
    from screader_lib.cells.across_species import of_other_species, vocabulary_by_texts
    from screader_lib.cells.cell_builder import CellBuilder
    from screader_lib.cells.cell_selection import CellSelection, read_names, select_cells
    from screader_lib.cells.input_file import prepare_input
    from screader_lib.cells.obs_columns import ObsColumns
    from screader_lib.cells.sequences import Construction
    from screader_lib.cells.vocabulary import with_medians

    run.destination(output)
    if like is not None:
        _check_like(run.context)
    columns = ObsColumns(label, label_ontology, donor)
    construction = Construction(select, variable_genes, genes_per_cell, rank_by, weight)
    with ExitStack() as stack:
        files = Files(run, stack)
        sources = files.expression(expression, layer, gene_column)
        listed = None if cells is None else tuple(read_names(files.path("cells", cells), cells))
        choice = CellSelection(listed, cells or "", where, drop_labels, min_cells_per_label)
        chosen = select_cells(sources, choice, columns, run.reporter)
        table = embeddings_of(files.open("embeddings", embeddings, "gene-embeddings"))
        known = None
        if like is not None:
            known = known_of(files.open("like", like, "cells", "reader"))
            construction = known.construction
        files.check_species(sources, chosen, table.genes, orthologs)
        parts = [
            prepare_input(
                source,
                table.genes,
                wanted,
                values,
                min_mapped,
                run.reporter,
                f"{source.name}: " if len(sources) > 1 else "",
            )
            for source, wanted in zip(sources, chosen, strict=True)
        ]
        builder = CellBuilder(parts, table, construction, threads=threads, reporter=run.reporter)
        if known is None:
            vocabulary = builder.learn_vocabulary(min_mapped)
        elif orthologs is None and of_other_species(known, table):
            vocabulary = vocabulary_by_texts(known, table, builder.rows, min_mapped)
        else:
            vocabulary = known.vocabulary(table)
        if medians is not None:
            path = files.path("medians", medians)
            vocabulary, lacking = with_medians(vocabulary, table, path, medians)
            run.reporter.info(f"{lacking:,} genes have no median and are ranked by their value.")
        file = stack.enter_context(run.create("cells", output, files.inputs))
        builder.write(file, vocabulary, columns)


def _check_like(context: click.Context) -> None:
    """UsageError where an option is given that --like decides."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in FROM_LIKE and source is not ParameterSource.DEFAULT:
            hint = option.get_error_hint(context)
            raise click.UsageError(f"{hint}: --like brings its own.", context)
