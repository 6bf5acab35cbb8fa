"""The input's genes onto the embedded genes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from screader_lib.exchange.table import Table

ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?$")
ABSENT = -1


@dataclass
class GeneMatch:
    """``rows`` int32 (input genes,): row of the embedded gene, −1 where there is none."""

    rows: np.ndarray
    how: Counter[str] = field(default_factory=Counter)

    @property
    def matched(self) -> int:
        """Number of input genes that have an embedding."""
        return int((self.rows != ABSENT).sum())


def without_version(name: str) -> str:
    """An Ensembl id without its version; other names as they are."""
    return name.split(".", maxsplit=1)[0] if ENSEMBL.match(name) else name


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Name → row, for names that lead to one row only."""
    found: dict[str, int] = {}
    ambiguous = set()
    for name, row in pairs:
        if name and found.setdefault(name, row) != row:
            ambiguous.add(name)
    for name in ambiguous:
        del found[name]
    return found


def _aliases(genes: Table) -> Iterable[tuple[str, int]]:
    for row, joined in enumerate(genes.strings("aliases")):
        for alias in joined.split("|"):
            yield alias, row


def lookups(genes: Table) -> dict[str, Mapping[str, int]]:
    """Ways to find an embedded gene, best first: way → name → row."""

    def by(column: str) -> dict[str, int]:
        return _unique((name, row) for row, name in enumerate(genes.strings(column)))

    return {
        "id": {name: row for row, name in enumerate(genes.index)},
        "symbol": by("symbol"),
        "Ensembl id": {without_version(key): row for key, row in by("ensembl_id").items()},
        "NCBI GeneID": by("gene_id"),
        "alias": _unique(_aliases(genes)),
    }


def match_genes(names: np.ndarray, genes: Table) -> GeneMatch:
    """Match input gene ``names`` to the embedded ``genes``.

    Tried in order: the embedding's own id, symbol, Ensembl id (versions ignored), NCBI GeneID,
    alias. Names that could mean several genes are not matched by that way.
    """
    ways = lookups(genes)
    result = GeneMatch(np.full(len(names), ABSENT, np.int32))
    for place, name in enumerate(names):
        for way, table in ways.items():
            row = table.get(without_version(name))
            row = table.get(name) if row is None else row
            if row is not None:
                result.rows[place] = row
                result.how[way] += 1
                break
    return result


def likely_reason(names: np.ndarray, genes: Table) -> str:
    """Why so few genes match, as far as the names tell."""
    ensembl_in = np.mean([bool(ENSEMBL.match(name)) for name in names[:1000]] or [False])
    ensembl_known = np.mean([bool(value) for value in genes.strings("ensembl_id")] or [False])
    if ensembl_in > 0.5 and ensembl_known < 0.5:
        return "The cells name genes by Ensembl id, the embeddings by symbol: use --gene-column."
    folded = {name.lower() for name in genes.index}
    if np.mean([name.lower() in folded for name in names]) > 0.3:
        return "The names agree but for upper and lower case: embeddings of another species?"
    return "Are the embeddings of this species, and is --gene-column right?"
