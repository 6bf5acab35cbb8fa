"""Quality control, scaling, clusters and markers against obvious computations."""

from __future__ import annotations

import anndata
import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from screader_lib.errors import ScReaderError
from screader_lib.preparation.clustering import (
    CLIP,
    LOG,
    ClusteringSettings,
    _by_size,
    _scaled,
    cluster,
    find_markers,
)
from screader_lib.preparation.counts import QualityThresholds, filter_counts

CELLS, GENES = 150, 300


def types() -> np.ndarray:
    """Three types of 75, 45 and 30 cells, mixed."""
    return np.random.default_rng(5).permutation(np.repeat([0, 1, 2], [75, 45, 30]))


def counts(seed: int = 0) -> anndata.AnnData:
    """Twenty genes mark each type."""
    random = np.random.default_rng(seed)
    rate = np.tile(random.gamma(1.0, 1.0, GENES), (CELLS, 1))
    for kind in range(3):
        rows = np.flatnonzero(types() == kind)
        rate[np.ix_(rows, np.arange(20 * kind, 20 * kind + 20))] += 6
    values = sparse.csr_matrix(random.poisson(rate).astype(np.float32))
    names = [f"GENE{number:03}" for number in range(GENES)]
    cells = [f"cell{number:03}" for number in range(CELLS)]
    return anndata.AnnData(values, pandas.DataFrame(index=cells), pandas.DataFrame(index=names))


@pytest.fixture(scope="module")
def clustered() -> anndata.AnnData:
    data = counts()
    cluster(data, ClusteringSettings(variable_genes=100))
    return data


def test_clusters_are_the_types_from_the_largest(clustered: anndata.AnnData) -> None:
    table = pandas.crosstab(types(), clustered.obs["cluster"].to_numpy())
    assert table.to_numpy().tolist() == np.diag([75, 45, 30]).tolist()
    assert table.columns.tolist() == ["1", "2", "3"]
    named = _by_size(np.array([4, 4, 0, 2, 2, 2, 0]))  # equal ones as they appear
    assert list(named) == ["2", "2", "3", "1", "1", "1", "3"]


def test_counts_stay_counts(clustered: anndata.AnnData) -> None:
    assert (clustered.X != counts().X).nnz == 0
    logs = clustered.layers[LOG].toarray()
    assert np.expm1(logs).sum(1) == pytest.approx(np.full(CELLS, 1e4), rel=1e-4)


@pytest.mark.parametrize("shape", [(10, 300), (150, 8)])
def test_too_little_to_cluster(shape: tuple[int, int]) -> None:
    with pytest.raises(ScReaderError, match="too few to cluster"):
        cluster(counts()[: shape[0], : shape[1]].copy(), ClusteringSettings())


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.float64, (120, 3), elements=st.floats(0, 9, width=16)))
def test_scaling_is_that_of_the_dense_matrix(values: np.ndarray) -> None:
    """A cell far above all others is clipped."""
    values = np.hstack([values, 5.0 * (np.arange(120) == 0)[:, None]])
    deviation = values.std(0, ddof=1)
    usable = deviation > 1e-6
    values, deviation = values[:, usable], deviation[usable]
    mean = values.mean(0) / deviation
    assert (values / deviation - mean).max() > CLIP
    expected = np.minimum(values / deviation - mean, CLIP)
    scaled = _scaled(sparse.csr_matrix(values)).toarray()
    assert scaled - mean == pytest.approx(expected, abs=1e-6)


def test_markers_are_those_of_the_type(clustered: anndata.AnnData) -> None:
    found = find_markers(clustered)
    for kind, name in enumerate("123"):
        own = {f"GENE{number:03}" for number in range(20 * kind, 20 * kind + 20)}
        assert own <= {marker.gene for marker in found[name]}
        assert {marker.gene for marker in found[name][:15]} <= own


def test_markers_meet_the_thresholds_and_their_definition(clustered: anndata.AnnData) -> None:
    normal = np.expm1(clustered.layers[LOG].toarray().astype(np.float64))
    for name, markers in find_markers(clustered, 0.8, 0.6).items():
        inside = (clustered.obs["cluster"] == name).to_numpy()
        changes = [marker.fold_change for marker in markers]
        assert changes == sorted(changes, reverse=True) and min(changes) > 0.8
        for marker in markers[:5]:
            column = normal[:, clustered.var_names.get_loc(marker.gene)]
            change = np.log2(column[inside].mean() + 1) - np.log2(column[~inside].mean() + 1)
            assert marker.fold_change == pytest.approx(change)
            assert (column[inside] > 0).mean() >= 0.6 and marker.p < 0.05


def test_one_cluster_has_no_markers(clustered: anndata.AnnData) -> None:
    alone = clustered[clustered.obs["cluster"] == "1"].copy()
    alone.obs["cluster"] = alone.obs["cluster"].cat.remove_unused_categories()
    assert find_markers(alone) == {"1": []}


NAMES = ["MT-CO1", "mt.nd1", "MTOR", "A", "B"]
ROWS = [[8, 2, 0, 0, 0], [1, 0, 3, 3, 3], [0, 0, 1, 0, 0], [0, 0, 0, 50, 50]]
NO_LIMITS = QualityThresholds(0, 0, None, None, 0)


def data() -> anndata.AnnData:
    obs = pandas.DataFrame(index=[f"c{number}" for number in range(len(ROWS))])
    values = sparse.csr_matrix(np.array(ROWS, np.float32))
    return anndata.AnnData(values, obs, pandas.DataFrame(index=NAMES))


@pytest.mark.parametrize(
    ("thresholds", "cells"),
    [
        (NO_LIMITS, [0, 1, 2, 3]),
        (QualityThresholds(2, 0, None, None, 0), [0, 1, 3]),
        (QualityThresholds(0, 2, None, None, 0), [0, 1, 3]),
        (QualityThresholds(0, 0, 2, None, 0), [0, 2, 3]),
        (QualityThresholds(0, 0, None, 10, 0), [1, 2, 3]),
        (QualityThresholds(0, 0, None, 9.9, 0), [2, 3]),
    ],
)
def test_cells(thresholds: QualityThresholds, cells: list[int]) -> None:
    assert filter_counts(data(), thresholds).obs_names.tolist() == [f"c{n}" for n in cells]


def test_metrics_and_what_passes() -> None:
    obs = filter_counts(data(), NO_LIMITS).obs
    assert obs["total_counts"].tolist() == [10, 10, 1, 100]
    assert obs["n_genes"].tolist() == [2, 4, 1, 2]
    assert obs["percent_mito"].tolist() == [100, 10, 0, 0]
    passing = filter_counts(data(), QualityThresholds(0, 0, None, 20, 2))
    assert passing.var_names.tolist() == ["MTOR", "A", "B"]
    with pytest.raises(ScReaderError, match="none of the 4 cells and 5 genes passes"):
        filter_counts(data(), QualityThresholds(min_genes=200))
