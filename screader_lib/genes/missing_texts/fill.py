"""Fill missing texts from orthologs and from a chat model, as options say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import Description
from screader_lib.genes.missing_texts.from_chat_model import (
    PROMPT,
    URL,
    ChatModel,
    fill_from_model,
)
from screader_lib.genes.missing_texts.from_orthologs import fill_from_orthologs, read_pairs
from screader_lib.genes.organisms import Organism, organism_of
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources
from screader_lib.reporting import SILENT, Reporter

ANSWERS = "llm-answers.sqlite"
BULK_ORTHOLOGS = "gene_orthologs.gz"
HUMAN = organism_of("human")


@dataclass(frozen=True)
class FillOptions:
    """Which ways to fill, in order, and what they need; None where an option is not given."""

    ways: tuple[str, ...] = ()
    orthologs: str | None = None
    llm_model: str | None = None
    llm_url: str = URL
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
    """Give genes without a summary one, way by way.

    ``source_names`` and ``source_options`` say where human texts come from. ScReaderError where a
    way lacks what it needs.
    """
    filled = FilledDescriptions(list(descriptions))
    for way in dict.fromkeys(options.ways):
        if way == "ortholog":
            # A table of the user's own is about the requested species.
            names = [name for name in source_names if name != "table"]
            human_options = replace(source_options, table=None)
            pairs = _ortholog_pairs(filled, options.orthologs, organism, human_options, reporter)
            sources = make_sources(names, HUMAN, human_options, reporter)
            filled.descriptions = fill_from_orthologs(
                filled.descriptions, pairs, sources, fields, reporter
            )
            for source in sources:
                filled.files |= {f"human_{role}": path for role, path in source.files.items()}
        else:
            model = _chat_model(filled, options)
            cache = DiskCache(source_options.cache_folder / ANSWERS)
            filled.descriptions = fill_from_model(
                filled.descriptions, model, organism, cache, fields, reporter,
                refresh=source_options.refresh,
            )  # fmt: skip
            filled.generation = {"model": model.name, "prompt": model.prompt}
    return filled


def _ortholog_pairs(
    filled: FilledDescriptions,
    table: str | None,
    organism: Organism,
    options: SourceOptions,
    reporter: Reporter,
) -> dict[str, str]:
    if organism == HUMAN:
        raise ScReaderError(
            "--fill ortholog brings human texts to other species.", remedy="Name --organism."
        )
    path = options.local_copy(BULK_ORTHOLOGS, reporter) if table is None else Path(table)
    filled.files["orthologs"] = path
    symbols = [description.gene.symbol for description in filled.descriptions]
    return read_pairs(path, organism, HUMAN, symbols)


def _chat_model(filled: FilledDescriptions, options: FillOptions) -> ChatModel:
    if options.llm_model is None:
        raise ScReaderError("--fill llm needs a model.", remedy="Name it with --llm-model.")
    prompt = PROMPT
    if options.llm_prompt is not None:
        filled.files["llm_prompt"] = Path(options.llm_prompt)
        prompt = filled.files["llm_prompt"].read_text("utf-8").strip()
    return ChatModel(options.llm_model, prompt, options.llm_url)
