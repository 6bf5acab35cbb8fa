"""The same cells from every format; damaged files are refused in one line that names them."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from scipy import io, sparse
from small_files import counts, expression, genes

from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.demo import LABEL, extract_cells, read_names_and_labels
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table

VALUES, TYPES = counts(cells=30)
NAMES = [f"cell{number:03}" for number in range(len(VALUES))]
IDS = [f"ENSG{number:011}" for number in range(len(genes()))]


def read(path: Path, layer: str | None = None) -> tuple[np.ndarray, Table, Table]:
    """All values (cells, genes) and the tables of cells and genes."""
    with open_expression(path, str(path), layer=layer) as source:
        blocks = [source.read(*span) for span in source.spans()]
        return sparse.vstack(blocks).toarray(), source.obs.load(), source.genes


def h5ad(folder: Path, values: object = None) -> Path:
    data = expression(VALUES, TYPES)
    data.X = data.X if values is None else values
    data.write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad"


def sparse_half_precision(folder: Path) -> Path:
    with h5py.File(h5ad(folder), "a") as file:
        replace(file, "X/data", file["X/data"][()].astype(np.float16))
    return folder / "x.h5ad"


def by_columns(folder: Path) -> Path:
    return h5ad(folder, sparse.csc_matrix(VALUES.astype(np.float32)))


def dense(folder: Path) -> Path:
    return h5ad(folder, VALUES.astype(np.float32))


def raw(folder: Path) -> Path:
    data = expression(VALUES, TYPES)
    data.raw = data.copy()
    data = data[:, :5].copy()
    data.X = data.X.toarray() - 1.5
    data.write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad"


def layer(folder: Path) -> Path:
    data = expression(VALUES, TYPES)
    data.layers["counts"] = data.X.copy()
    data.X = data.X * 0.37
    data.write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad"


def zarr(folder: Path, matrix: Callable[[np.ndarray], object] = sparse.csr_matrix) -> Path:
    data = expression(VALUES, TYPES)
    data.X = matrix(VALUES.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_zarr(folder / "x.zarr")
    return folder / "x.zarr"


def tenx_group(file: h5py.File, name: str) -> h5py.Group:
    matrix = sparse.csr_matrix(VALUES)
    group = file.create_group(name)
    group["data"], group["indices"] = matrix.data, matrix.indices
    group["indptr"] = matrix.indptr.astype(np.int64)
    group["shape"] = np.array(VALUES.shape[::-1])
    group["barcodes"] = [name.encode() for name in NAMES]
    return group


def tenx_2(folder: Path) -> Path:
    with h5py.File(folder / "x.h5", "w") as file:
        group = tenx_group(file, "GRCh38")
        group["gene_names"] = [name.encode() for name in genes()]
        group["genes"] = [name.encode() for name in IDS]
    return folder / "x.h5"


def tenx_3(folder: Path) -> Path:
    with h5py.File(folder / "x.h5", "w") as file:
        features = tenx_group(file, "matrix").create_group("features")
        features["name"] = [name.encode() for name in genes()]
        features["id"] = [name.encode() for name in IDS]
        features["feature_type"] = [b"Gene Expression"] * len(genes())
    return folder / "x.h5"


def mtx(folder: Path) -> Path:
    io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(VALUES.T))
    rows = [f"{number}\t{name}\tGene Expression" for number, name in zip(IDS, genes(), strict=True)]
    (folder / "features.tsv").write_text("\n".join(rows) + "\n")
    (folder / "barcodes.tsv").write_text("\n".join(NAMES) + "\n")
    return folder


def gzipped_mtx(folder: Path) -> Path:
    mtx(folder)
    for path in list(folder.iterdir()):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return folder


def loom(folder: Path) -> Path:
    with h5py.File(folder / "x.loom", "w") as file:
        file["matrix"] = VALUES.T.astype(np.float32)
        file["row_attrs/Gene"] = [name.encode() for name in genes()]
        file["col_attrs/CellID"] = [name.encode() for name in NAMES]
        file.create_group("layers")
    return folder / "x.loom"


@pytest.mark.parametrize("values_per_block", [60, 10**6])
@pytest.mark.parametrize(
    ("write", "layer"),
    [
        pytest.param(h5ad, None, id="csr"),
        pytest.param(by_columns, None, id="csc"),
        pytest.param(dense, None, id="dense"),
        pytest.param(raw, "raw", id="raw"),
        pytest.param(layer, "counts", id="layer"),
        pytest.param(zarr, None, id="zarr-csr"),
        pytest.param(partial(zarr, matrix=sparse.csc_matrix), None, id="zarr-csc"),
        pytest.param(partial(zarr, matrix=np.array), None, id="zarr-dense"),
        pytest.param(tenx_2, None, id="10x-2"),
        pytest.param(tenx_3, None, id="10x-3"),
        pytest.param(mtx, None, id="mtx"),
        pytest.param(gzipped_mtx, None, id="mtx-gz"),
        pytest.param(loom, None, id="loom"),
        pytest.param(partial(h5ad, values=VALUES.astype(np.float16)), None, id="half-precision"),
        pytest.param(sparse_half_precision, None, id="sparse-half-precision"),
        pytest.param(partial(h5ad, values=VALUES.astype(np.uint8)), None, id="bytes"),
        pytest.param(partial(h5ad, values=sparse.csr_matrix(VALUES)), None, id="long-integers"),
    ],
)
def test_format(
    tmp_path: Path,
    write: Callable[[Path], Path],
    layer: str | None,
    values_per_block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("screader_lib.cells.formats.expression.VALUES_PER_BLOCK", values_per_block)
    values, obs, var = read(write(tmp_path), layer)
    assert np.array_equal(values, VALUES)
    assert obs.index.tolist() == NAMES and var.index.tolist() == genes()


def test_antibodies_are_left_out(tmp_path: Path) -> None:
    types = [b"Gene Expression"] * len(genes())
    types[3] = b"Antibody Capture"
    with h5py.File(tenx_3(tmp_path), "a") as file:
        replace(file, "matrix/features/feature_type", types)
    values, _, var = read(tmp_path / "x.h5")
    assert np.array_equal(values, np.delete(VALUES, 3, 1))
    assert "GENE03" not in var.index and len(var) == len(genes()) - 1


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


def replace(file: h5py.File, name: str, values: object) -> None:
    """Replace an element by ``values``, or by what they make of it, or remove it."""
    new = values(file[name][()]) if callable(values) else values
    del file[name]
    if new is not None:
        file[name] = new


def edited(write: Callable[[Path], Path], edit: Callable[[h5py.File], object]) -> Callable:
    def make(folder: Path) -> Path:
        path = write(folder)
        with h5py.File(path, "a") as file:
            edit(file)
        return path

    return make


def replaced(write: Callable[[Path], Path], name: str, values: object) -> Callable:
    return edited(write, lambda file: replace(file, name, values))


def cut_barcodes(folder: Path) -> Path:
    path = gzipped_mtx(folder) / "barcodes.tsv.gz"
    path.write_bytes(path.read_bytes()[:-9])
    return folder


def mtx_without_barcodes(folder: Path) -> Path:
    (mtx(folder) / "barcodes.tsv").unlink()
    return folder


def damaged_zarr(folder: Path) -> Path:
    path = zarr(folder)
    (path / "zarr.json").unlink(missing_ok=True)
    (path / ".zgroup").write_text("?")
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (replaced(h5ad, "X/indices", lambda old: old + 0.5), "damaged"),
        (replaced(h5ad, "X/indices", lambda old: old - 1), "an index is outside"),
        (replaced(h5ad, "X/indices", lambda old: np.append(old[1:], 10**4)), "index is outside"),
        (replaced(by_columns, "X/indices", lambda old: old + 900), "an index is outside"),
        (replaced(h5ad, "X/indptr", lambda old: np.append(old[:1], old[:0:-1])), "indptr"),
        (replaced(h5ad, "X/indptr", 3), "not a sparse matrix"),
        (replaced(h5ad, "X/data", lambda old: old[:-4]), "damaged"),
        (replaced(h5ad, "X/data", None), "not a sparse matrix"),
        (replaced(h5ad, "X", np.full(VALUES.shape, b"three")), "does not hold numbers"),
        (edited(h5ad, lambda file: file["X"].attrs.__delitem__("shape")), "has no shape"),
        (replaced(tenx_2, "GRCh38/gene_names", None), "gene_names"),
        (edited(tenx_2, lambda file: file.copy("GRCh38", "mm10")), "2 genomes"),
        (replaced(loom, "matrix", np.zeros(5)), "not a matrix"),
        (replaced(loom, "row_attrs/Gene", None), "has no Gene or"),
        (edited(loom, lambda file: file.__delitem__("row_attrs")), "neither an h5ad nor a 10x h5"),
        (cut_barcodes, "damaged"),
        (mtx_without_barcodes, "barcodes.tsv"),
        (damaged_zarr, "x.zarr"),
    ],
)
def test_refused(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
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
def test_no_such_layer(
    tmp_path: Path, write: Callable[[Path], Path], layer: str, message: str
) -> None:
    with pytest.raises(ScReaderError, match=message):
        read(write(tmp_path), layer)


def test_raw_is_read_where_x_holds_no_counts(tmp_path: Path) -> None:
    assert np.array_equal(read(raw(tmp_path))[0], VALUES)
    assert read(raw(tmp_path), "X")[0].shape == (30, 5)
    data = anndata.read_h5ad(tmp_path / "x.h5ad")
    data.X = np.round(np.abs(data.X))
    data.write_h5ad(tmp_path / "x.h5ad")
    assert read(tmp_path / "x.h5ad")[0].shape == (30, 5)
