"""``embed-genes``: gene texts to one vector per gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from screader_lib.command_line.options import FilePath, output_option
from screader_lib.command_line.run import Inputs, ToolRun
from screader_lib.command_line.tool import tool

if TYPE_CHECKING:
    from screader_lib.genes.embeddings import GeneEmbeddings

PROVIDERS = ["packaged", "sentence-transformers", "openai", "hidden-states"]


@tool(
    "embed-genes",
    examples=[
        "embed-genes descriptions.h5ad -o gene-embeddings.h5ad",
        "fetch-descriptions --genes counts.h5ad | embed-genes -o gene-embeddings.h5ad",
        "embed-genes descriptions.h5ad --model sentence-transformers/all-mpnet-base-v2 -o e.h5ad",
        "embed-genes descriptions.h5ad --provider openai --dry-run",
        "embed-genes descriptions.h5ad --base-url http://localhost:8000/v1 --model bge -o e.h5ad",
        "embed-genes descriptions.h5ad --import GenePT_gene_embedding_ada_text.pickle -o e.h5ad",
        "embed-genes descriptions.h5ad --provider hidden-states --model ./llm -o e.h5ad",
    ],
)
@click.argument("descriptions", type=FilePath(), required=False)
@output_option("the gene embeddings")
@click.option(
    "--provider",
    type=click.Choice(PROVIDERS),
    show_default="packaged; with --model: sentence-transformers; with --base-url: openai",
    help="Who computes the vectors.",
)
@click.option(
    "--model",
    metavar="ID|FOLDER",
    show_default="openai: text-embedding-ada-002",
    help="Name, Hugging Face id or folder of the model.",
)
@click.option(
    "--missing",
    type=click.Choice(["mean", "zero", "drop", "error"]),
    default="mean",
    help="What a gene without a text gets: the mean vector, zeros; or leave it out, or fail.",
)
@click.option(
    "--import",
    "precomputed",
    type=FilePath(),
    help="Take vectors from this npz, csv, parquet, h5ad, or GenePT's pickle instead of computing "
    "them. Without DESCRIPTIONS its own genes are written.",
)
@click.option("--base-url", metavar="URL", help="A server that answers as OpenAI's does.")
@click.option(
    "--dimensions", type=click.IntRange(min=1), help="Shorter vectors (text-embedding-3)."
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent and cost, and stop.")
@click.option(
    "--max-cost", type=click.FloatRange(min=0), help="Refuse to spend more US dollars than this."
)
@click.option(
    "--price", type=click.FloatRange(min=0), help="US dollars per million tokens, if not known."
)
@click.option(
    "--requests-per-minute", type=click.FloatRange(min=0.1), default=500, help="Rate limit."
)
@click.option(
    "--tokens-per-minute", type=click.FloatRange(min=1000), default=1_000_000, help="Rate limit."
)
@click.option(
    "--concurrent",
    type=click.IntRange(1, 64),
    default=4,
    help="Requests at a time. Together they hold no more than one full request, so a killed run "
    "loses no more than that; each answer is kept as it comes.",
)
@click.option(
    "--cache",
    type=FilePath(),
    metavar="FOLDER",
    show_default="openai: $SCREADER_CACHE, or screader in the user's cache folder; else none",
    help="Keep vectors here and use those that are kept.",
)
@click.option("--no-cache", is_flag=True, help="Neither keep vectors nor use those kept.")
@click.option(
    "--layer", type=int, default=-1, help="Hidden layer that hidden-states averages; -1: last."
)
@click.option(
    "--max-tokens", type=click.IntRange(min=2), help="Cut texts to this many tokens (local models)."
)
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
    run: ToolRun,
    descriptions: str | None,
    output: str | None,
    provider: str | None,
    model: str | None,
    missing: str,
    precomputed: str | None,
    base_url: str | None,
    dimensions: int | None,
    dry_run: bool,
    max_cost: float | None,
    price: float | None,
    requests_per_minute: float,
    tokens_per_minute: float,
    concurrent: int,
    cache: str | None,
    no_cache: bool,
    layer: int,
    max_tokens: int | None,
    precision: str,
    device: str,
) -> None:
    """Turn the texts of DESCRIPTIONS (from fetch-descriptions) into one vector per gene.

    The packaged all-MiniLM-L6-v2 needs no network. The key of a server is read from
    OPENAI_API_KEY. Vectors of a server are kept in the cache, so that a second run sends nothing.
    """
    from screader_lib.exchange.encoding import read_table
    from screader_lib.genes import embeddings
    from screader_lib.genes.providers import cost, provider_options
    from screader_lib.genes.providers.local_encoder import EncoderSettings
    from screader_lib.genes.providers.openai import Limits

    if dry_run and precomputed is not None:
        raise click.UsageError("--dry-run: --import sends nothing anyway.", run.context)
    if not dry_run:
        run.destination(output)
    if precomputed is not None:
        _import(run, precomputed, descriptions, output, model, missing)
        return
    chosen = provider_options.ProviderOptions(
        provider=provider_options.provider_of(provider, model, base_url),
        model=model,
        base_url=base_url,
        dimensions=dimensions,
        limits=Limits(requests_per_minute, tokens_per_minute, concurrent),
        settings=EncoderSettings(
            longest=max_tokens, precision=precision, device=device, layer=layer
        ),
        cache=None if no_cache else cache,
        no_cache=no_cache,
    )
    with run.open(descriptions or "-", "descriptions") as opened:
        embedder = provider_options.make(chosen, run.reporter)
        genes = read_table(opened.file["obs"])
        estimated = cost.estimate(embedder, embeddings.distinct_texts(genes), price)
        if dry_run:
            run.reporter.info(str(estimated))
        cost.check_cost(estimated, max_cost)
        if dry_run:
            return
        made = embeddings.embed(genes, embedder, missing, run.reporter)
        with run.create("gene-embeddings", output, {"descriptions": opened}) as file:
            embeddings.fill(file, made)
    _tell(run, made)


def _import(
    run: ToolRun,
    precomputed: str,
    descriptions: str | None,
    output: str | None,
    model: str | None,
    missing: str,
) -> None:
    from pathlib import Path

    from screader_lib.exchange.encoding import read_table
    from screader_lib.genes import embeddings
    from screader_lib.genes.precomputed import match_precomputed
    from screader_lib.genes.precomputed.read_precomputed import read_precomputed

    with run.path(precomputed) as path:
        found = read_precomputed(path, "standard input" if precomputed == "-" else precomputed)
        named = model or found.model or Path(precomputed).name.partition(".")[0]
        if descriptions is None:
            made = match_precomputed.on_their_own(found, named)
            with run.create("gene-embeddings", output, {"precomputed": path}) as file:
                embeddings.fill(file, made)
        else:
            with run.open(descriptions, "descriptions") as opened:
                genes = read_table(opened.file["obs"])
                made = match_precomputed.of_genes(genes, found, named, missing, run.reporter)
                inputs: Inputs = {"descriptions": opened, "precomputed": path}
                with run.create("gene-embeddings", output, inputs) as file:
                    embeddings.fill(file, made)
    _tell(run, made)


def _tell(run: ToolRun, made: GeneEmbeddings) -> None:
    rows, dim = made.vectors.shape
    run.reporter.info(f"{rows:,} genes, {dim} dimensions, by {made.model}.")
