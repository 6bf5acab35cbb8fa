"""Species of cells and embeddings, and cells built like those of another species.

CELLxGENE's schema has a cell's species in ``organism_ontology_term_id`` (``NCBITaxon:9606``).
Cells of another species than ``--like`` are built by genes that stand for its genes, as their texts
are similar.
"""

from __future__ import annotations

import numpy as np

from screader_lib.cells.formats.expression import ORGANISM_KEY, Expression
from screader_lib.cells.gene_matcher import MIN_SIMILARITY, GeneMatcher
from screader_lib.cells.gene_texts import common_name
from screader_lib.cells.vocabulary import Embeddings, ReferenceGenes, Vocabulary, species_of
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table

PREFIX = "NCBITaxon:"


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


def vocabulary_by_texts(
    reference: ReferenceGenes,
    embeddings: Embeddings,
    rows: np.ndarray,
    source: str,
    min_mapped: float = 0.0,
) -> Vocabulary:
    """Those genes of ``rows`` of the embeddings whose texts are near those of ``reference`` genes.

    ``rows`` ascend. A gene's median is the mean of its neighbours', weighted by their shares.
    Genes without a text of their own are left out. ScReaderError where the texts have other fields
    or were embedded by another model, or less than ``min_mapped`` of the reference genes, or none,
    is matched; ``source`` is the file whose genes they are.
    """
    organism = " and ".join(map(common_name, sorted(embeddings.texts.species)))
    difference = embeddings.texts.difference(reference.texts, reference.name)
    if difference:
        commands = reference.texts.commands(organism or "NAME", source, embeddings.name)
        raise ScReaderError(
            f"its genes were {difference}; genes of another species are matched by their texts.",
            file=embeddings.name,
            remedy=f"Make the embeddings as those of {reference.name}: {commands}",
        )
    rows = rows[embeddings.genes.strings("source")[rows] != "none"]
    width = embeddings.vectors.shape[1]
    vectors = embeddings.vectors[rows] if len(rows) else np.zeros((0, width))
    matcher = GeneMatcher(reference.ids, reference.vectors[()], reference.texts)
    mapping = matcher.match(
        embeddings.genes.index[rows], vectors.astype(np.float32, copy=False), embeddings.texts
    )
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
    summary = (
        f"{matched.sum():,} genes of {organism or embeddings.name} match "
        f"{reached:,} of the {total:,} genes of {reference.name} by text and carry"
    )
    medians = np.stack([reference.medians, reference.medians > 0], axis=1).astype(np.float32)
    summed, share = mapping.weighted_mean(medians).T
    known = share >= MIN_SIMILARITY  # else the median is 0, which is unknown
    medians = np.where(known, summed / np.where(known, share, 1), 0).astype(np.float32)
    return Vocabulary(rows[matched].astype(np.int64), medians[matched], summary)
