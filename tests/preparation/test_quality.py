"""Which cells and genes pass."""

from __future__ import annotations

import anndata
import numpy as np
import pandas
import pytest
from scipy import sparse

from screader_lib.errors import ScReaderError
from screader_lib.preparation.quality import Limits, kept

GENES = ["MT-CO1", "mt.nd1", "MTOR", "A", "B"]
ANYTHING = Limits(0, 0, None, None, 0)


def data(rows: list[list[int]]) -> anndata.AnnData:
    names = [f"c{number}" for number in range(len(rows))]
    return anndata.AnnData(
        sparse.csr_matrix(np.array(rows, np.float32)),
        pandas.DataFrame(index=names),
        pandas.DataFrame(index=GENES),
    )


ROWS = [[8, 2, 0, 0, 0], [1, 0, 3, 3, 3], [0, 0, 1, 0, 0], [0, 0, 0, 50, 50]]


@pytest.mark.parametrize(
    ("limits", "cells"),
    [
        pytest.param(ANYTHING, [0, 1, 2, 3], id="none"),
        pytest.param(Limits(2, 0, None, None, 0), [0, 1, 3], id="counts"),
        pytest.param(Limits(0, 2, None, None, 0), [0, 1, 3], id="fewest genes"),
        pytest.param(Limits(0, 0, 2, None, 0), [0, 2, 3], id="most genes"),
        pytest.param(Limits(0, 0, None, 20, 0), [1, 2, 3], id="mitochondrial"),
        pytest.param(Limits(0, 0, None, 10, 0), [1, 2, 3], id="as much as is allowed"),
        pytest.param(Limits(0, 0, None, 9.9, 0), [2, 3], id="a little more"),
    ],
)
def test_cells(limits: Limits, cells: list[int]) -> None:
    assert kept(data(ROWS), limits).obs_names.tolist() == [f"c{number}" for number in cells]


def test_measures() -> None:
    obs = kept(data(ROWS), ANYTHING).obs
    assert obs["total_counts"].tolist() == [10, 10, 1, 100]
    assert obs["n_genes"].tolist() == [2, 4, 1, 2]
    assert obs["percent_mito"].tolist() == [100, 10, 0, 0]


def test_genes_are_judged_by_the_cells_that_are_left() -> None:
    assert kept(data(ROWS), Limits(0, 0, None, 20, 2)).var_names.tolist() == ["MTOR", "A", "B"]


def test_nothing_left() -> None:
    with pytest.raises(ScReaderError, match="none of the 4 cells and 5 genes passes"):
        kept(data(ROWS), Limits(fewest_genes=200))
