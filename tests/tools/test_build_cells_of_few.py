"""``build-cells`` with barcodes that hold few counts, and samples that have few genes of --like."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import (
    counts,
    expression,
    fail,
    genes,
    succeed,
    write_embeddings,
    write_expression,
)


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    return write_embeddings(tmp_path / "e.h5ad")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_expression(tmp_path / "x.h5ad")


def raw_matrix(folder: Path) -> Path:
    """Ninety cells in 400 barcodes: cell n has counts of its own, the others 0 to 3."""
    values, types = counts()
    random = np.random.default_rng(3)
    noise = random.multinomial(1, np.full(values.shape[1], 1 / values.shape[1]), 310)
    barcodes = np.vstack([values, noise * np.arange(310)[:, None] % 4])
    expression(barcodes, np.resize(types, 400)).write_h5ad(folder / "raw.h5ad")
    return folder / "raw.h5ad"


@pytest.mark.parametrize(
    ("options", "left"),
    [
        pytest.param([], 400, id="all"),
        pytest.param(["--min-counts", 3], 90 + 77, id="counts"),
        pytest.param(["--min-counts", 4], 90, id="more-counts"),
        pytest.param(["--min-genes", 2], 90, id="genes"),
        pytest.param(["--min-genes", 1], 90 + 232, id="one-gene"),
        pytest.param(["--min-counts", 4, "--where", "cell_type=alpha"], 30, id="and-a-condition"),
    ],
)
def test_cells_with_few_counts_or_genes(
    tmp_path: Path, embeddings: Path, options: list[object], left: int
) -> None:
    words = [raw_matrix(tmp_path), "-e", embeddings, *options, "-o", tmp_path / "c.h5ad"]
    messages = succeed("build-cells", *words).stderr
    assert len(anndata.read_h5ad(tmp_path / "c.h5ad")) == left
    if "--where" not in options:
        assert (f"{400 - left:,} of 400 cells with fewer than" in messages) is bool(options)
    assert ("310 of 400 cells have fewer than 50 counts: is the matrix" in messages) is not options
    assert ("unfiltered" in messages) is (left > 180)


def test_min_counts_needs_counts(tmp_path: Path, embeddings: Path) -> None:
    data = anndata.read_h5ad(raw_matrix(tmp_path))
    data.X = data.X.log1p()
    data.write_h5ad(tmp_path / "log.h5ad")
    words = ["build-cells", tmp_path / "log.h5ad", "-e", embeddings, "-o", tmp_path / "c.h5ad"]
    assert "values are not counts, which --min-counts needs" in fail(*words, "--min-counts", 3)
    succeed(*words, "--min-genes", 2)
    assert len(anndata.read_h5ad(tmp_path / "c.h5ad")) == 90
    assert "no cells are left" in fail(*words, "--min-genes", 99)


def test_a_sample_that_lacks_genes_of_like(
    tmp_path: Path, cells: Path, source: Path, embeddings: Path
) -> None:
    """--min-mapped holds for the genes of --like too; what the sample has is told and stored."""
    few = anndata.read_h5ad(source)[:, 10:13]
    others = few.copy()
    others.var_names = ["A", "B", "C"]
    anndata.concat([few, others], axis=1).write_h5ad(tmp_path / "few.h5ad")
    names = [*genes(), *others.var_names]
    more, output = write_embeddings(tmp_path / "more.h5ad", names), tmp_path / "c.h5ad"
    words = ["-e", more, "--like", cells, "-o", output]
    line = fail("build-cells", tmp_path / "few.h5ad", *words)
    assert f"few.h5ad: has only 3 of the 40 genes of {cells} (--min-mapped requires 10%)" in line
    messages = succeed("build-cells", tmp_path / "few.h5ad", *words, "--min-mapped", 0.05).stderr
    told = f"warning: 3 of the 40 genes of {cells} are in this sample and carry 50.0% of the counts"
    assert told in messages
    var = anndata.read_h5ad(output).var
    assert var.index[var["inputs"] == 1].tolist() == few.var_names.tolist()
    assert var["share_of_counts"].sum() == pytest.approx(0.5, abs=1e-3)
    both = ["build-cells", source, tmp_path / "few.h5ad", *words]
    assert "few.h5ad: has only 3" in fail(*both)
    messages = succeed(*both, "--min-mapped", 0.05).stderr
    assert f"40 ({source}) and 3 ({tmp_path / 'few.h5ad'}) of the 40 genes" in messages
    assert set(anndata.read_h5ad(output).var["inputs"]) == {1, 2}
