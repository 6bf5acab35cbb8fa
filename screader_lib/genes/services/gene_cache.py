"""Genes as kept in a cache: JSON of their filled fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.genes.records import Gene
from screader_lib.genes.services.cache import DiskCache


def to_bytes(genes: Iterable[Gene]) -> bytes:
    """Genes as JSON."""
    filled = [{key: value for key, value in asdict(gene).items() if value} for gene in genes]
    return json.dumps(filled, sort_keys=True, ensure_ascii=False).encode()


def from_bytes(value: bytes) -> list[Gene]:
    """The genes of :func:`to_bytes`."""
    entries: list[dict[str, Any]] = json.loads(value)
    for entry in entries:
        entry.update({key: tuple(one) for key, one in entry.items() if isinstance(one, list)})
    return [Gene(**entry) for entry in entries]


class GeneCache:
    """Genes by question, kept under ``prefix`` in a cache; ``refresh`` forgets what is there."""

    def __init__(self, cache: DiskCache, prefix: str, refresh: bool = False) -> None:
        self.cache = cache
        self.prefix = prefix
        self.refresh = refresh
        self.asked_anew: set[str] = set()

    def known(self, questions: Sequence[str]) -> dict[str, list[Gene]]:
        """The answers that are kept, by question."""
        keys = {
            f"{self.prefix}/{question}": question
            for question in questions
            if not self.refresh or question in self.asked_anew
        }
        try:
            return {keys[key]: from_bytes(value) for key, value in self.cache.get(keys).items()}
        except (ValueError, TypeError) as error:
            raise ScReaderError(
                "holds an answer that cannot be read.",
                file=self.cache.path,
                remedy="Remove it and run again.",
            ) from error

    def keep(self, answers: Mapping[str, Iterable[Gene]]) -> None:
        """Keep the answers of one request, all or none."""
        self.cache.put(
            {f"{self.prefix}/{question}": to_bytes(genes) for question, genes in answers.items()}
        )
        self.asked_anew.update(answers)
