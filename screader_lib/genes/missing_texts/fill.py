"""Texts for genes of which the sources know no summary: from orthologs, from a chat model."""

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
    filling: FillOptions,
    organism: Organism,
    places: SourceOptions,
    source_names: Sequence[str],
    fields: Sequence[str],
    reporter: Reporter = SILENT,
) -> FilledDescriptions:
    """Fill what has no summary, way by way.

    ScReaderError where a way lacks what it needs.
    """
    filled = FilledDescriptions(list(descriptions))
    for way in dict.fromkeys(filling.ways):
        if way == "ortholog":
            _by_orthologs(filled, filling, organism, places, source_names, fields, reporter)
        else:
            _by_model(filled, filling, organism, places, fields, reporter)
    return filled


def _by_orthologs(
    filled: FilledDescriptions,
    filling: FillOptions,
    organism: Organism,
    places: SourceOptions,
    source_names: Sequence[str],
    fields: Sequence[str],
    reporter: Reporter,
) -> None:
    human = organism_of("human")
    if organism == human:
        raise ScReaderError(
            "--fill ortholog brings human texts to other species.", remedy="Name --organism."
        )
    if filling.orthologs is None:
        table = places.local_copy(BULK_ORTHOLOGS, reporter)
    else:
        table = Path(filling.orthologs)
    names = [one.gene.symbol for one in filled.descriptions]
    pairs = from_orthologs.read_pairs(table, organism, human, names)
    # A table of the user's own is about the species asked for.
    kept = [name for name in source_names if name != "table"]
    sources = make_sources(kept, human, replace(places, table=None), reporter)
    filled.descriptions = from_orthologs.fill_from_orthologs(
        filled.descriptions, pairs, sources, fields, reporter
    )
    filled.files["orthologs"] = table
    for source in sources:
        filled.files |= {f"human_{role}": path for role, path in source.files.items()}


def _by_model(
    filled: FilledDescriptions,
    filling: FillOptions,
    organism: Organism,
    places: SourceOptions,
    fields: Sequence[str],
    reporter: Reporter,
) -> None:
    if filling.llm_model is None:
        raise ScReaderError("--fill llm needs a model.", remedy="Name it with --llm-model.")
    prompt = from_chat_model.PROMPT
    if filling.llm_prompt is not None:
        filled.files["llm_prompt"] = Path(filling.llm_prompt)
        prompt = filled.files["llm_prompt"].read_text("utf-8").strip()
    writer = from_chat_model.Writer(filling.llm_model, prompt, filling.llm_url)
    cache = DiskCache(places.cache_folder / ANSWERS)
    filled.descriptions = from_chat_model.fill_from_model(
        filled.descriptions, writer, organism, cache, fields, reporter, refresh=places.refresh
    )
    filled.generation = writer.record
