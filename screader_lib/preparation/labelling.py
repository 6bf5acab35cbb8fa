"""Clusters' markers against a table of types: scores, labels, and the evidence for them.

A type's score in a cluster is the sum, over the genes that are markers of both, of the gene's
fold change (``MOST_CHANGE`` at most) times its weight, over the root of the type's summed squared
weights and those of a usual type, so that few listed genes are no merit. A gene's weight falls
with the number of types that it marks, so that what marks many tells little. The overlap is tested
by the hypergeometric distribution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.preparation.cluster_markers import Marker
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reporting import SILENT, Reporter

UNKNOWN, AMBIGUOUS = "unknown", "ambiguous"
MOST_CHANGE = 4.0  # log2
MOST_P = 0.01
FEWEST_GENES = 2
LEAST_MARGIN = 0.1  # of the best score; below it two types cannot be told apart


@dataclass(frozen=True)
class Score:
    """How well a type explains a cluster: score, p of the overlap, the genes that speak for it."""

    cell_type: CellType
    score: float
    p: float
    genes: tuple[str, ...]


@dataclass(frozen=True)
class ClusterLabel:
    """A cluster's label with its evidence, best type first; ``status`` says how sure it is.

    ``status`` is assigned, ambiguous, unknown, or corrected by a person.
    """

    cluster: str
    cells: int
    label: str
    ontology_id: str
    status: str
    scores: tuple[Score, ...] = ()
    markers: tuple[Marker, ...] = field(default=(), repr=False)

    @property
    def margin(self) -> float:
        """How far the best type is ahead of the second, as a share of its score."""
        best = [score.score for score in self.scores[:2]]
        if not best or best[0] <= 0:
            return 0.0
        return 1 - best[1] / best[0] if len(best) > 1 else 1.0


@dataclass(frozen=True)
class Weights:
    """Weight of each gene; a usual type's summed squared weights; how many genes the data have."""

    of_gene: Mapping[str, float]
    usual: float
    genes: int


def check_markers(
    types: Sequence[CellType], genes: Sequence[str], reporter: Reporter = SILENT
) -> None:
    """Tell how many marker genes the ``genes`` of the data have; ScReaderError where none."""
    known = {gene for one in types for gene in one.genes}
    found = len(known & {gene.upper() for gene in genes})
    if not found:
        raise _no_marker()
    reporter.info(f"{found:,} of {len(known):,} marker genes are among the genes of the cells.")


def _no_marker() -> ScReaderError:
    return ScReaderError(
        "none of the marker genes is among the genes of the cells.",
        remedy="Give symbols with --gene-column, and check --species.",
    )


def label_clusters(
    markers: Mapping[str, Sequence[Marker]],
    sizes: Mapping[str, int],
    types: Sequence[CellType],
    genes: Sequence[str],
) -> list[ClusterLabel]:
    """One call per cluster; ``genes`` are all genes of the data.

    ScReaderError where none of them marks any type.
    """
    present = {gene.upper() for gene in genes}
    counts = Counter(gene for one in types for gene in one.genes & present)
    weights = {gene: 1 / np.sqrt(count) for gene, count in counts.items()}
    if types and not weights:
        raise _no_marker()
    squares = [sum(weights[gene] ** 2 for gene in one.genes & present) for one in types]
    usual = float(np.median([square for square in squares if square] or [0.0]))
    return [
        _label(cluster, sizes[cluster], found, types, Weights(weights, usual, len(present)))
        for cluster, found in markers.items()
    ]


def _label(
    cluster: str,
    cells: int,
    markers: Sequence[Marker],
    types: Sequence[CellType],
    weights: Weights,
) -> ClusterLabel:
    scores = sorted(
        (_score(markers, one, weights) for one in types),
        key=lambda score: (-score.score, score.cell_type.name),
    )
    kept = tuple(score for score in scores if score.p < MOST_P and len(score.genes) >= FEWEST_GENES)
    call = ClusterLabel(cluster, cells, UNKNOWN, "", UNKNOWN, kept, tuple(markers))
    if not kept:
        return call
    best = kept[0].cell_type
    if call.margin < LEAST_MARGIN:
        return ClusterLabel(cluster, cells, AMBIGUOUS, "", AMBIGUOUS, kept, tuple(markers))
    return ClusterLabel(
        cluster, cells, best.name, best.ontology_id, "assigned", kept, tuple(markers)
    )


def _score(markers: Sequence[Marker], one: CellType, weights: Weights) -> Score:
    from scipy.stats import hypergeom

    of = weights.of_gene
    known = [gene for gene in sorted(one.genes) if gene in of]
    shared = [marker for marker in markers if marker.gene.upper() in one.genes]
    if not known or not shared:
        return Score(one, 0.0, 1.0, ())
    length = np.sqrt(sum(of[gene] ** 2 for gene in known) + weights.usual)
    summed = sum(
        min(marker.fold_change, MOST_CHANGE) * of[marker.gene.upper()] for marker in shared
    )
    p = float(hypergeom.sf(len(shared) - 1, weights.genes, len(known), len(markers)))
    return Score(one, float(summed / length), p, tuple(marker.gene for marker in shared))
