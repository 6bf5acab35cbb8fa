"""``plot embeddings``: genes in two dimensions, by the embedding of their texts."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from screader_lib.command_line.options import FilePath, input_argument, seed_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.figures import figure_options as options


@tool(
    "plot embeddings",
    examples=[
        "plot embeddings gene-embeddings.h5ad -o genes.png",
        "plot embeddings gene-embeddings.h5ad --descriptions descriptions.h5ad \\\n"
        "--gene INS --gene GCG --gene PRSS1 -o genes.pdf",
    ],
)
@input_argument("embeddings")
@click.option("--descriptions", type=FilePath(), help="Descriptions: more columns to colour by.")
@click.option(
    "--color",
    metavar="COLUMN",
    help="Column that colours the genes. [default: gene_type of the descriptions, else source]",
)
@click.option("--gene", "genes", metavar="NAME", multiple=True, help="Label this gene; repeatable.")
@options.neighbours_option
@options.coordinates_options
@seed_option
@options.figure_options(options.TYPE_PALETTE)
def main(
    run: ToolRun,
    embeddings: str,
    descriptions: str | None,
    color: str | None,
    genes: tuple[str, ...],
    neighbours: int,
    coordinates: str | None,
    seed: int,
    **settings: Any,
) -> None:
    """Draw the UMAP of EMBEDDINGS: genes with similar texts lie close together.

    Genes are coloured by the source of their text or, with --descriptions, by gene type.
    """
    from screader_lib.figures.plots import gene_map, umap_plot

    output = options.PictureOutput(run, settings)
    saved = options.read_coordinates(run, coordinates)
    described = run.open(descriptions, "descriptions") if descriptions else nullcontext()
    with run.open(embeddings, "gene-embeddings") as opened, described as texts:
        panel, column = gene_map.panel(
            opened, descriptions=texts, color=color, saved=saved, seed=seed, neighbours=neighbours
        )
        panel = gene_map.with_names(panel, opened, genes)
    picture = umap_plot.picture([panel], output.style, column=column, unit="gene", seed=seed)
    output.write(picture, [panel])
