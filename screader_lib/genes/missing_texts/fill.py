"""Fill missing texts from orthologs and from a chat model, as options say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import Description
from screader_lib.genes.missing_texts import from_chat_model, from_orthologs
from screader_lib.genes.organisms import Organism, organism_of
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources
from screader_lib.reporting import SILENT, Reporter

ANSWERS = "llm-answers.sqlite"
BULK_ORTHOLOGS = "gene_orthologs.gz"


@dataclass(frozen=True)
class FillOptions:
    """Which ways to fill, in order, and what they need; None where an option is not given."""

    ways: tuple[str, ...] = ()
    orthologs: str | None = None
    llm_model: str | None = None
    llm_url: str = from_chat_model.URL
    llm_prompt: str | None = None


@dataclass
class FilledDescriptions:
    """The descriptions, the files that were read for them, and the chat model's record."""

    descriptions: list[Description]
    files: dict[str, Path] = field(default_factory=dict)
    generation: Mapping[str, str] | None = None


def fill(
    descriptions: Sequence[Description],
    options: FillOptions,
    organism: Organism,
    source_options: SourceOptions,
    source_names: Sequence[str],
    fields: Sequence[str],
    reporter: Reporter = SILENT,
) -> FilledDescriptions:
    """Give genes without a summary one, way by way; human sources are made from the options.

    ScReaderError where a way lacks what it needs.
    """
    filled = FilledDescriptions(list(descriptions))
    for way in dict.fromkeys(options.ways):
        if way == "ortholog":
            # A table of the user's own is about the requested species.
            names = [name for name in source_names if name != "table"]
            human_options = replace(source_options, table=None)
            _from_orthologs(filled, options, organism, human_options, names, fields, reporter)
        else:
            _from_chat_model(filled, options, organism, source_options, fields, reporter)
    return filled


def _from_orthologs(
    filled: FilledDescriptions,
    options: FillOptions,
    organism: Organism,
    human_options: SourceOptions,
    source_names: Sequence[str],
    fields: Sequence[str],
    reporter: Reporter,
) -> None:
    human = organism_of("human")
    if organism == human:
        raise ScReaderError(
            "--fill ortholog brings human texts to other species.", remedy="Name --organism."
        )
    if options.orthologs is None:
        table = human_options.local_copy(BULK_ORTHOLOGS, reporter)
    else:
        table = Path(options.orthologs)
    symbols = [one.gene.symbol for one in filled.descriptions]
    pairs = from_orthologs.read_pairs(table, organism, human, symbols)
    sources = make_sources(source_names, human, human_options, reporter)
    filled.descriptions = from_orthologs.fill_from_orthologs(
        filled.descriptions, pairs, sources, fields, reporter
    )
    filled.files["orthologs"] = table
    for source in sources:
        filled.files |= {f"human_{role}": path for role, path in source.files.items()}


def _from_chat_model(
    filled: FilledDescriptions,
    options: FillOptions,
    organism: Organism,
    source_options: SourceOptions,
    fields: Sequence[str],
    reporter: Reporter,
) -> None:
    if options.llm_model is None:
        raise ScReaderError("--fill llm needs a model.", remedy="Name it with --llm-model.")
    prompt = from_chat_model.PROMPT
    if options.llm_prompt is not None:
        filled.files["llm_prompt"] = Path(options.llm_prompt)
        prompt = filled.files["llm_prompt"].read_text("utf-8").strip()
    model = from_chat_model.ChatModel(options.llm_model, prompt, options.llm_url)
    cache = DiskCache(source_options.cache_folder / ANSWERS)
    filled.descriptions = from_chat_model.fill_from_model(
        filled.descriptions,
        model,
        organism,
        cache,
        fields,
        reporter,
        refresh=source_options.refresh,
    )
    filled.generation = {"model": model.name, "prompt": model.prompt}
