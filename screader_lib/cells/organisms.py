"""Of which species the cells are and the embeddings, where the files say so.

CELLxGENE's schema keeps ``organism_ontology_term_id`` (``NCBITaxon:9606``) in obs, since version
6 in uns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from screader_lib.cells.formats.expression import Expression
from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.table import Table
from screader_lib.genes.organisms import organism_of

KEY = "organism_ontology_term_id"
PREFIX = "NCBITaxon:"


def check_organism(expression: Expression, chosen: np.ndarray, genes: Table) -> None:
    """ScReaderError where ``chosen`` cells are of another species than the embedded ``genes``."""
    tax_id = species_of(genes)
    cells, embedded = organisms_of(expression, chosen), f"{PREFIX}{tax_id}"
    if not tax_id or cells <= {embedded}:
        return
    raise ScReaderError(
        f"its cells are of {' and '.join(sorted(cells))}, the gene embeddings of {embedded}.",
        file=expression.name,
        remedy="Use embeddings of this species, or --orthologs.",
    )


def organisms_of(expression: Expression, chosen: np.ndarray) -> set[str]:
    """The species of the chosen cells, such as ``NCBITaxon:9606``; none where the file is mute."""
    found: set[Any] = set()
    if KEY in expression.obs.columns:
        column = expression.obs.columns[KEY].take(np.flatnonzero(chosen))
        for texts in column.string_blocks():
            found.update(texts)
    elif expression.facts.get(KEY):
        found = {expression.facts[KEY]}
    return {name for name in found if str(name).startswith(PREFIX)}


def species_of(genes: Table) -> int:
    """NCBI taxonomy id of most genes, 0 where they do not say."""
    if "tax_id" not in genes.columns:
        return 0
    counts = Counter(number for number in genes.strings("tax_id") if number != "0")
    return int(counts.most_common(1)[0][0]) if counts else 0


def species_in(steps: Iterable[Record]) -> frozenset[int]:
    """NCBI taxonomy ids of the species whose gene texts were fetched on the way to a file."""
    found = set()
    for step in steps:
        if step.tool == "fetch-descriptions":
            with suppress(ScReaderError):
                found.add(organism_of(str(step.parameters.get("organism"))).tax_id)
    return frozenset(found)


def called(tax_id: int) -> str:
    """A species in words, such as ``mouse``."""
    organism = organism_of(str(tax_id))
    return organism.common or organism.name or f"the species with NCBI id {tax_id}"
