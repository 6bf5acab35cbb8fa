"""The genes that distinguish a cluster from all other cells, as in Seurat's FindAllMarkers.

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

MAX_P = 0.05


@dataclass(frozen=True)
class MarkerThresholds:
    """Minimum log2 fold change, and minimum fraction of the cluster's cells with the gene."""

    fold_change: float = 0.3
    share: float = 0.3


@dataclass(frozen=True)
class Marker:
    """A gene of a cluster: fold change, fractions of cells inside and outside, adjusted p."""

    gene: str
    fold_change: float
    share_inside: float
    share_outside: float
    p: float


def find_markers(data: anndata.AnnData, thresholds: MarkerThresholds) -> dict[str, list[Marker]]:
    """The markers of each cluster, by decreasing fold change.

    A lone cluster has none, nor has one of a single cell.
    """
    import scanpy

    sizes = data.obs["cluster"].value_counts(sort=False)
    markers: dict[str, list[Marker]] = {name: [] for name in sizes.index}
    tested = [name for name, size in sizes.items() if size > 1]
    if len(sizes) < 2 or not tested:
        return markers
    changes, inside, outside = _differences(data, sizes.to_numpy()[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.tl.rank_genes_groups(
            data,
            "cluster",
            groups=tested,
            method="wilcoxon",
            layer=LOG,
            use_raw=False,
            key_added="_markers",
        )
    for row, cluster in enumerate(sizes.index):
        if cluster not in tested:
            continue
        table = scanpy.get.rank_genes_groups_df(data, cluster, key="_markers")
        p = table.set_index("names")["pvals_adj"][data.var_names].to_numpy()
        passing = np.flatnonzero(
            (changes[row] > thresholds.fold_change)
            & (inside[row] >= thresholds.share)
            & (p < MAX_P)
        )
        markers[cluster] = [
            Marker(
                str(data.var_names[gene]),
                float(changes[row, gene]),
                float(inside[row, gene]),
                float(outside[row, gene]),
                float(p[gene]),
            )
            for gene in passing[np.argsort(-changes[row, passing], kind="stable")]
        ]
    del data.uns["_markers"]
    return markers


def _differences(
    data: anndata.AnnData, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log2 fold changes and fractions inside and outside, float64 (clusters, genes)."""
    import anndata
    import scanpy

    linear = data.layers[LOG].astype(np.float64)
    linear.data = np.expm1(linear.data)
    sums = scanpy.get.aggregate(
        anndata.AnnData(linear, obs=data.obs[["cluster"]]), "cluster", ["sum", "count_nonzero"]
    )
    total, detected = sums.layers["sum"], sums.layers["count_nonzero"]
    others = len(data) - sizes
    changes = np.log2(total / sizes + 1) - np.log2((total.sum(0) - total) / others + 1)
    return changes, detected / sizes, (detected.sum(0) - detected) / others
