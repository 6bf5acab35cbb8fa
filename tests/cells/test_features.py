"""Features that are no genes, such as antibodies, are in no total and no list of genes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from cell_files import IDS, NAMES, VALUES, tenx_group
from h5py import File
from small_files import genes, succeed, write_embeddings

from screader_lib.cells.formats.open_expression import expression_of, open_expression
from screader_lib.cells.gene_lists import read_genes
from screader_lib.errors import ScReaderError

KINDS = ["Gene Expression"] * len(genes()) + ["Antibody Capture"] * 2
ANTIBODIES = ["CD3", genes()[0]]  # one with the name of a gene


def citeseq(kinds: list[str], column: str = "feature_types") -> anndata.AnnData:
    """As ``scanpy.read_10x_h5(gex_only=False)`` makes it."""
    values = np.hstack([VALUES, np.full((len(VALUES), 2), 500)])
    var = pandas.DataFrame({column: kinds}, index=[*genes(), *ANTIBODIES])
    with pytest.warns(UserWarning, match="not unique"):
        return anndata.AnnData(values, pandas.DataFrame(index=NAMES), var)


def h5ad(folder: Path, kinds: list[str] = KINDS, column: str = "feature_types") -> Path:
    citeseq(kinds, column).write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad"


def zarr(folder: Path) -> Path:
    citeseq(KINDS).write_zarr(folder / "x.zarr")
    return folder / "x.zarr"


def tenx(folder: Path) -> Path:
    with File(folder / "x.h5", "w") as file:
        group = tenx_group(file, "matrix", np.hstack([VALUES, VALUES[:, :2]]))
        features = {"name": [*genes(), *ANTIBODIES], "id": [*IDS, "a", "b"], "feature_type": KINDS}
        for name, values in features.items():
            group[f"features/{name}"] = [value.encode() for value in values]
    return folder / "x.h5"


CELLXGENE = ["gene"] * len(genes()) + ["spike-in"] * 2


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize(
    "write", [h5ad, zarr, tenx, partial(h5ad, kinds=CELLXGENE, column="feature_biotype")]
)
def test_only_genes_are_read(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    with open_expression(path, "x") as source:
        block = np.vstack([source.read(*span).toarray() for span in source.spans()])
        assert np.array_equal(block, VALUES) and source.genes.index.tolist() == genes()
        assert source.left_out.startswith("2 features that are not genes (2 ")
    assert list(read_genes(path, "x").names) == genes()


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["ERCC-00002", "ERCC.00116"], "spike-in"),  # satijalab/seurat#660; by R
        (["__no_feature", "__ambiguous"], "reads without a gene"),  # htseq/htseq#96
        (["N_unmapped", "N_noFeature"], "reads without a gene"),  # STAR's ReadsPerGene
        (["CD3_TotalSeqB", "CD4:SK3|CD4|AHS0032|pAbO"], "Antibody Capture"),  # 10x's, BD's
    ],
)
def test_names_that_tell_what_is_no_gene(tmp_path: Path, names: list[str], kind: str) -> None:
    values = np.hstack([VALUES, np.full((len(VALUES), 2), 500)])
    var = pandas.DataFrame(index=[*genes(), *names])
    adata = anndata.AnnData(values, pandas.DataFrame(index=NAMES), var)
    adata.write_h5ad(tmp_path / "x.h5ad")
    adata.to_df().T.to_csv(tmp_path / "x.csv")
    for path in (tmp_path / "x.h5ad", tmp_path / "x.csv"):
        with open_expression(path, "x") as source:
            assert source.genes.index.tolist() == genes()
            assert source.left_out == f"2 features that are not genes (2 {kind})"
            assert sum(source.read(*span).sum() for span in source.spans()) == VALUES.sum()


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_an_object_in_memory() -> None:
    source = expression_of(citeseq(KINDS), "x")
    assert source.read(0, len(VALUES)).sum() == VALUES.sum()


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_it_is_told_and_not_in_the_totals(tmp_path: Path) -> None:
    words = ("-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    said = succeed("build-cells", h5ad(tmp_path), *words).stderr
    assert (
        "build-cells: h5ad, X: 30 cells, 40 genes, named as in human; left out: 2 features that "
        "are not genes (2 Antibody Capture)." in said
    )
    totals = anndata.read_h5ad(tmp_path / "c.h5ad").obs["total_counts"]
    assert totals.tolist() == VALUES.sum(1).tolist()


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_kinds_of_other_things_leave_all_in(tmp_path: Path) -> None:
    """CELLxGENE's ``feature_type`` is what a gene codes for."""
    kinds = ["protein_coding"] * (len(KINDS) - 1) + ["lncRNA"]
    with open_expression(h5ad(tmp_path, kinds, "feature_type"), "x") as source:
        assert (len(source.genes), source.left_out) == (len(KINDS), "")


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_no_genes_at_all(tmp_path: Path) -> None:
    path = h5ad(tmp_path, ["Peaks"] * len(KINDS))
    message = r"x: has no genes, only other features \(42 Peaks\)\. Give the file whose"
    with pytest.raises(ScReaderError, match=message), open_expression(path, "x"):
        pass
    with pytest.raises(ScReaderError, match=message):
        read_genes(path, "x")
