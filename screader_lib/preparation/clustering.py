"""From counts to clusters, on scanpy, and the genes that distinguish them.

Clusters: the steps of the paper, with Seurat's defaults: log-normalisation to 10,000 counts,
variable genes (Seurat's vst), scaling to unit variance clipped at 10, PCA, neighbours, UMAP, Leiden
clusters. The scaled matrix is never made dense: genes are divided by their standard deviation, PCA
subtracts the mean implicitly, and clipping x − mean at 10 standard deviations is done by clipping
x.

Markers, as in Seurat's FindAllMarkers. Fold change: log2 of the means of the normalised values plus
one (Seurat 4, pseudocount 1). Test: Wilcoxon rank sum on the log-normalised values, p adjusted by
Benjamini and Hochberg over all genes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.compiled import cached_between_runs
from screader_lib.errors import ScReaderError
from screader_lib.reporting import SILENT, Reporter, counted

if TYPE_CHECKING:
    import anndata
    import pandas
    from scipy.sparse import csr_matrix

TARGET_SUM = 1e4
CLIP = 10.0  # standard deviations
MIN_CELLS = 20
MIN_DISTINCT_MEANS = 10  # of genes that vary
LOG = "log_normalised"


@dataclass(frozen=True)
class ClusteringSettings:
    """Numbers of variable genes, components and neighbours; the clusters' resolution."""

    variable_genes: int = 2000
    components: int = 10
    neighbours: int = 20
    resolution: float = 0.5
    seed: int = 0


def cluster(
    data: anndata.AnnData, settings: ClusteringSettings, reporter: Reporter = SILENT
) -> None:
    """Add to counts: layer ``log_normalised``, obsm ``X_pca`` and ``X_umap``, obs ``cluster``.

    Clusters are named "1", "2", … from the largest. ScReaderError for too few cells or genes.
    """
    if data.n_obs < MIN_CELLS or data.n_vars <= settings.components:
        raise ScReaderError(
            f"{data.n_obs:,} cells and {data.n_vars:,} genes are too few to cluster.",
            remedy=f"At least {MIN_CELLS} cells and more genes than --components are needed.",
        )
    with cached_between_runs():
        import scanpy
        import umap  # noqa: F401 (scanpy imports it when it is needed, and then no longer cached)

    scanpy.settings.verbosity = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.layers[LOG] = data.X.copy()
        scanpy.pp.normalize_total(data, target_sum=TARGET_SUM, layer=LOG)
        scanpy.pp.log1p(data, layer=LOG)
        _find_variable_genes(data, settings)
        scaled = _scaled(data.layers[LOG][:, data.var["highly_variable"].to_numpy()])
        components = min(settings.components, min(scaled.shape) - 1)
        data.obsm["X_pca"] = scanpy.pp.pca(
            scaled, n_comps=components, zero_center=True, random_state=settings.seed
        ).astype(np.float32)
        reporter.detail("computing neighbours, UMAP and clusters.")
        scanpy.pp.neighbors(
            data,
            n_neighbors=min(settings.neighbours, data.n_obs - 1),
            use_rep="X_pca",
            random_state=settings.seed,
        )
        scanpy.tl.umap(data, random_state=settings.seed)
        scanpy.tl.leiden(
            data,
            resolution=settings.resolution,
            key_added="cluster",
            random_state=settings.seed,
            flavor="igraph",
            n_iterations=-1,
            directed=False,
        )
    data.obs["cluster"] = _by_size(data.obs["cluster"].cat.codes.to_numpy())
    number = len(data.obs["cluster"].cat.categories)
    reporter.info(f"{counted(number, 'cluster')} at resolution {settings.resolution:g}.")


def _by_size(codes: np.ndarray) -> pandas.Categorical:
    """Clusters named "1", "2", … from the largest; of equals the one of the first cell first."""
    import pandas

    clusters, _ = pandas.factorize(codes)  # numbered as they appear
    order = np.argsort(-np.bincount(clusters), kind="stable")
    names = [str(number + 1) for number in range(len(order))]
    return pandas.Categorical.from_codes(np.argsort(order)[clusters], names)


def _find_variable_genes(data: anndata.AnnData, settings: ClusteringSettings) -> None:
    import scanpy
    from sklearn.utils.sparsefuncs import mean_variance_axis

    number = min(settings.variable_genes, data.n_vars)
    mean, variance = mean_variance_axis(data.X, 0)
    if len(np.unique(mean[variance > 0])) < MIN_DISTINCT_MEANS:  # the loess fit would crash
        raise ScReaderError("its genes vary too little between cells to cluster by.")
    try:
        scanpy.pp.highly_variable_genes(data, flavor="seurat_v3", n_top_genes=number)
    except ValueError as error:  # the loess fit of few or uniform genes
        raise ScReaderError(f"variable genes cannot be found ({error}).") from error


def _scaled(logs: csr_matrix) -> csr_matrix:
    """Values over their gene's standard deviation, clipped as (x − mean) / deviation would be."""
    from sklearn.utils.sparsefuncs import mean_variance_axis

    logs = logs.astype(np.float64)
    mean, variance = mean_variance_axis(logs, 0)
    deviation = np.sqrt(variance * logs.shape[0] / max(1, logs.shape[0] - 1))
    deviation[deviation == 0] = 1
    logs.data = np.minimum(
        logs.data / deviation[logs.indices], (CLIP + mean / deviation)[logs.indices]
    )
    return logs


MAX_P = 0.05


@dataclass(frozen=True)
class Marker:
    """A gene of a cluster, its fold change and adjusted p."""

    gene: str
    fold_change: float
    p: float


def find_markers(
    data: anndata.AnnData, min_fold_change: float = 0.3, min_share: float = 0.3
) -> dict[str, list[Marker]]:
    """The markers of each cluster, by decreasing log2 fold change.

    ``min_share`` is the minimum fraction of the cluster's cells with the gene. A lone cluster has
    no markers, nor has one of a single cell.
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
            (table["change"] > min_fold_change)
            & (table["pct_nz_group"] >= min_share)
            & (table["pvals_adj"] < MAX_P)
        ].sort_values("change", ascending=False, kind="stable")
        values = passing[["change", "pvals_adj"]].to_numpy()
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
