"""Texts for genes without a summary in any source.

Human texts come through a table of one-to-one orthologs: one with a header whose first two columns
name the genes of the two species by symbol (such as an export of Ensembl BioMart), or NCBI's
``gene_orthologs`` (by GeneID). They are marked ``ortholog``.

A chat model is asked through any OpenAI-compatible server (``POST /chat/completions``). Its texts
are marked ``llm``, and model and prompt are recorded in the output.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import DEFAULT_FIELDS, Description, cleaned, describe, with_texts
from screader_lib.genes.records import ORTHOLOG, Gene, Organism, organism_of
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.services.openai_server import URL, OpenAIServer
from screader_lib.genes.services.service import BadAnswer, Pace, parse_json
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources
from screader_lib.genes.sources.tables import read_rows
from screader_lib.genes.text_files import opened_text, read_table, read_text
from screader_lib.reporting import SILENT, Reporter, counted

NCBI_COLUMNS = ("#tax_id", "GeneID", "relationship", "Other_tax_id", "Other_GeneID")
NCBI_START = "#tax_id\t"
BULK_ORTHOLOGS = "gene_orthologs.gz"
HUMAN = organism_of("human")
LLM = "llm"
ANSWERS = "llm-answers.sqlite"
CONCURRENT = 4
UNKNOWN = "UNKNOWN"
PROMPT = """Describe the gene {gene} of {organism} in at most 120 words of plain English prose. \
Give, as far as they are well established: its official full name, the type of gene, what its \
product does, the processes it takes part in, and the tissues and cell types that express it. \
No lists, no references, no introduction. If you do not know this gene, answer only: UNKNOWN"""
WITHOUT_TEMPERATURE = ("o1", "o3", "o4", "gpt-5")  # models that accept only their default


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
        if way == ORTHOLOG:
            if organism == HUMAN:
                raise ScReaderError(
                    "--fill ortholog brings human texts to other species.",
                    remedy="Name --organism.",
                )
            # A table of the user's own is about the requested species.
            human_options = replace(source_options, table=None)
            table = options.orthologs or human_options.local_copy(BULK_ORTHOLOGS, reporter)
            filled.files["orthologs"] = Path(table)
            symbols = [description.gene.symbol for description in filled.descriptions]
            pairs = read_pairs(Path(table), organism, symbols)
            names = [name for name in source_names if name != "table"]
            sources = make_sources(names, HUMAN, human_options, reporter)
            filled.descriptions = fill_from_orthologs(
                filled.descriptions, pairs, sources, fields, reporter
            )
            for source in sources:
                filled.files |= {f"human_{role}": path for role, path in source.files.items()}
        else:
            if options.llm_model is None:
                raise ScReaderError("--fill llm needs a model.", remedy="Name it with --llm-model.")
            prompt = PROMPT
            if options.llm_prompt is not None:
                filled.files["llm_prompt"] = Path(options.llm_prompt)
                prompt = filled.files["llm_prompt"].read_text("utf-8").strip()
            model = ChatModel(options.llm_model, prompt, options.llm_url)
            cache = DiskCache(source_options.cache_folder / ANSWERS)
            filled.descriptions = fill_from_model(
                filled.descriptions, model, organism, cache, fields, reporter,
                refresh=source_options.refresh,
            )  # fmt: skip
            filled.generation = {"model": model.name, "prompt": model.prompt}
    return filled


def read_pairs(path: Path, organism: Organism, symbols: Iterable[str]) -> dict[str, str]:
    """Gene of ``organism`` → human gene, one-to-one pairs only.

    By GeneID from NCBI's table, else as ``pairs_by_name``, with the same errors.
    """
    if not _is_ncbi(path):
        return pairs_by_name(path, symbols)
    # The file has each pair in one direction only.
    return _one_to_one(
        pair if first == organism else pair[::-1]
        for first, second in ((organism, HUMAN), (HUMAN, organism))
        for row in read_rows(path, NCBI_COLUMNS, first.tax_id)
        if row["Other_tax_id"] == str(second.tax_id)
        for pair in [(row["GeneID"], row["Other_GeneID"])]
    )


def pairs_by_name(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Own gene → other gene by a table whose first two columns name them, one-to-one pairs only.

    The own species' column is the one with more of ``names``. ScReaderError where the table has
    fewer than two columns or none of the names.
    """
    if _is_ncbi(path):
        raise ScReaderError(
            "names genes by GeneID; expected symbols.",
            file=path,
            remedy="Give a table whose first two columns name the genes of the two species.",
        )
    rows = read_table(read_text(path, str(path)), str(path))
    columns = [column for column in rows[0] if column is not None] if rows else []
    if len(columns) < 2:
        raise ScReaderError("has fewer than two columns.", file=path)
    first, second = columns[:2]
    pairs = [(row[first] or "", row[second] or "") for row in rows]
    names = set(names)
    in_first = sum(one in names for one, _ in pairs)
    in_second = sum(other in names for _, other in pairs)
    if not in_first and not in_second:
        raise ScReaderError(
            "its first two columns name none of the genes.",
            file=path,
            remedy="Give a table whose first two columns hold the symbols of the two species.",
        )
    return _one_to_one(pair if in_first > in_second else pair[::-1] for pair in pairs)


def _is_ncbi(path: Path) -> bool:
    with opened_text(path) as stream:
        return stream.readline(len(NCBI_START)) == NCBI_START


def _one_to_one(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    pairs = list(dict.fromkeys(pair for pair in pairs if all(pair)))
    own = Counter(one for one, _ in pairs)
    others = Counter(other for _, other in pairs)
    return {one: other for one, other in pairs if own[one] == others[other] == 1}


def fill_from_orthologs(
    descriptions: Sequence[Description],
    pairs: dict[str, str],
    human_sources: Iterable[GeneSource],
    fields: Sequence[str] = DEFAULT_FIELDS,
    reporter: Reporter = SILENT,
) -> list[Description]:
    """Give genes without a summary that of their human ortholog, marked ``ortholog``."""
    orthologs = {}
    for description in descriptions:
        gene = description.gene
        keys = (gene.gene_id, gene.symbol, description.name)
        ortholog = next((pairs[key] for key in keys if key in pairs), "")
        if description.match.gene is not None and _lacks_summary(gene) and ortholog:
            orthologs[description.name] = ortholog
    names = list(dict.fromkeys(orthologs.values()))
    humans = {human.name: human.gene for human in describe(names, human_sources, fields, reporter)}
    summaries = {name: humans[ortholog].summary for name, ortholog in orthologs.items()}
    filled = [
        _with_summary(description, summaries.get(description.name, ""), ORTHOLOG)
        for description in descriptions
    ]
    number = sum(description.gene.source == ORTHOLOG for description in filled)
    reporter.info(f"{counted(number, 'gene')} given the summary of the human ortholog.")
    return with_texts(filled, fields)


def _lacks_summary(gene: Gene) -> bool:
    return not gene.summary and not gene.text


def _with_summary(
    description: Description, summary: str, source: str, **species: Any
) -> Description:
    if not summary:
        return description
    gene = description.match.gene or Gene(description.name, **species)
    gene = replace(gene, summary=summary, source=source)
    return replace(description, match=replace(description.match, gene=gene))


@dataclass(frozen=True)
class ChatModel:
    """A chat model and its prompt, with {gene} or {symbol}, and maybe {organism}."""

    name: str
    prompt: str = PROMPT
    url: str = URL
    requests_per_minute: float = 500

    def __post_init__(self) -> None:
        if "{symbol}" not in self.prompt and "{gene}" not in self.prompt:
            raise ScReaderError(
                "the prompt names no gene.", remedy="Write {gene} or {symbol} where it belongs."
            )

    def prompt_for(self, description: Description, organism: Organism) -> str:
        """The prompt for one gene; other braces are left as they are."""
        gene = description.gene
        name = f"{gene.symbol} ({gene.full_name})" if gene.full_name else gene.symbol
        species = gene.organism or organism.name or f"the species with NCBI id {organism.tax_id}"
        prompt = self.prompt.replace("{symbol}", gene.symbol).replace("{gene}", name)
        return prompt.replace("{organism}", species)


def fill_from_model(
    descriptions: Sequence[Description],
    model: ChatModel,
    organism: Organism,
    cache: DiskCache,
    fields: Sequence[str] = DEFAULT_FIELDS,
    reporter: Reporter = SILENT,
    refresh: bool = False,
    **settings: Any,
) -> list[Description]:
    """Give genes without a summary a text of the model's; every answer is cached as it arrives.

    Ambiguous names get none, as it is not clear which gene they mean. ``refresh`` asks again for
    what is cached. ScReaderError where the server does not answer, or OpenAI itself is asked
    without a key.
    """
    prompts, keys = {}, {}
    for description in descriptions:
        if _lacks_summary(description.gene) and description.match.how != "ambiguous":
            prompt = model.prompt_for(description, organism)
            identity = json.dumps([model.url, model.name, prompt])
            key = hashlib.sha256(identity.encode()).hexdigest()
            keys[description.name], prompts[key] = key, prompt
    cached = {} if refresh else cache.get(prompts)
    new = {key: prompt for key, prompt in prompts.items() if key not in cached}
    reporter.info(f"asking {model.name} for {counted(len(new), 'gene')}; {len(cached):,} cached.")
    options: dict[str, Any] = {"reporter": reporter, "url_option": "--llm-url", **settings}
    pace = Pace(model.requests_per_minute / 60)
    server = OpenAIServer("the chat server", model.url, pace, **options)
    temperature = {} if model.name.startswith(WITHOUT_TEMPERATURE) else {"temperature": 0}

    def ask(key: str, prompt: str) -> None:
        messages = [{"role": "user", "content": prompt}]
        body: dict[str, Any] = {"model": model.name, "messages": messages, **temperature}
        answer = server.ask(
            lambda client: client.chat.completions.with_raw_response.create(**body), parse_answer
        )
        cache.put({key: answer.encode()})

    with reporter.progress("Asking the model", len(new), "genes") as advance:
        tasks = [partial(ask, key, prompt) for key, prompt in new.items()]
        server.run_all(tasks, CONCURRENT, lambda _: advance(1))
    answers = cache.get(prompts)
    species = {"organism": organism.name, "tax_id": organism.tax_id}
    filled = []
    for description in descriptions:
        text = answers.get(keys.get(description.name, ""), b"").decode()
        text = "" if text.strip(" .").upper() == UNKNOWN else text
        filled.append(_with_summary(description, text, LLM, **species))
    number = sum(description.gene.source == LLM for description in filled)
    reporter.info(f"{counted(number, 'gene')} described by {model.name}.")
    return with_texts(filled, fields)


def parse_answer(body: bytes) -> str:
    """The text of a chat completion, cleaned; BadAnswer where there is none."""
    answer = parse_json(body)
    try:
        text = cleaned(answer["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError) as error:
        raise BadAnswer(f"JSON that is not a chat completion ({type(error).__name__})") from None
    if not text:
        raise BadAnswer("an empty text")
    return text
