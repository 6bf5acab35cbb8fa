"""``plot embeddings``: genes in two dimensions, by the embedding of their texts."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from screader_lib.command_line.options import FilePath, input_argument, seed_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool
from screader_tools.pictures.picture_options import (
    TYPE_PALETTE,
    coordinate_options,
    given_coordinates,
    looks,
    neighbours_option,
    picture_options,
    target,
    write,
)


@tool(
    "plot embeddings",
    examples=[
        "plot embeddings gene-embeddings.h5ad -o genes.png",
        "plot embeddings gene-embeddings.h5ad --descriptions descriptions.h5ad \\\n"
        "--gene INS --gene GCG --gene PRSS1 -o genes.pdf",
    ],
)
@input_argument("embeddings")
@click.option("--descriptions", type=FilePath(), help="Descriptions: columns to colour by.")
@click.option(
    "--color",
    metavar="COLUMN",
    help="Column that colours the genes. [default: gene_type of the descriptions, else source]",
)
@click.option("--gene", "genes", metavar="NAME", multiple=True, help="Name this gene; repeatable.")
@neighbours_option
@coordinate_options
@seed_option
@picture_options(TYPE_PALETTE)
def main(
    run: ToolRun,
    embeddings: str,
    descriptions: str | None,
    color: str | None,
    genes: tuple[str, ...],
    neighbors: int,
    coordinates: str | None,
    seed: int,
    **settings: Any,
) -> None:
    """Draw the genes of EMBEDDINGS so that genes with like texts lie together.

    Genes are coloured by where their text came from or, with --descriptions, by their type.
    """
    from screader_lib.figures.plots import gene_map
    from screader_lib.figures.plots.umap_plot import picture

    where = target(run, settings)
    given = given_coordinates(run, coordinates)
    described = run.open(descriptions, "descriptions") if descriptions else nullcontext()
    with run.open(embeddings, "gene-embeddings") as opened, described as texts:
        panel, column = gene_map.panel(
            opened, descriptions=texts, color=color, given=given, seed=seed, neighbours=neighbors
        )
        panel = gene_map.with_names(panel, opened, genes)
    made = picture([panel], looks(settings), what=column, points="gene", seed=seed)
    write(run, made, where, settings, [panel])
