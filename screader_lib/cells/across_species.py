"""Cells of one species built like those of another: genes stand for others by their texts."""

from __future__ import annotations

import numpy as np

from screader_lib.cells.gene_matcher import SMALLEST_SHARE, GeneMapping, GeneMatcher
from screader_lib.cells.organisms import called, species_of
from screader_lib.cells.vocabulary import Embeddings, ReferenceGenes, Vocabulary
from screader_lib.errors import ScReaderError

FEWEST_SHARED = 0.1  # of the known ids; below, two species that do not say which they are


def of_other_species(known: ReferenceGenes, embeddings: Embeddings) -> bool:
    """Whether the embedded genes are of another species than the ``known`` ones.

    As taxonomy ids tell; where they do not, by whether the ids are others.
    """
    species = species_of(embeddings.genes)
    if species and known.species:
        if species not in known.species:
            return True
        if len(known.species) == 1:
            return False
    names = set(embeddings.genes.index)
    return sum(gene in names for gene in known.ids) < FEWEST_SHARED * len(known.ids)


def vocabulary_by_texts(
    known: ReferenceGenes, embeddings: Embeddings, rows: np.ndarray, min_mapped: float = 0.0
) -> Vocabulary:
    """Those genes of ``rows`` of the embeddings that stand for ``known`` genes by their texts.

    ``rows`` rise. A gene's median is that of the genes it stands for, by their shares. Genes
    without a vector of their own stand for none. ScReaderError where the models differ, or less
    than ``min_mapped`` of the known genes, or none, has a gene that stands for it.
    """
    _check_model(known, embeddings)
    rows = rows[embeddings.genes.strings("source")[rows] != "none"]
    vectors = embeddings.vectors[rows] if len(rows) else np.zeros((0, known.vectors.shape[1]))
    genes = GeneMatcher(known.ids, known.vectors[()])
    match = genes.match(embeddings.genes.index[rows], vectors.astype(np.float32, copy=False))
    stands = match.known > 0
    reached, total = _reached(match, len(known.ids)), len(known.ids)
    species = species_of(embeddings.genes)
    who = called(species) if species else embeddings.name
    if not reached or reached < min_mapped * total:
        raise ScReaderError(
            f"its texts of genes are near those of only {reached:,} of the {total:,} genes of "
            f"{known.name} (--min-mapped wants {min_mapped:.0%}).",
            file=embeddings.name,
            remedy="Fetch both species' texts with the same --fields, or use --orthologs.",
        )
    told = (
        f"of the {total:,} genes of {known.name}, {reached:,} are known by {stands.sum():,} genes "
        f"of {who} through their texts; of the expression, these bring"
    )
    return Vocabulary(rows[stands].astype(np.int64), _medians(match, known.medians)[stands], told)


def _check_model(known: ReferenceGenes, embeddings: Embeddings) -> None:
    ours = embeddings.identity["model"], embeddings.vectors.shape[1]
    theirs = known.identity.get("model"), known.vectors.shape[1]
    if ours != theirs:
        raise ScReaderError(
            f"its genes were embedded by {ours[0]} ({ours[1]} wide), those of {known.name} by "
            f"{theirs[0]} ({theirs[1]} wide).",
            file=embeddings.name,
            remedy="Genes of another species are known by their texts: embed both by one model.",
        )


def _reached(match: GeneMapping, genes: int) -> int:
    """How many known genes one of the others stands for, with no less than the least share."""
    best = np.zeros(genes, np.float32)
    np.maximum.at(best, match.neighbours, match.shares * match.known[:, None])
    return int((best >= SMALLEST_SHARE).sum())


def _medians(match: GeneMapping, medians: np.ndarray) -> np.ndarray:
    """The median of each gene, float32; 0, which is not known, where its neighbours have none."""
    mixed = match.mixed(np.stack([medians, medians > 0], axis=1).astype(np.float32))
    known = mixed[:, 1] >= SMALLEST_SHARE
    return np.where(known, mixed[:, 0] / np.where(known, mixed[:, 1], 1), 0).astype(np.float32)
