"""From counts to clusters, on scanpy: the steps of the paper, with Seurat's defaults.

Log-normalisation to 10,000 counts, variable genes (Seurat's vst), scaling to unit variance clipped
at 10, PCA, neighbours, UMAP, Leiden clusters. The scaled matrix is never made dense: genes are
divided by their standard deviation, PCA subtracts the mean implicitly, and clipping x − mean at 10
standard deviations is done by clipping x.
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
        _reduce(data, settings)
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


def _reduce(data: anndata.AnnData, settings: ClusteringSettings) -> None:
    import scanpy

    genes = np.flatnonzero(data.var["highly_variable"].to_numpy())
    scaled = _scaled(data.layers[LOG][:, genes])
    components = min(settings.components, min(scaled.shape) - 1)
    data.obsm["X_pca"] = scanpy.pp.pca(
        scaled, n_comps=components, zero_center=True, random_state=settings.seed
    ).astype(np.float32)


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
