"""Clusters' markers against a table of cell types: scores and labels.

A type's score in a cluster is the sum, over the genes that are markers of both, of the gene's fold
change (at most ``MAX_CHANGE``) times its weight, over the root of the type's summed squared weights
plus those of a median type, so that a short list of genes is no advantage. A gene's weight
decreases with the number of types that it marks, as a gene that marks many types says little. The
overlap is tested by the hypergeometric distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.preparation.cluster_markers import Marker
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reporting import SILENT, Reporter

UNKNOWN, AMBIGUOUS = "unknown", "ambiguous"
MAX_CHANGE = 4.0  # log2
MAX_P = 0.01
MIN_GENES = 2
MIN_MARGIN = 0.1  # of the best score; below it two types cannot be distinguished


@dataclass(frozen=True)
class TypeScore:
    """How well a cell type fits a cluster: score, p of the overlap, the genes in support."""

    cell_type: CellType
    score: float
    p: float
    genes: tuple[str, ...]


@dataclass(frozen=True)
class ClusterLabel:
    """A cluster's label with its evidence, best type first.

    ``status`` is assigned, ambiguous, unknown, or corrected by a user.
    """

    cluster: str
    cells: int
    label: str = UNKNOWN
    ontology_id: str = ""
    status: str = UNKNOWN
    scores: tuple[TypeScore, ...] = ()
    markers: tuple[Marker, ...] = field(default=(), repr=False)

    @property
    def margin(self) -> float:
        """How far the best type is ahead of the second, as a fraction of its score."""
        best = [score.score for score in self.scores[:2]]
        if not best or best[0] <= 0:
            return 0.0
        return 1 - best[1] / best[0] if len(best) > 1 else 1.0


@dataclass(frozen=True)
class GeneWeights:
    """Each marker gene's weight; a type's median summed squared weights; number of genes."""

    of_gene: Mapping[str, float]
    median: float
    genes: int


def check_markers(
    types: Sequence[CellType], genes: Sequence[str], reporter: Reporter = SILENT
) -> None:
    """Report how many marker genes the ``genes`` of the data have; ScReaderError where none."""
    markers = {gene for cell_type in types for gene in cell_type.genes}
    present = len(markers & {gene.upper() for gene in genes})
    if not present:
        raise ScReaderError(
            "none of the marker genes is among the genes of the cells.",
            remedy="Give symbols with --gene-column, and check --species.",
        )
    reporter.info(f"{present:,} of {len(markers):,} marker genes are among the genes of the cells.")


def label_clusters(
    markers: Mapping[str, Sequence[Marker]],
    sizes: Mapping[str, int],
    types: Sequence[CellType],
    genes: Sequence[str],
) -> list[ClusterLabel]:
    """One label per cluster; ``genes`` are all genes of the data.

    ScReaderError where none of them marks any type.
    """
    if types:
        check_markers(types, genes)
    present = {gene.upper() for gene in genes}
    counts = Counter(gene for cell_type in types for gene in cell_type.genes & present)
    of_gene = {gene: 1 / np.sqrt(count) for gene, count in counts.items()}
    squares = [sum(of_gene[gene] ** 2 for gene in cell_type.genes & present) for cell_type in types]
    median = float(np.median([square for square in squares if square] or [0.0]))
    weights = GeneWeights(of_gene, median, len(present))
    return [
        _label(ClusterLabel(cluster, sizes[cluster], markers=tuple(own)), types, weights)
        for cluster, own in markers.items()
    ]


def _label(
    unlabelled: ClusterLabel, types: Sequence[CellType], weights: GeneWeights
) -> ClusterLabel:
    scores = [_score(unlabelled.markers, cell_type, weights) for cell_type in types]
    scores = [score for score in scores if score.p < MAX_P and len(score.genes) >= MIN_GENES]
    scores.sort(key=lambda score: (-score.score, score.cell_type.name))
    scored = replace(unlabelled, scores=tuple(scores))
    if not scores:
        return scored
    if scored.margin < MIN_MARGIN:
        return replace(scored, label=AMBIGUOUS, status=AMBIGUOUS)
    best = scores[0].cell_type
    return replace(scored, label=best.name, ontology_id=best.ontology_id, status="assigned")


def _score(markers: Sequence[Marker], cell_type: CellType, weights: GeneWeights) -> TypeScore:
    from scipy.stats import hypergeom

    of_gene = weights.of_gene
    present = [gene for gene in sorted(cell_type.genes) if gene in of_gene]
    shared = [marker for marker in markers if marker.gene.upper() in cell_type.genes]
    if not present or not shared:
        return TypeScore(cell_type, 0.0, 1.0, ())
    length = np.sqrt(sum(of_gene[gene] ** 2 for gene in present) + weights.median)
    total = sum(
        min(marker.fold_change, MAX_CHANGE) * of_gene[marker.gene.upper()] for marker in shared
    )
    p = float(hypergeom.sf(len(shared) - 1, weights.genes, len(present), len(markers)))
    return TypeScore(cell_type, float(total / length), p, tuple(marker.gene for marker in shared))
