"""Damaged or unusual expression files: one line that names the file, or read as meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse
from small_files import counts, expression, fail, genes, succeed, write_embeddings
from test_formats import as_gzipped_mtx, as_loom, as_mtx, as_tenx_2, as_tenx_3

from screader_lib.demo.cells import LABEL, extract_cells, read_names_and_labels
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange

VALUES, KINDS = counts(cells=30)


def replaced(file: h5py.File, name: str, values: object) -> None:
    del file[name]
    file[name] = values


def h5ad(folder: Path, change: Callable[[h5py.File], None], values: object = None) -> Path:
    data = expression(VALUES, KINDS)
    if values is not None:
        data.X = values
    data.write_h5ad(folder / "x.h5ad")
    with h5py.File(folder / "x.h5ad", "a") as file:
        change(file)
    return folder / "x.h5ad"


def columns() -> sparse.csc_matrix:
    return sparse.csc_matrix(VALUES.astype(np.float32))


def fractional_indices(folder: Path) -> Path:
    return h5ad(folder, lambda file: replaced(file, "X/indices", file["X/indices"][()] + 0.5))


def negative_index(folder: Path) -> Path:
    return h5ad(folder, lambda file: replaced(file, "X/indices", file["X/indices"][()] - 1))


def index_beyond_the_cells(folder: Path) -> Path:
    return h5ad(
        folder, lambda file: replaced(file, "X/indices", file["X/indices"][()] + 900), columns()
    )


def scalar_indptr(folder: Path) -> Path:
    return h5ad(folder, lambda file: replaced(file, "X/indptr", 3))


def no_data(folder: Path) -> Path:
    return h5ad(folder, lambda file: file["X"].__delitem__("data"))


def no_shape(folder: Path) -> Path:
    return h5ad(folder, lambda file: file["X"].attrs.__delitem__("shape"))


def text_as_matrix(folder: Path) -> Path:
    def change(file: h5py.File) -> None:
        del file["X"]
        file["X"] = np.full(VALUES.shape, b"three")

    return h5ad(folder, change)


def tenx_without_names(folder: Path) -> Path:
    as_tenx_2(folder)
    with h5py.File(folder / "x.h5", "a") as file:
        del file["GRCh38/gene_names"]
    return folder / "x.h5"


def two_genomes(folder: Path) -> Path:
    as_tenx_2(folder)
    with h5py.File(folder / "x.h5", "a") as file:
        file.copy("GRCh38", "mm10")
    return folder / "x.h5"


def loom_of_one_dimension(folder: Path) -> Path:
    as_loom(folder)
    with h5py.File(folder / "x.loom", "a") as file:
        replaced(file, "matrix", np.zeros(5))
    return folder / "x.loom"


def mtx_of_gigantic_shape(folder: Path) -> Path:
    as_mtx(folder)
    head = "%%MatrixMarket matrix coordinate integer general\n"
    (folder / "matrix.mtx").write_text(head + "2000000000 2000000000 1\n1 1 1\n")
    return folder


def mtx_that_is_no_mtx(folder: Path) -> Path:
    as_mtx(folder)
    (folder / "matrix.mtx").write_text("hello\n")
    return folder


def cut_gzip(folder: Path) -> Path:
    as_gzipped_mtx(folder)
    barcodes = folder / "barcodes.tsv.gz"
    barcodes.write_bytes(barcodes.read_bytes()[:-9])
    return folder


def garbled_gzip(folder: Path) -> Path:
    as_gzipped_mtx(folder)
    matrix = folder / "matrix.mtx.gz"
    content = bytearray(matrix.read_bytes())
    content[40:80] = bytes(40)
    matrix.write_bytes(content)
    return folder


def folder_without_barcodes(folder: Path) -> Path:
    as_mtx(folder)
    (folder / "barcodes.tsv").unlink()
    return folder


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (fractional_indices, "damaged"),
        (negative_index, "damaged"),
        (index_beyond_the_cells, "damaged"),
        (scalar_indptr, "not a sparse matrix"),
        (no_data, "not a sparse matrix"),
        (no_shape, "has no shape"),
        (text_as_matrix, "does not hold numbers"),
        (tenx_without_names, "gene_names"),
        (two_genomes, "2 genomes"),
        (loom_of_one_dimension, "not a matrix"),
        (mtx_of_gigantic_shape, "2,000,000,000 genes"),
        (mtx_that_is_no_mtx, "not a valid Matrix Market file"),
        (cut_gzip, "damaged"),
        (garbled_gzip, "not a valid Matrix Market file"),
        (folder_without_barcodes, "barcodes.tsv"),
    ],
)
def test_refused(tmp_path: Path, make: Callable[[Path], Path], told: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    embeddings = write_embeddings(tmp_path / "e.h5ad")
    line = fail("build-cells", make(source), "-e", embeddings, "-o", tmp_path / "out.h5ad")
    assert told in line and "unexpected" not in line and "source" in line
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(VALUES.astype(np.float16), id="half precision"),
        pytest.param(VALUES.astype(np.uint8), id="bytes"),
        pytest.param(sparse.csr_matrix(VALUES.astype(np.int64)), id="long integers"),
    ],
)
def test_any_type_of_number(tmp_path: Path, values: object) -> None:
    source = h5ad(tmp_path, lambda file: None, values)
    embeddings = write_embeddings(tmp_path / "e.h5ad")
    succeed("build-cells", source, "-e", embeddings, "-o", tmp_path / "c.h5ad")
    assert anndata.read_h5ad(tmp_path / "c.h5ad").obs["total_counts"].tolist() == list(
        VALUES.sum(1)
    )


def test_half_precision_sparse(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        replaced(file, "X/data", file["X/data"][()].astype(np.float16))

    embeddings = write_embeddings(tmp_path / "e.h5ad")
    words = ["-e", embeddings, "-o", tmp_path / "c.h5ad"]
    succeed("build-cells", h5ad(tmp_path, change), *words)
    with h5py.File(tmp_path / "c.h5ad") as file:
        assert file["obs/total_counts"][()].tolist() == VALUES.sum(1).tolist()


def test_antibodies_are_left_out(tmp_path: Path) -> None:
    as_tenx_3(tmp_path)
    kinds = [b"Gene Expression"] * len(genes())
    kinds[3] = b"Antibody Capture"
    with h5py.File(tmp_path / "x.h5", "a") as file:
        replaced(file, "matrix/features/feature_type", kinds)
    embeddings = write_embeddings(tmp_path / "e.h5ad")
    words = ["-e", embeddings, "--select", "all", "-o", tmp_path / "c.h5ad"]
    succeed("build-cells", tmp_path / "x.h5", *words)
    made = anndata.read_h5ad(tmp_path / "c.h5ad")
    assert "GENE03" not in made.var_names
    assert made.obs["total_counts"].tolist() == list(np.delete(VALUES, 3, 1).sum(1))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_an_h5ad_of_an_old_anndata(tmp_path: Path) -> None:
    source = tmp_path / "baron.h5ad"
    try:
        extract_cells(source)
    except ScReaderError:
        pytest.skip("the package with the demonstration's cells is not installed")
    names, labels = read_names_and_labels(source)
    (tmp_path / "list.txt").write_text(f"{names[5]}\n")
    embeddings = write_embeddings(tmp_path / "e.h5ad", ["INS", "GCG", "SST", "PRSS1", "REG1A"])
    words = ["--label", LABEL, "--select", "all", "--min-mapped", "0", "-o", tmp_path / "c.h5ad"]
    succeed("build-cells", source, "-e", embeddings, "--cells", tmp_path / "list.txt", *words)
    with open_exchange(tmp_path / "c.h5ad", "cells") as opened:
        obs = encoding.read_table(opened.file["obs"])
    assert obs.index.tolist() == [names[5]]
    assert obs.strings("label").tolist() == [labels[5]]
    assert obs.strings("donor")[0] == names[5].split("_")[0]
    assert obs.strings("label_ontology_id")[0].startswith("CL:")
