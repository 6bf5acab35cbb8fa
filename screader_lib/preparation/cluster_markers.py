"""The genes that tell a cluster from all other cells, as Seurat's FindAllMarkers defines them.

Fold change: log2 of the means of the normalised values plus one (Seurat 4, pseudocount 1).
Test: Wilcoxon rank sum on the log-normalised values, p adjusted by Benjamini and Hochberg over all
genes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.preparation.clustering import LOG

if TYPE_CHECKING:
    import anndata

MOST_P = 0.05


@dataclass(frozen=True)
class Criteria:
    """Least log2 fold change, and least share of the cluster's cells that express the gene."""

    fold_change: float = 0.3
    share: float = 0.3


@dataclass(frozen=True)
class Marker:
    """A gene of a cluster: fold change, shares of cells inside and outside, adjusted p."""

    gene: str
    fold_change: float
    share_inside: float
    share_outside: float
    p: float


def find_markers(data: anndata.AnnData, criteria: Criteria) -> dict[str, list[Marker]]:
    """Per cluster its markers, those of greatest fold change first.

    A lone cluster has none, nor has one of a single cell.
    """
    import scanpy

    clusters = list(data.obs["cluster"].cat.categories)
    sizes = data.obs["cluster"].value_counts()
    tested_clusters = [name for name in clusters if sizes[name] > 1]
    if len(clusters) < 2 or not tested_clusters:
        return {name: [] for name in clusters}
    changes, inside, outside = _differences(data, clusters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.tl.rank_genes_groups(
            data,
            "cluster",
            groups=tested_clusters,
            method="wilcoxon",
            layer=LOG,
            use_raw=False,
            key_added="_markers",
        )
    tested = data.uns.pop("_markers")
    place = {gene: number for number, gene in enumerate(data.var_names)}
    found: dict[str, list[Marker]] = {}
    for row, cluster in enumerate(clusters):
        p = np.ones(data.n_vars)
        if cluster not in tested_clusters:
            found[cluster] = []
            continue
        numbers = [place[gene] for gene in tested["names"][cluster]]
        p[numbers] = tested["pvals_adj"][cluster]
        wanted = (
            (changes[row] > criteria.fold_change) & (inside[row] >= criteria.share) & (p < MOST_P)
        )
        order = sorted(np.flatnonzero(wanted), key=lambda gene: (-changes[row, gene], gene))
        found[cluster] = [
            Marker(
                str(data.var_names[gene]),
                float(changes[row, gene]),
                float(inside[row, gene]),
                float(outside[row, gene]),
                float(p[gene]),
            )
            for gene in order
        ]
    return found


def _differences(
    data: anndata.AnnData, clusters: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log2 fold changes and shares inside and outside, float64 (clusters, genes)."""
    from scipy.sparse import csr_matrix

    codes = data.obs["cluster"].cat.codes.to_numpy()
    member = csr_matrix(
        (np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(len(clusters), len(codes))
    )
    normal = data.layers[LOG].astype(np.float64)
    normal.data = np.expm1(normal.data)
    sums = np.asarray((member @ normal).todense())
    normal.data = np.ones_like(normal.data)
    seen = np.asarray((member @ normal).todense())
    sizes = np.bincount(codes, minlength=len(clusters))[:, None]
    others = len(codes) - sizes
    mean, mean_of_others = sums / sizes, (sums.sum(0) - sums) / others
    changes = np.log2(mean + 1) - np.log2(mean_of_others + 1)
    return changes, seen / sizes, (seen.sum(0) - seen) / others
