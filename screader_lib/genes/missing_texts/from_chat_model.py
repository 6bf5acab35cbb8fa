"""Texts from a chat model for genes without a summary in any source.

The model is asked through any OpenAI-compatible server (``POST /chat/completions``). Its texts are
marked ``llm``, and model and prompt are recorded in the output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import Description, with_texts
from screader_lib.genes.organisms import Organism
from screader_lib.genes.records import Gene
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.services.openai_server import URL, OpenAIServer
from screader_lib.genes.services.service import BadAnswer, Pace, parse_json
from screader_lib.genes.texts import DEFAULT_FIELDS, cleaned
from screader_lib.reporting import SILENT, Reporter, counted

SOURCE = "llm"
UNKNOWN = "UNKNOWN"
PROMPT = """Describe the gene {gene} of {organism} in at most 120 words of plain English prose. \
Give, as far as they are well established: its official full name, the type of gene, what its \
product does, the processes it takes part in, and the tissues and cell types that express it. \
No lists, no references, no introduction. If you do not know this gene, answer only: UNKNOWN"""
WITHOUT_TEMPERATURE = ("o1", "o3", "o4", "gpt-5")  # models that accept only their default


@dataclass(frozen=True)
class ChatModel:
    """A chat model and its prompt, with {gene} or {symbol}, and maybe {organism}."""

    name: str
    prompt: str = PROMPT
    url: str = URL
    requests_per_minute: float = 500
    concurrent: int = 4

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
    """Give genes without a summary a text of the model's; every answer is cached.

    Ambiguous names get none, as it is not clear which gene they mean. ``refresh`` asks again for
    what is cached. ScReaderError where the server does not answer, or OpenAI itself is asked
    without a key.
    """
    prompts = {
        description.name: model.prompt_for(description, organism)
        for description in descriptions
        if not description.gene.summary
        and not description.gene.text
        and description.match.how != "ambiguous"
    }
    keys = {name: _key(model, prompt) for name, prompt in prompts.items()}
    cached = {} if refresh else cache.get(keys.values())
    new = {keys[name]: prompt for name, prompt in prompts.items() if keys[name] not in cached}
    reporter.info(f"asking {model.name} for {counted(len(new), 'gene')}; {len(cached):,} cached.")
    if new:
        _ask_all(model, new, cache, reporter, settings)
    answers = cache.get(keys.values())
    filled = [
        _with_text(description, answers[keys[description.name]].decode(), organism)
        if description.name in keys
        else description
        for description in descriptions
    ]
    number = sum(description.gene.source == SOURCE for description in filled)
    reporter.info(f"{counted(number, 'gene')} described by {model.name}.")
    return with_texts(filled, fields)


def _key(model: ChatModel, prompt: str) -> str:
    return hashlib.sha256(json.dumps([model.url, model.name, prompt]).encode()).hexdigest()


def _ask_all(
    model: ChatModel,
    prompts: Mapping[str, str],
    cache: DiskCache,
    reporter: Reporter,
    settings: Mapping[str, Any],
) -> None:
    """Cache the answer to each prompt as it arrives."""
    pace = Pace(model.requests_per_minute / 60)
    options: dict[str, Any] = {"reporter": reporter, "url_option": "--llm-url", **settings}
    server = OpenAIServer("the chat server", model.url, pace, **options)
    temperature = {} if model.name.startswith(WITHOUT_TEMPERATURE) else {"temperature": 0}

    def ask(key: str, prompt: str) -> None:
        messages = [{"role": "user", "content": prompt}]
        body: dict[str, Any] = {"model": model.name, "messages": messages, **temperature}
        answer = server.ask("chat/completions", body, parse_answer)
        cache.put({key: answer.encode()})

    with reporter.progress("Asking the model", len(prompts), "genes") as advance:
        tasks = [partial(ask, key, prompt) for key, prompt in prompts.items()]
        server.run_all(tasks, model.concurrent, lambda _: advance(1))


def parse_answer(body: bytes) -> str:
    """The text of a chat completion, cleaned; BadAnswer where there is none."""
    answer = parse_json(body)
    try:
        text = cleaned(answer["choices"][0]["message"]["content"])
    except (KeyError, IndexError, TypeError) as error:
        raise BadAnswer(f"JSON that is no chat completion ({type(error).__name__})") from None
    if not text:
        raise BadAnswer("an empty text")
    return text


def _with_text(description: Description, text: str, organism: Organism) -> Description:
    if text.strip(" .").upper() == UNKNOWN:
        return description
    gene = description.match.gene or Gene(
        description.name, organism=organism.name, tax_id=organism.tax_id
    )
    gene = replace(gene, summary=text, source=SOURCE)
    return replace(description, match=replace(description.match, gene=gene))
