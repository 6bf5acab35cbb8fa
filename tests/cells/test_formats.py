"""The same cells from every format; damaged files are refused in one line that names them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from cell_files import (
    CSC,
    FLOATS,
    NAMES,
    TYPES,
    VALUES,
    Writer,
    gzipped_mtx,
    h5ad,
    loom,
    mtx,
    raw,
    tenx_2,
    tenx_3,
    zarr,
)  # fmt: skip
from scipy import sparse
from small_files import expression, fail, genes, succeed, write_embeddings

from screader_lib.cells.formats import expression as expression_module
from screader_lib.cells.formats import transpose
from screader_lib.cells.formats.expression import ReadOptions
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.gene_lists import read_genes
from screader_lib.demo import LABEL, extract_cells, read_names_and_labels
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table


def read(path: Path, layer: str | None = None) -> tuple[np.ndarray, Table, Table]:
    """All values (cells, genes) and the tables of cells and genes."""
    with open_expression(path, str(path), ReadOptions(layer)) as source:
        blocks = [source.read(*span) for span in source.spans()]
        return sparse.vstack(blocks).toarray(), source.obs.load(), source.genes


def replace(file: h5py.File, name: str, values: object) -> None:
    """Replace an element by ``values``, or by what they make of it, or remove it."""
    new = values(file[name][()]) if callable(values) else values
    del file[name]
    if new is not None:
        file[name] = new


def edited(write: Writer, edit: Callable[[h5py.File], object]) -> Writer:
    def make(folder: Path) -> Path:
        path = write(folder)
        with h5py.File(path, "a") as file:
            edit(file)
        return path

    return make


def replaced(write: Writer, name: str, values: object) -> Writer:
    return edited(write, lambda file: replace(file, name, values))


def renamed_loom(folder: Path) -> Path:  # as kb-python and anndata name them: kb_python#182
    with h5py.File(path := loom(folder), "a") as file:
        file.move("row_attrs/Gene", "row_attrs/var_names")
        file.move("col_attrs/CellID", "col_attrs/obs_names")
    return path


@pytest.mark.parametrize("values_per_block", [60, 10**6])
@pytest.mark.parametrize(
    "write",
    [
        h5ad,
        CSC,
        partial(h5ad, values=FLOATS),
        zarr,
        partial(zarr, matrix=sparse.csc_matrix),
        partial(zarr, matrix=np.array),
        tenx_2,
        tenx_3,
        replaced(tenx_2, "GRCh38/genes", None),  # CellBender of 2019
        mtx,
        gzipped_mtx,
        loom,
        renamed_loom,
        raw,
        partial(h5ad, values=VALUES.astype(np.float16)),
        replaced(h5ad, "X/data", lambda old: old.astype(np.float16)),
        partial(h5ad, values=VALUES.astype(np.uint8)),
        partial(h5ad, values=sparse.csr_matrix(VALUES)),
    ],
)
def test_format(
    tmp_path: Path, write: Writer, values_per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expression_module, "VALUES_PER_BLOCK", values_per_block)
    monkeypatch.setattr(transpose, "ENTRIES_PER_PIECE", values_per_block)
    values, obs, var = read(write(tmp_path))
    assert np.array_equal(values, VALUES)
    assert obs.index.tolist() == NAMES and var.index.tolist() == genes()


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_an_h5ad_of_an_old_anndata(tmp_path: Path) -> None:
    source = tmp_path / "baron.h5ad"
    try:
        extract_cells(source)
    except ScReaderError:
        pytest.skip("the package with the demonstration's cells is not installed")
    names, labels = read_names_and_labels(source)
    values, obs, var = read(source)
    assert (obs.index.tolist(), obs.strings(LABEL).tolist()) == (list(names), list(labels))
    assert values.shape == (len(names), len(var)) and (values.sum(1) > 0).all()


def with_file(write: Writer, name: str, content: bytes | None) -> Writer:
    """A folder in which one file has another content, or is missing."""

    def make(folder: Path) -> Path:
        path = write(folder)
        (path / name).unlink(missing_ok=True)
        if content is not None:
            (path / name).write_bytes(content)
        return path

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (replaced(h5ad, "X/indices", lambda old: old + 0.5), "damaged"),
        (replaced(h5ad, "X/indices", lambda old: old - 1), "an index is outside"),
        (replaced(h5ad, "X/indices", lambda old: np.append(old[1:], 10**4)), "index is outside"),
        (replaced(CSC, "X/indices", lambda old: old + 900), "an index is outside"),
        (replaced(h5ad, "X/indptr", lambda old: np.append(old[:1], old[:0:-1])), "indptr"),
        (replaced(h5ad, "X/indptr", 3), "not a sparse matrix"),
        (replaced(h5ad, "X/data", lambda old: old[:-4]), "damaged"),
        (replaced(h5ad, "X/data", None), "not a sparse matrix"),
        (replaced(h5ad, "X", np.full(VALUES.shape, b"three")), "does not hold numbers"),
        (edited(h5ad, lambda file: file["X"].attrs.__delitem__("shape")), "has no shape"),
        (replaced(tenx_2, "GRCh38/gene_names", None), "gene_names"),
        (edited(tenx_2, lambda file: file.copy("GRCh38", "mm10")), "several genomes"),
        (replaced(loom, "matrix", np.zeros(5)), "not a matrix"),
        (replaced(loom, "row_attrs/Gene", None), "has no Gene or"),
        (
            edited(loom, lambda file: file.__delitem__("row_attrs")),
            "without single-cell data",
        ),
        (with_file(gzipped_mtx, "barcodes.tsv.gz", gzip.compress(b"cell" * 99)[:-9]), "damaged"),
        (with_file(mtx, "barcodes.tsv", None), "barcodes.tsv"),
        (with_file(zarr, "zarr.json", b"?"), "x.zarr"),
    ],
)
def test_refused(tmp_path: Path, make: Writer, message: str) -> None:
    path = make(tmp_path)
    with pytest.raises(ScReaderError, match=message) as caught:
        read(path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("write", "layer", "message"),
    [
        (h5ad, "raw", "no matrix raw/X. It has: X."),
        (loom, "spliced", "no matrix layers/spliced. It has: matrix."),
        (mtx, "raw", "10x files have one matrix"),
    ],
)
def test_no_such_layer(tmp_path: Path, write: Writer, layer: str, message: str) -> None:
    with pytest.raises(ScReaderError, match=message):
        read(write(tmp_path), layer)


def test_layers_are_named_where_there_is_no_x(tmp_path: Path) -> None:
    """As velocity tools leave it; scverse/anndata#1816."""
    matrix = sparse.csr_matrix(VALUES)
    data = anndata.AnnData(layers={"spliced": matrix, "unspliced": matrix})
    data.obs_names, data.var_names = NAMES, genes()
    data.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(
        ScReaderError, match=r"no matrix X\. Name another one with --layer: spliced, u"
    ):
        read(tmp_path / "x.h5ad")
    assert np.array_equal(read(tmp_path / "x.h5ad", "spliced")[0], VALUES)


def test_raw_is_read_where_x_holds_no_counts(tmp_path: Path) -> None:
    assert np.array_equal(read(raw(tmp_path), "counts")[0], VALUES[:, :5])
    assert np.array_equal(read(tmp_path / "x.h5ad", "raw")[0], VALUES)
    assert read(tmp_path / "x.h5ad", "X")[0].shape == (30, 5)
    data = anndata.read_h5ad(tmp_path / "x.h5ad")
    data.X = np.round(np.abs(data.X))
    data.write_h5ad(tmp_path / "x.h5ad")
    assert read(tmp_path / "x.h5ad")[0].shape == (30, 5)


def scaled(folder: Path, write: Writer) -> Path:
    """A file whose main matrix was scaled, with the counts in a layer."""
    path = write(folder)
    with h5py.File(path, "a") as file:
        main = "matrix" if "matrix" in file else "X"
        values = file[main][()] if main == "matrix" else VALUES.astype(np.float32)
        del file[main]
        file[main] = values - 1.5
        if main == "X":
            encoding.write_array(file.require_group("layers"), "counts", values)
        else:
            file["layers/counts"] = values
    return path


@pytest.mark.parametrize("write", [partial(h5ad, values=FLOATS), loom])
def test_an_error_lists_the_layers_that_there_are(tmp_path: Path, write: Writer) -> None:
    path = scaled(tmp_path, write)
    words = (path, "-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    message = fail("build-cells", *words)
    assert "so it was scaled. Use counts or log-normalised values. Other matrices" in message
    assert message.endswith("for --layer: counts.")
    assert ": 30 cells, 40 genes" in succeed("build-cells", *words, "--layer", "counts").stderr


def test_counts_beside_logarithms_are_told(tmp_path: Path) -> None:
    data = expression(VALUES, TYPES)
    data.layers["counts"] = data.X.copy()
    data.X.data = np.log1p(data.X.data * 1.7)
    data.write_h5ad(tmp_path / "x.h5ad")
    words = ("-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    said = succeed("build-cells", tmp_path / "x.h5ad", *words).stderr
    assert "there is also a matrix counts (--layer counts)." in said


def before_0_7(folder: Path) -> Path:
    """An h5ad of 2018: tables are arrays of rows, categories in uns, and ``raw.X``."""
    path = raw(folder)
    with h5py.File(path, "a") as file:
        categories = sorted(set(TYPES))
        codes = [categories.index(kind) for kind in TYPES]
        for part in ("obs", "var", "uns", "obsm", "varm", "obsp", "varp", "layers"):
            del file[part]
        file.move("raw/X", "raw.X")
        del file["raw"]
        file["obs"] = np.array(
            list(zip([one.encode() for one in NAMES], codes, strict=True)),
            [("index", "S9"), ("cell_type", "i1")],
        )
        file["uns/cell_type_categories"] = [one.encode() for one in categories]
        for name, count in (("var", 5), ("raw.var", 40)):
            file[name] = np.array([(one.encode(), 1) for one in genes()[:count]], "S9,i8")
    return path


def test_an_h5ad_of_2018(tmp_path: Path) -> None:
    path = before_0_7(tmp_path)
    values, obs, var = read(path)
    assert np.array_equal(values, VALUES) and var.index.tolist() == genes()
    assert obs.index.tolist() == NAMES
    assert obs.strings("cell_type").tolist() == TYPES.tolist()
    assert list(read_genes(path, "x").names) == genes()


def test_an_h5seurat_says_what_to_do(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5Seurat", "w") as file:
        file.create_group("assays/RNA/counts")
        file["cell.names"] = [b"a"]
    with pytest.raises(ScReaderError, match=r"is an h5Seurat file\. In R: saveRDS"):
        read(tmp_path / "x.h5Seurat")
