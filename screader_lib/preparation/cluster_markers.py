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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.tl.rank_genes_groups(
            data,
            "cluster",
            groups=tested,
            method="wilcoxon",
            layer=LOG,
            use_raw=False,
            pts=True,
            key_added="_markers",
        )
    changes = _fold_changes(data, sizes.to_numpy()[:, None])
    for cluster in tested:
        table = scanpy.get.rank_genes_groups_df(data, cluster, key="_markers")
        table = table.set_index("names").loc[data.var_names]
        table["change"] = changes[sizes.index.get_loc(cluster)]
        passing = table[
            (table["change"] > thresholds.fold_change)
            & (table["pct_nz_group"] >= thresholds.share)
            & (table["pvals_adj"] < MAX_P)
        ].sort_values("change", ascending=False, kind="stable")
        values = passing[["change", "pct_nz_group", "pct_nz_reference", "pvals_adj"]].to_numpy()
        markers[cluster] = [
            Marker(str(gene), *row)
            for gene, row in zip(passing.index, values.tolist(), strict=True)
        ]
    del data.uns["_markers"]
    return markers


def _fold_changes(data: anndata.AnnData, sizes: np.ndarray) -> np.ndarray:
    """log2 fold changes, float64 (clusters, genes); ``sizes`` (clusters, 1)."""
    import anndata
    import scanpy

    linear = data.layers[LOG].astype(np.float64)
    linear.data = np.expm1(linear.data)
    cells = anndata.AnnData(linear, obs=data.obs[["cluster"]])
    sums = scanpy.get.aggregate(cells, "cluster", "sum").layers["sum"]
    means, others = sums / sizes, (sums.sum(0) - sums) / (len(data) - sizes)
    return np.log2(means + 1) - np.log2(others + 1)
