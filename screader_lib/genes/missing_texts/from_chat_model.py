"""Texts from a chat model for genes of which no source knows a summary.

Any server that answers as OpenAI's does (``POST /chat/completions``). Texts are marked ``llm``,
and model and prompt are recorded in the output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import Description, with_texts
from screader_lib.genes.organisms import Organism
from screader_lib.genes.records import Gene
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.services.openai_server import URL, OpenAIServer
from screader_lib.genes.services.service import BadAnswer, Pace, parse_json
from screader_lib.genes.texts import DEFAULT_FIELDS, cleaned
from screader_lib.reporting import SILENT, Reporter

SOURCE = "llm"
UNKNOWN = "UNKNOWN"
PLACES = ("{symbol}", "{gene}", "{organism}")
PROMPT = """Describe the gene {gene} of {organism} in at most 120 words of plain English prose. \
Give, as far as they are well established: its official full name, the type of gene, what its \
product does, the processes it takes part in, and the tissues and cell types that express it. \
No lists, no references, no introduction. If you do not know this gene, answer only: UNKNOWN"""
WITHOUT_TEMPERATURE = ("o1", "o3", "o4", "gpt-5")  # models that take no other than their own


@dataclass(frozen=True)
class Writer:
    """A chat model and what it is asked; the key is read from the environment."""

    model: str
    prompt: str = PROMPT
    url: str = URL
    requests_per_minute: float = 500
    concurrent: int = 4

    def __post_init__(self) -> None:
        if not any(place in self.prompt for place in PLACES[:2]):
            raise ScReaderError(
                "the prompt names no gene.", remedy="Write {gene} or {symbol} where it belongs."
            )

    def question(self, description: Description, organism: Organism) -> str:
        """The prompt for one gene; only the known places are filled, other braces stay."""
        gene = description.gene
        named = f"{gene.symbol} ({gene.full_name})" if gene.full_name else gene.symbol
        species = gene.organism or organism.name or f"the species with NCBI id {organism.tax_id}"
        values = (gene.symbol, named, species)
        text = self.prompt
        for place, value in zip(PLACES, values, strict=True):
            text = text.replace(place, value)
        return text

    @property
    def record(self) -> dict[str, str]:
        """What the output says of the texts' origin."""
        return {"model": self.model, "prompt": self.prompt}


def lacking(descriptions: Sequence[Description]) -> list[Description]:
    """Those without a summary or text of their own; not the ambiguous, whose gene is unclear."""
    return [
        one
        for one in descriptions
        if not one.gene.summary and not one.gene.text and one.match.how != "ambiguous"
    ]


def fill_from_model(
    descriptions: Sequence[Description],
    writer: Writer,
    organism: Organism,
    cache: DiskCache,
    fields: Sequence[str] = DEFAULT_FIELDS,
    reporter: Reporter = SILENT,
    refresh: bool = False,
    **settings: Any,
) -> list[Description]:
    """Give genes without a summary a text of the model's; every answer is kept in the cache.

    ``refresh`` asks for those that are kept, too.
    ScReaderError where the server does not answer, or OpenAI itself is asked without a key.
    """
    questions = {one.name: writer.question(one, organism) for one in lacking(descriptions)}
    keys = {name: _key(writer, question) for name, question in questions.items()}
    kept = {} if refresh else cache.get(keys.values())
    known = {key: value.decode() for key, value in kept.items()}
    new = {keys[name]: text for name, text in questions.items() if keys[name] not in known}
    reporter.info(f"asking {writer.model} for {len(new):,} genes; {len(known):,} are known.")
    if new:
        known.update(_ask_all(writer, new, cache, reporter, settings))
    answers = {name: known[key] for name, key in keys.items()}
    filled = [_with_text(one, answers.get(one.name, ""), organism) for one in descriptions]
    gained = sum(one.gene.source == SOURCE for one in filled)
    reporter.info(f"{gained:,} genes have a text of {writer.model}.")
    return with_texts(filled, fields)


def _key(writer: Writer, question: str) -> str:
    return hashlib.sha256(json.dumps([writer.url, writer.model, question]).encode()).hexdigest()


def _ask_all(
    writer: Writer,
    questions: Mapping[str, str],
    cache: DiskCache,
    reporter: Reporter,
    settings: Mapping[str, Any],
) -> dict[str, str]:
    pace = Pace(writer.requests_per_minute / 60)
    options: dict[str, Any] = {"reporter": reporter, "url_option": "--llm-url", **settings}
    server = OpenAIServer("the chat server", writer.url, pace, **options)
    answers: dict[str, str] = {}
    with (
        ThreadPoolExecutor(writer.concurrent) as pool,
        reporter.progress("Asking the model", len(questions), "genes") as advance,
    ):
        futures = {
            pool.submit(_ask_and_keep, server, writer.model, text, cache, key): key
            for key, text in questions.items()
        }
        try:
            for future in as_completed(futures):
                answers[futures[future]] = future.result()
                advance(1)
        except BaseException:
            server.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return answers


def _ask_and_keep(
    server: OpenAIServer, model: str, question: str, cache: DiskCache, key: str
) -> str:
    answer = _ask(server, model, question)
    cache.put({key: answer.encode()})
    return answer


def _ask(server: OpenAIServer, model: str, question: str) -> str:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}]}
    if not model.startswith(WITHOUT_TEMPERATURE):
        body["temperature"] = 0
    return server.ask(
        lambda client: client.chat.completions.with_raw_response.create(**body), parse_answer
    )


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
    if not text or text.strip(" .").upper() == UNKNOWN:
        return description
    known = description.match.gene or Gene(
        description.name, organism=organism.name, tax_id=organism.tax_id
    )
    gene = replace(known, summary=text, source=SOURCE)
    return replace(description, match=replace(description.match, gene=gene))
