"""The recipe for TileDB-SOMA stores, such as CELLxGENE Census, as it stands in docs/readers.md."""

from __future__ import annotations

import re
from pathlib import Path

import anndata
import numpy as np
import pytest
from small_files import TYPES, counts, expression, genes, succeed, write_embeddings

RECIPE = Path(__file__).parents[2] / "docs" / "readers.md"


def write_store(path: Path) -> None:
    """A small store laid out as the Census is: counts in ``raw``, names in ``feature_id``."""
    io = pytest.importorskip("tiledbsoma.io", reason="tiledbsoma is not installed")
    values, types = counts()
    more = {
        "tissue_general": ["lung" if number < 60 else "liver" for number in range(len(values))],
        "donor_id": [f"d{number % 4}" for number in range(len(values))],
        "cell_type_ontology_term_id": [f"CL:{TYPES.index(kind):07}" for kind in types],
    }
    adata = expression(values, types, **more)
    adata.var["feature_id"] = genes()
    adata.var.index = [str(number) for number in range(adata.n_vars)]
    io.from_anndata(str(path), adata, measurement_name="RNA", X_layer_name="raw")


def test_a_reader_is_made_from_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_store(tmp_path / "store")
    (code,) = re.findall(r"```python\n(import tiledbsoma\n.*?)```", RECIPE.read_text("utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    code = code.replace('"store"', repr(str(tmp_path / "store")))  # TileDB keeps its first folder
    exec(compile(code, str(RECIPE), "exec"), {})
    adata = anndata.read_h5ad("lung.h5ad")
    assert adata.shape == (60, 40) and adata.obs.index[3] == "cell-3"
    np.testing.assert_array_equal(adata.X.toarray(), counts()[0][:60])
    write_embeddings(tmp_path / "genes.h5ad")
    columns = ("--label", "cell_type", "--donor", "donor_id")
    columns = (*columns, "--label-ontology", "cell_type_ontology_term_id")
    succeed("build-cells", "lung.h5ad", "-e", "genes.h5ad", *columns, "-o", "cells.h5ad")
    succeed("train-reader", "cells.h5ad", "--method", "majority", "-o", "reader.h5")
    shown = succeed("screader", "readers", "show", "reader.h5").stdout
    assert re.search(r"beta +CL:0000001 +20", shown) and "Cells of a held-out donor" in shown
