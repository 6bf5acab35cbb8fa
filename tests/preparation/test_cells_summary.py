"""What `screader info` says of a user's own cells."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import call, counts, expression, fail, genes

HUMAN = ["INS", "GCG", "SST", "PPY", "GHRL", "KRT19", "PRSS1", "CPA1", "VWF", "PECAM1"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Scaled X, counts and logs in layers, raw; compressed, as scanpy writes it."""
    values, types = counts(cells=60)
    names = [f"c{number}" for number in range(60)]
    data = expression(values, types, quality=np.linspace(0, 1, 60), barcode=names)
    data.var_names = [*HUMAN, *genes()[10:]]
    data.raw = data.copy()
    data.layers["counts"] = data.X.copy()
    logs = np.log1p(1e4 * values / values.sum(1, keepdims=True)).astype(np.float32)
    data.layers["logs"] = logs
    data.layers["nothing"] = np.zeros_like(logs)
    data.X = logs - logs.mean(0)
    data.write_h5ad(tmp_path / "mine.h5ad", compression="gzip")
    return tmp_path / "mine.h5ad"


def test_an_h5ad(mine: Path) -> None:
    result = call("screader", "info", mine)
    assert result.exit_code == 0, result.stderr
    told = {" ".join(line.split()[:1]): line for line in result.stdout.splitlines() if line}
    assert f"{mine}: h5ad, " in result.stdout
    assert "60 cells × 40 genes" in result.stdout
    assert "INS, GCG, SST, …; species: human" in told["genes"]
    assert told["X"].split(None, 1)[1].startswith("scaled: negative values")
    for name in ("raw", "counts"):
        assert told[name].split(None, 1)[1].startswith("raw counts (1 to ")
    assert told["logs"].split(None, 1)[1].startswith("log1p-normalised")
    assert told["nothing"].split(None, 1)[1] == "zeros only"
    assert "3 values: alpha 20, beta 20, delta 20" in told["obs/cell_type:"]
    assert told["other"].endswith("columns of obs: quality, barcode")
    assert f"screader annotate {mine} -r READER" in result.stdout


def test_a_file_that_holds_no_cells(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("INS\nGCG\n")
    assert "x.txt" in fail("screader", "info", tmp_path / "x.txt")
    assert "no such file" in fail("screader", "info", tmp_path / "missing.h5ad")


def test_a_zarr_store(tmp_path: Path, mine: Path) -> None:
    anndata.read_h5ad(mine).write_zarr(tmp_path / "mine.zarr")
    result = call("screader", "info", tmp_path / "mine.zarr")
    assert "zarr store" in result.stdout and "60 cells × 40 genes" in result.stdout
