"""``fetch-descriptions``: gene names to one text per gene."""

from __future__ import annotations

from contextlib import ExitStack

import click

from screader_lib.command_line.options import (
    FilePath,
    OutputPath,
    genome_option,
    modality_option,
    output_option,
)
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool

SOURCES = ["packaged", "ncbi-files", "eutils", "datasets", "table"]
FILES_URL = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
EUTILS_URL = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
LLM_URL = "https://api.openai.com/v1"
DATASETS_URL = "https://api.ncbi.nlm.nih.gov/datasets/v2"


@tool(
    "fetch-descriptions",
    examples=[
        "fetch-descriptions --genes counts.h5ad -o descriptions.h5ad",
        "printf 'INS\\nGCG\\nENSG00000254647.7\\n' | fetch-descriptions -o descriptions.h5ad",
        "fetch-descriptions --genes counts.h5ad | embed-genes | build-cells counts.h5ad -o c.h5ad",
        "fetch-descriptions --genes counts.h5ad --source packaged -o descriptions.h5ad",
        "fetch-descriptions --genes mouse.h5ad --organism mouse --fill ortholog -o d.h5ad",
        "fetch-descriptions --genes genes.txt --source table --table mine.tsv --source packaged",
    ],
    resumes="the answers received so far",
)
@click.option(
    "--genes",
    type=FilePath(),
    multiple=True,
    default=["-"],
    help="Genes to describe: a text file with one gene per line, or any file of cells that "
    "build-cells reads; '-': standard input. Repeatable: genes in several files are described "
    "once.",
)
@click.option(
    "--column",
    metavar="NAME",
    help="Column with the gene names.",
    show_default="the gene index; of a text, the first column",
)
@modality_option("--assay")
@genome_option
@output_option("the descriptions")
@click.option(
    "--organism",
    default="human",
    metavar="NAME|TAXID",
    help="Species: human, mouse, rat, zebrafish, pig and others, by common or scientific name, or "
    "any NCBI taxonomy id.",
)
@click.option(
    "--source",
    "sources",
    type=click.Choice(SOURCES),
    multiple=True,
    show_default="table or ncbi-files if their files are given, else ncbi-files; "
    "for human and mouse genes without a network: packaged",
    help="Source of texts. Repeatable: the first source that knows a name decides which gene it "
    "means; later ones fill in missing fields.",
)
@click.option(
    "--gene-info",
    type=FilePath(),
    multiple=True,
    help="Local copy of NCBI's gene_info. Repeatable, for several species.",
)
@click.option(
    "--gene-summary",
    type=FilePath(),
    multiple=True,
    help="Local copy of NCBI's gene_summary. Repeatable, for several species.",
)
@click.option(
    "--gene-history",
    type=FilePath(),
    multiple=True,
    show_default="downloaded if GeneIDs are unknown and gene_info is not a local copy",
    help="Local copy of NCBI's gene_history, for withdrawn symbols and GeneIDs. Repeatable, for "
    "several species.",
)
@click.option(
    "--cache",
    type=FilePath(),
    metavar="FOLDER",
    show_default="$SCREADER_CACHE, or screader in the user's cache folder",
    help="Folder for downloads and cached answers.",
)
@click.option("--refresh", is_flag=True, help="Ignore what is cached and ask again.")
@click.option("--files-url", default=FILES_URL, help="URL of NCBI's bulk files.")
@click.option("--eutils-url", default=EUTILS_URL, help="URL of NCBI E-utilities.")
@click.option("--datasets-url", default=DATASETS_URL, help="URL of NCBI Datasets v2.")
@click.option("--table", type=FilePath(), help="Your own table: symbol and text, or other facts.")
@click.option(
    "--fields",
    default="symbol,full_name,gene_type,expression,summary",
    metavar="NAME,...",
    help="Fields that make up the text, in this order; also aliases, organism, lineage.",
)
@click.option(
    "--fill",
    "ways",
    type=click.Choice(["ortholog", "llm"]),
    multiple=True,
    help="Source of texts for genes without a summary: the human ortholog, or a chat model. "
    "Repeatable.",
)
@click.option(
    "--orthologs",
    type=FilePath(),
    show_default="NCBI's gene_orthologs, downloaded once",
    help="Table of orthologs whose first two columns are the genes of the two species.",
)
@click.option("--llm-model", metavar="NAME", help="Chat model for --fill llm.")
@click.option("--llm-url", default=LLM_URL, help="URL of an OpenAI-compatible server.")
@click.option(
    "--llm-prompt",
    type=FilePath(),
    help="Prompt file with {symbol} or {gene} (symbol and name) and {organism}.  "
    "[default: built in]",
)
@click.option(
    "--unmatched", type=OutputPath(), help="Table of the unmatched names, with the reason for each."
)
def main(
    run: ToolRun,
    genes: tuple[str, ...],
    column: str | None,
    modality: str | None,
    genome: str | None,
    output: str | None,
    organism: str,
    sources: tuple[str, ...],
    gene_info: tuple[str, ...],
    gene_summary: tuple[str, ...],
    gene_history: tuple[str, ...],
    cache: str | None,
    refresh: bool,
    files_url: str,
    eutils_url: str,
    datasets_url: str,
    table: str | None,
    fields: str,
    ways: tuple[str, ...],
    orthologs: str | None,
    llm_model: str | None,
    llm_url: str,
    llm_prompt: str | None,
    unmatched: str | None,
) -> None:
    """Find the genes named by an input and write a text for each.

    Names may be symbols, aliases, NCBI GeneIDs, Ensembl ids or ids of other databases (HGNC:6081,
    FBgn0000490), also mixed. Ambiguous names are reported and left unmatched. Of duplicate names,
    only the first is kept.

    Environment variables: NCBI_API_KEY (10 instead of 3 requests per second), NCBI_EMAIL (sent to
    E-utilities, as NCBI asks), OPENAI_API_KEY (for --fill llm).
    """
    from screader_lib.cells import gene_lists
    from screader_lib.cells.formats.expression import ReadOptions
    from screader_lib.exchange.writing import replacing
    from screader_lib.genes import describe
    from screader_lib.genes.missing_texts import FillOptions, fill
    from screader_lib.genes.records import organism_of
    from screader_lib.genes.sources.gene_source import numbered_roles
    from screader_lib.genes.sources.make_sources import SourceOptions, make_sources

    run.output_path(output)
    text_fields = describe.parse_fields(fields)
    options = SourceOptions(
        gene_info=gene_info,
        gene_summary=gene_summary,
        gene_history=gene_history,
        table=table,
        cache=cache,
        files_url=files_url,
        eutils_url=eutils_url,
        datasets_url=datasets_url,
        refresh=refresh,
    )
    species = organism_of(organism)
    filling = FillOptions(ways, orthologs, llm_model, llm_url, llm_prompt)
    with ExitStack() as opened:
        paths = [opened.enter_context(run.path(name)) for name in genes]
        gene_list = gene_lists.read_all(
            paths, genes, column, ReadOptions(modality=modality, genome=genome)
        )
        gene_sources = make_sources(sources, species, options, run.reporter)
        described = describe.describe(gene_list.names, gene_sources, text_fields, run.reporter)
        filled = fill(described, filling, species, options, sources, text_fields, run.reporter)
        doubt = describe.doubt(filled.descriptions, species)
        inputs = numbered_roles("genes", paths)
        for source in gene_sources:
            inputs |= source.files
        inputs |= filled.files
        with ExitStack() as outputs:
            if unmatched is not None:
                table_path = outputs.enter_context(replacing(unmatched))
                table_path.write_text(describe.unmatched_tsv(filled.descriptions), "utf-8")
            file = outputs.enter_context(run.create("descriptions", output, inputs))
            describe.write_descriptions(file, filled.descriptions, filled.generation)
    for line in describe.summary_lines(filled.descriptions, gene_list.repeated):
        run.reporter.info(line)
    if doubt:
        run.reporter.warning(doubt)
