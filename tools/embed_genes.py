"""``embed-genes``: gene texts to one vector per gene."""

from __future__ import annotations

import click

from screader_lib.command_line.options import input_argument, output_option
from screader_lib.command_line.run import Run
from screader_lib.command_line.tool import tool

PROVIDERS = ["packaged", "sentence-transformers", "hidden-states"]


@tool(
    "embed-genes",
    examples=[
        "embed-genes descriptions.h5ad -o gene-embeddings.h5ad",
        "fetch-descriptions --genes counts.h5ad | embed-genes -o gene-embeddings.h5ad",
        "embed-genes descriptions.h5ad --model sentence-transformers/all-mpnet-base-v2 -o e.h5ad",
        "embed-genes descriptions.h5ad --provider hidden-states --model ./llm -o e.h5ad",
    ],
)
@input_argument("descriptions")
@output_option("the gene embeddings")
@click.option(
    "--provider",
    type=click.Choice(PROVIDERS),
    show_default="packaged; with --model: sentence-transformers",
    help="Who computes the vectors.",
)
@click.option("--model", metavar="ID|FOLDER", help="Hugging Face id or folder of the model.")
@click.option(
    "--missing",
    type=click.Choice(["mean", "zero", "drop", "error"]),
    default="mean",
    help="What a gene without a text gets: the mean vector, zeros; or leave it out, or fail.",
)
@click.option(
    "--layer", type=int, default=-1, help="Hidden layer that hidden-states averages; -1: last."
)
@click.option("--max-tokens", type=click.IntRange(min=2), help="Cut texts to this many tokens.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    help="auto: bfloat16 where the processor computes in it.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to compute."
)
def main(
    run: Run,
    descriptions: str,
    output: str | None,
    provider: str | None,
    model: str | None,
    missing: str,
    layer: int,
    max_tokens: int | None,
    precision: str,
    device: str,
) -> None:
    """Turn the texts of DESCRIPTIONS (from fetch-descriptions) into one vector per gene."""
    from screader_lib.exchange.encoding import read_table
    from screader_lib.genes import embeddings
    from screader_lib.genes.providers.choice import make_local, provider_of
    from screader_lib.genes.providers.encoding import Settings

    run.destination(output)
    settings = Settings(longest=max_tokens, precision=precision, device=device, layer=layer)
    with run.open(descriptions, "descriptions") as opened:
        embedder = make_local(provider_of(provider, model, None), model, settings)
        genes = read_table(opened.file["obs"])
        made = embeddings.embed(genes, embedder, missing, run.reporter)
        with run.create("gene-embeddings", output, {"descriptions": opened}) as file:
            embeddings.fill(file, made)
    rows, dim = made.vectors.shape
    run.reporter.say(f"{rows:,} genes, {dim} dimensions, by {made.model}.")
