"""Which cells and genes pass quality control."""

from __future__ import annotations

import anndata
import numpy as np
import pandas
import pytest
from scipy import sparse

from screader_lib.errors import ScReaderError
from screader_lib.preparation.counts import QualityThresholds, filter_counts

GENES = ["MT-CO1", "mt.nd1", "MTOR", "A", "B"]
ROWS = [[8, 2, 0, 0, 0], [1, 0, 3, 3, 3], [0, 0, 1, 0, 0], [0, 0, 0, 50, 50]]
NO_LIMITS = QualityThresholds(0, 0, None, None, 0)


def data() -> anndata.AnnData:
    obs = pandas.DataFrame(index=[f"c{number}" for number in range(len(ROWS))])
    values = sparse.csr_matrix(np.array(ROWS, np.float32))
    return anndata.AnnData(values, obs, pandas.DataFrame(index=GENES))


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


def test_metrics() -> None:
    obs = filter_counts(data(), NO_LIMITS).obs
    assert obs["total_counts"].tolist() == [10, 10, 1, 100]
    assert obs["n_genes"].tolist() == [2, 4, 1, 2]
    assert obs["percent_mito"].tolist() == [100, 10, 0, 0]


def test_genes_are_filtered_by_the_remaining_cells() -> None:
    passing = filter_counts(data(), QualityThresholds(0, 0, None, 20, 2))
    assert passing.var_names.tolist() == ["MTOR", "A", "B"]


def test_nothing_left() -> None:
    with pytest.raises(ScReaderError, match="none of the 4 cells and 5 genes passes"):
        filter_counts(data(), QualityThresholds(min_genes=200))
