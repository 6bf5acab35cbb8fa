"""Species of cells and embeddings, and cells built like those of another species.

CELLxGENE's schema has a cell's species in ``organism_ontology_term_id`` (``NCBITaxon:9606``).
Cells of another species than ``--like`` are built by genes that stand for its genes, as their texts
are similar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from screader_lib.cells.formats.expression import ORGANISM_KEY, Expression
from screader_lib.cells.gene_matcher import MIN_SIMILARITY, GeneMatcher
from screader_lib.cells.vocabulary import Embeddings, ReferenceGenes, Vocabulary
from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import Record
from screader_lib.exchange.table import Table
from screader_lib.genes.records import organism_of

PREFIX = "NCBITaxon:"
MIN_SHARED = 0.1  # of the reference ids; with fewer in common, unnamed species differ


def check_organism(expression: Expression, mask: np.ndarray, genes: Table) -> None:
    """ScReaderError where cells of ``mask`` are of another species than the embedded ``genes``."""
    tax_id = species_of(genes)
    organisms, embedded = organisms_of(expression, mask), f"{PREFIX}{tax_id}"
    if tax_id and not organisms <= {embedded}:
        raise ScReaderError(
            f"its cells are of {' and '.join(sorted(organisms))}, the gene embeddings of "
            f"{embedded}.",
            file=expression.name,
            remedy="Use embeddings of this species, or --orthologs.",
        )


def organisms_of(expression: Expression, mask: np.ndarray) -> set[str]:
    """The species of the cells of ``mask``, such as ``NCBITaxon:9606``; empty where not stated."""
    organisms = {expression.organism}
    if ORGANISM_KEY in expression.obs.columns:
        column = expression.obs.columns[ORGANISM_KEY].take(np.flatnonzero(mask))
        organisms = {text for texts in column.string_blocks() for text in texts}
    return {name for name in organisms if name.startswith(PREFIX)}


def species_of(genes: Table) -> int:
    """NCBI taxonomy id of most genes, 0 where not stated."""
    if "tax_id" not in genes.columns:
        return 0
    counts = Counter(number for number in genes.strings("tax_id") if number != "0")
    return int(counts.most_common(1)[0][0]) if counts else 0


def species_in(steps: Iterable[Record]) -> frozenset[int]:
    """NCBI taxonomy ids of the species whose gene texts were fetched in a file's history."""
    species = set()
    for step in steps:
        if step.tool == "fetch-descriptions":
            with suppress(ScReaderError):
                species.add(organism_of(str(step.parameters.get("organism"))).tax_id)
    return frozenset(species)


def common_name(tax_id: int) -> str:
    """A species in words, such as ``mouse``."""
    organism = organism_of(str(tax_id))
    return organism.common or organism.name or f"the species with NCBI id {tax_id}"


def is_other_species(reference: ReferenceGenes, embeddings: Embeddings) -> bool:
    """Whether the embedded genes are of another species than those of ``reference``.

    By taxonomy ids; where these do not tell, by whether the gene ids differ.
    """
    species = species_of(embeddings.genes)
    if species and reference.species:
        if species not in reference.species:
            return True
        if len(reference.species) == 1:
            return False
    shared = set(embeddings.genes.index).intersection(reference.ids)
    return len(shared) < MIN_SHARED * len(reference.ids)


def vocabulary_by_texts(
    reference: ReferenceGenes, embeddings: Embeddings, rows: np.ndarray, min_mapped: float = 0.0
) -> Vocabulary:
    """Those genes of ``rows`` of the embeddings whose texts are near those of ``reference`` genes.

    ``rows`` ascend. A gene's median is the mean of its neighbours', weighted by their shares.
    Genes without a text of their own are left out. ScReaderError where the models differ, or less
    than ``min_mapped`` of the reference genes, or none, is matched.
    """
    model, width = embeddings.identity["model"], embeddings.vectors.shape[1]
    other_model, other_width = reference.identity.get("model"), reference.vectors.shape[1]
    if (model, width) != (other_model, other_width):
        raise ScReaderError(
            f"its genes were embedded by {model} ({width} dimensions), those of {reference.name} "
            f"by {other_model} ({other_width} dimensions).",
            file=embeddings.name,
            remedy="Genes of another species are matched by text: embed both with one model.",
        )
    rows = rows[embeddings.genes.strings("source")[rows] != "none"]
    vectors = embeddings.vectors[rows] if len(rows) else np.zeros((0, width))
    matcher = GeneMatcher(reference.ids, reference.vectors[()])
    mapping = matcher.match(embeddings.genes.index[rows], vectors.astype(np.float32, copy=False))
    matched, total = mapping.known > 0, len(reference.ids)
    best = np.zeros(total, np.float32)  # share in which each reference gene is a neighbour
    np.maximum.at(best, mapping.neighbours, mapping.shares * mapping.known[:, None])
    reached = int((best >= MIN_SIMILARITY).sum())
    if not reached or reached < min_mapped * total:
        raise ScReaderError(
            f"its gene texts match only {reached:,} of the {total:,} genes of {reference.name} "
            f"(--min-mapped requires {min_mapped:.0%}).",
            file=embeddings.name,
            remedy="Fetch both species' texts with the same --fields, or use --orthologs.",
        )
    species = species_of(embeddings.genes)
    summary = (
        f"{matched.sum():,} genes of {common_name(species) if species else embeddings.name} match "
        f"{reached:,} of the {total:,} genes of {reference.name} by text and carry"
    )
    medians = np.stack([reference.medians, reference.medians > 0], axis=1).astype(np.float32)
    summed, share = mapping.weighted_mean(medians).T
    known = share >= MIN_SIMILARITY  # else the median is 0, which is unknown
    medians = np.where(known, summed / np.where(known, share, 1), 0).astype(np.float32)
    return Vocabulary(rows[matched].astype(np.int64), medians[matched], summary)
