"""``build-cells``: expression and gene embeddings to ranked, weighted gene sequences."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from screader_lib.cells.choices import RANKINGS, SELECTIONS, VALUE_KINDS, WEIGHTS
from screader_lib.command_line.options import FilePath, output_option
from screader_lib.command_line.run import Run
from screader_lib.command_line.tool import tool

if TYPE_CHECKING:
    from pathlib import Path

    from screader_lib.cells.vocabulary import Embeddings, Known
    from screader_lib.exchange.opening import ExchangeFile


@tool(
    "build-cells",
    examples=[
        "build-cells counts.h5ad -e genes.h5ad --label cell_type -o cells.h5ad",
        "build-cells new.h5ad -e genes.h5ad --like reader.h5 -o new-cells.h5ad",
        "fetch-descriptions --genes counts.h5ad | embed-genes \\\n"
        "| build-cells counts.h5ad --label cell_type > cells.h5ad",
    ],
)
@click.argument("expression", type=FilePath())
@click.option(
    "-e", "--embeddings", type=FilePath(), default="-", help="Gene embeddings (embed-genes)."
)
@output_option("the cells")
@click.option("--label", metavar="COLUMN", help="Column of the cells that holds their type.")
@click.option(
    "--label-ontology", metavar="COLUMN", help="Column of Cell Ontology ids. [default: usual names]"
)
@click.option("--donor", metavar="COLUMN", help="Column of the donors. [default: usual names]")
@click.option("--gene-column", metavar="COLUMN", help="Match by this column of the genes.")
@click.option("--layer", metavar="NAME", help="Layer to read instead of X; 'raw' is raw.X.")
@click.option(
    "--values",
    type=click.Choice(VALUE_KINDS),
    default="auto",
    help="What the values are; log is log1p of normalised counts.",
)
@click.option("--cells", type=FilePath(), help="Text file: only these cells, a name a line.")
@click.option(
    "--like",
    type=FilePath(),
    help="Cells or a reader whose genes, medians and construction to use.",
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
    "--weight", type=click.Choice(WEIGHTS), default="log", help="Weight of a gene in a cell."
)
@click.option(
    "--min-mapped",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="Stop where a smaller share of the genes has an embedding.",
)
def main(
    run: Run,
    expression: str,
    embeddings: str,
    output: str | None,
    label: str | None,
    label_ontology: str | None,
    donor: str | None,
    gene_column: str | None,
    layer: str | None,
    values: str,
    cells: str | None,
    like: str | None,
    select: str,
    variable_genes: int,
    genes_per_cell: int,
    rank_by: str,
    weight: str,
    min_mapped: float,
) -> None:
    """Turn the cells of EXPRESSION into ranked, weighted sequences of embedded genes.

    EXPRESSION is an h5ad, a 10x h5, a loom file or a folder with matrix.mtx, with counts or
    log-normalised values. Each cell becomes its expressed genes, highest rank first. Ties go
    to the gene that comes first in the vocabulary. With more than 20,000 cells, medians are
    taken from 20,000 of them.
    """
    from screader_lib.cells.annotation import Columns, listed_cells, read_list
    from screader_lib.cells.building import CellBuilder
    from screader_lib.cells.formats import open_expression
    from screader_lib.cells.parts import make_part
    from screader_lib.cells.sequences import Construction

    columns = Columns(label, label_ontology, donor)
    construction = Construction(select, variable_genes, genes_per_cell, rank_by, weight)
    with ExitStack() as stack:
        path = stack.enter_context(run.path(expression))
        shown = "standard input" if expression == "-" else expression
        source = stack.enter_context(
            open_expression(path, shown, layer=layer, gene_column=gene_column)
        )
        run.hash_ahead(path)
        columns.found_in(source.obs, shown)
        genes = stack.enter_context(run.open(embeddings, "gene-embeddings"))
        inputs: dict[str, ExchangeFile | Path] = {"expression": path, "embeddings": genes}
        known = None
        if like is not None:
            other = stack.enter_context(run.open(like, "cells", "reader"))
            inputs["like"] = other
            known = _known(other)
            construction = known.construction
        chosen = None
        if cells is not None:
            list_path = stack.enter_context(run.path(cells))
            inputs["cells"] = list_path
            wanted = read_list(list_path, cells)
            chosen = listed_cells(source.obs.index, wanted, shown, cells)
        table = _embeddings(genes)
        part = make_part(
            source,
            table.genes,
            chosen=chosen,
            value_kind=values,
            min_mapped=min_mapped,
            reporter=run.reporter,
        )
        builder = CellBuilder([part], table, construction, reporter=run.reporter)
        vocabulary = known.vocabulary(table) if known else builder.learn_vocabulary()
        file = stack.enter_context(run.create("cells", output, inputs))
        builder.write(file, vocabulary, columns)


def _embeddings(opened: ExchangeFile) -> Embeddings:
    from screader_lib.cells.vocabulary import Embeddings
    from screader_lib.exchange import encoding

    uns = opened.file["uns"]
    identity = {
        "model": encoding.read_text(uns, "model"),
        "provider": encoding.read_text(uns, "provider"),
        "dim": int(uns["dim"][()]),
        "sha256": opened.sha256,
    }
    genes = encoding.read_table(opened.file["obs"])
    return Embeddings(opened.name, genes, opened.file["X"], identity)


def _known(opened: ExchangeFile) -> Known:
    from screader_lib.cells.sequences import Construction
    from screader_lib.cells.vocabulary import Known
    from screader_lib.exchange import encoding

    file = opened.file
    if opened.kind == "reader":
        group, content = file["genes"], encoding.read_json(file, "construction")
    else:
        group, content = file["var"], encoding.read_json(file["uns"], "construction")
    construction = Construction.from_json(content, opened.name)
    ids = encoding.read_strings(group["id"])
    return Known(opened.name, ids, group["median"][()], construction)
