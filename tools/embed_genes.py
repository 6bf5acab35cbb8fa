"""``embed-genes``: gene texts to one vector per gene."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from screader_lib.command_line.options import FilePath, output_option
from screader_lib.command_line.run import Inputs, ToolRun
from screader_lib.command_line.tool import tool
from screader_lib.option_values import PROVIDERS

if TYPE_CHECKING:
    from screader_lib.genes.embeddings import GeneEmbeddings


@tool(
    "embed-genes",
    examples=[
        "embed-genes descriptions.h5ad -o gene-embeddings.h5ad",
        "fetch-descriptions --genes counts.h5ad | embed-genes -o gene-embeddings.h5ad",
        "embed-genes descriptions.h5ad --model sentence-transformers/all-mpnet-base-v2 -o e.h5ad",
        "embed-genes descriptions.h5ad --model tfidf -o e.h5ad",
        "embed-genes mouse-descriptions.h5ad --like e.h5ad -o mouse.h5ad",
        "embed-genes descriptions.h5ad --provider openai --dry-run",
        "embed-genes descriptions.h5ad --base-url http://localhost:8000/v1 --model bge -o e.h5ad",
        "embed-genes descriptions.h5ad --import GenePT_gene_embedding_ada_text.pickle -o e.h5ad",
        "embed-genes descriptions.h5ad --import scGPT_human -o e.h5ad",
        "embed-genes descriptions.h5ad --provider hidden-states --model ./llm -o e.h5ad",
        "embed-genes --import gene-embeddings.h5ad --shuffle 0 -o shuffled.h5ad",
    ],
    resumes="the vectors made so far, unless --no-cache is given",
)
@click.argument("descriptions", type=FilePath(), required=False)
@output_option("the gene embeddings")
@click.option(
    "--provider",
    type=click.Choice(PROVIDERS),
    show_default="packaged; with --model: sentence-transformers; with --base-url: openai",
    help="What computes the vectors; tfidf: no model, but the words of the texts.",
)
@click.option(
    "--model",
    metavar="ID|FOLDER",
    show_default="openai: text-embedding-ada-002",
    help="Name, Hugging Face id or folder of the model; or tfidf, which needs none: the weighted "
    "words of these texts (TF-IDF) in fewer dimensions.",
)
@click.option(
    "--like",
    type=FilePath(),
    metavar="GENES",
    help="Use the TF-IDF model of these gene embeddings, so that vectors of other genes, such as "
    "those of another species or a new sample, are comparable.",
)
@click.option(
    "--missing",
    type=click.Choice(["mean", "zero", "drop", "error"]),
    default="mean",
    help="A gene without a text: give it the mean vector or zeros, drop it, or stop.",
)
@click.option(
    "--import",
    "precomputed",
    type=FilePath(),
    metavar="FILE|FOLDER",
    help="Take the vectors from this file instead of computing them: a table (csv, npz, parquet, "
    "h5ad, word2vec's text), a pickled dict as of GenePT and scELMo, or the weights of scGPT, "
    "Geneformer, GeneCompass or scFoundation with the list of their genes beside "
    "(docs/gene-vectors.md). Nothing of it is run. Without DESCRIPTIONS, all its genes are "
    "written.",
)
@click.option(
    "--shuffle",
    type=click.IntRange(min=0),
    metavar="SEED",
    help="As a control, give each gene the vector of another one, at random. What a reader does as "
    "well with these, it does not owe to the genes' texts.",
)
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server.")
@click.option(
    "--dimensions",
    type=click.IntRange(min=1),
    show_default="tfidf: 256; openai: the model's",
    help="Length of the vectors (tfidf, text-embedding-3).",
)
@click.option("--dry-run", is_flag=True, help="Report what would be sent and its cost, and stop.")
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0),
    help="Stop if the estimated cost exceeds this many US dollars.",
)
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    help="US dollars per million tokens, for a model whose price is not known.",
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
    help="Requests at a time. Together they hold at most one full request, so a killed run loses "
    "no more than that; answers are cached as they arrive.",
)
@click.option(
    "--cache",
    type=FilePath(),
    metavar="FOLDER",
    show_default="openai: $SCREADER_CACHE, or screader in the user's cache folder; else none",
    help="Cache vectors here and reuse them.",
)
@click.option("--no-cache", is_flag=True, help="Do not cache vectors or use cached ones.")
@click.option(
    "--layer", type=int, default=-1, help="Layer that hidden-states averages; -1 is the last."
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=2),
    help="Truncate texts to this many tokens (local models).",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    help="auto: bfloat16 where the processor supports it.",
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
    like: str | None,
    missing: str,
    precomputed: str | None,
    shuffle: int | None,
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

    The packaged all-MiniLM-L6-v2 needs no network. A server's key is read from OPENAI_API_KEY.
    Vectors from a server are cached, so that a second run sends nothing. Those of --model tfidf
    depend on the texts that they are made from, so other genes' vectors are made with --like.
    """
    from screader_lib.exchange.encoding import read_table
    from screader_lib.genes import embeddings
    from screader_lib.genes.providers import openai, provider_options
    from screader_lib.genes.providers.local_models import EncoderSettings

    if dry_run and precomputed is not None:
        raise click.UsageError("--dry-run: --import sends nothing anyway.", run.context)
    others = (precomputed, base_url, dimensions, provider or model)
    if like is not None and any(value is not None for value in others):
        raise click.UsageError(
            "--like: the vectors are those of its tfidf; leave --import, --provider, --model, "
            "--base-url and --dimensions out.",
            run.context,
        )
    if not dry_run:
        run.output_path(output)
    if precomputed is not None:
        _import(run, precomputed, descriptions, output, model, missing, shuffle)
        return
    if like is not None:
        _embed_like(run, like, descriptions, output, missing, shuffle)
        return
    options = provider_options.ProviderOptions(
        provider=provider_options.provider_of(provider, model, base_url),
        model=model,
        base_url=base_url,
        dimensions=dimensions,
        limits=openai.RateLimits(requests_per_minute, tokens_per_minute, concurrent),
        settings=EncoderSettings(
            max_tokens=max_tokens, precision=precision, device=device, layer=layer
        ),
        cache=None if no_cache else cache,
        no_cache=no_cache,
    )
    with run.open(descriptions or "-", "descriptions") as opened:
        embedder = provider_options.make_embedder(options, run.reporter)
        genes = read_table(opened.file["obs"])
        estimated = openai.estimate(embedder, embeddings.distinct_texts(genes), price)
        if dry_run:
            run.reporter.info(str(estimated))
        openai.check_cost(estimated, max_cost)
        if not dry_run:
            made = embeddings.embed(genes, embedder, missing, run.reporter)
            _write(run, output, {"descriptions": opened}, made, shuffle)


def _embed_like(
    run: ToolRun,
    like: str,
    descriptions: str | None,
    output: str | None,
    missing: str,
    shuffle: int | None,
) -> None:
    from screader_lib.exchange.encoding import read_table
    from screader_lib.genes import embeddings
    from screader_lib.genes.providers.tfidf import Tfidf

    with (
        run.open(like, "gene-embeddings") as model,
        run.open(descriptions or "-", "descriptions") as opened,
    ):
        genes = read_table(opened.file["obs"])
        made = embeddings.embed(genes, Tfidf.like(model), missing, run.reporter)
        _write(run, output, {"descriptions": opened, "like": model}, made, shuffle)


def _import(
    run: ToolRun,
    precomputed: str,
    descriptions: str | None,
    output: str | None,
    model: str | None,
    missing: str,
    shuffle: int | None,
) -> None:
    from screader_lib.errors import ScReaderError
    from screader_lib.exchange.encoding import read_table
    from screader_lib.genes.precomputed import all_genes, described_genes, read_precomputed

    with ExitStack() as stack:
        path = stack.enter_context(run.path(precomputed))
        vectors = read_precomputed(path, "standard input" if precomputed == "-" else precomputed)
        name = model or vectors.model or Path(precomputed).name.partition(".")[0]
        inputs: dict[str, Any] = {"precomputed": vectors.weights_file or path}
        if vectors.genes_file is not None:
            if path != Path(precomputed):
                raise ScReaderError("a model is read from its folder, not through a pipe.")
            inputs["precomputed_genes"] = vectors.genes_file
        if descriptions is None:
            _write(run, output, inputs, all_genes(vectors, name), shuffle)
            return
        opened = stack.enter_context(run.open(descriptions, "descriptions"))
        genes = read_table(opened.file["obs"])
        made = described_genes(genes, vectors, name, missing, run.reporter)
        _write(run, output, {"descriptions": opened, **inputs}, made, shuffle)


def _write(
    run: ToolRun,
    output: str | None,
    inputs: Inputs,
    made: GeneEmbeddings,
    shuffle: int | None,
) -> None:
    from screader_lib.genes import embeddings

    if shuffle is not None:
        made = embeddings.shuffled(made, shuffle)
    with run.create("gene-embeddings", output, inputs) as file:
        embeddings.write_embeddings(file, made)
    rows, dim = made.vectors.shape
    run.reporter.info(f"{rows:,} genes, {dim} dimensions, by {made.model}.")
