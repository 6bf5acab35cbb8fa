"""The same cells from every format give the same sequences; damaged ones are refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import io, sparse
from small_files import counts, expression, fail, genes, succeed, write_embeddings

from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange

VALUES, KINDS = counts(cells=30)


def h5ad(path: Path, values: object = None, **arguments: object) -> Path:
    data = expression(VALUES, KINDS)
    if values is not None:
        data.X = values
    for key, value in arguments.items():
        setattr(data, key, value)
    data.write_h5ad(path)
    return path


def as_csr(folder: Path) -> list[object]:
    return [h5ad(folder / "x.h5ad")]


def as_csc(folder: Path) -> list[object]:
    return [h5ad(folder / "x.h5ad", sparse.csc_matrix(VALUES.astype(np.float32)))]


def as_dense(folder: Path) -> list[object]:
    return [h5ad(folder / "x.h5ad", VALUES.astype(np.float32))]


def as_raw(folder: Path) -> list[object]:
    data = expression(VALUES, KINDS)
    data.raw = data.copy()
    data = data[:, :5].copy()
    data.X = data.X.toarray() - 1.5
    data.write_h5ad(folder / "x.h5ad")
    return [folder / "x.h5ad", "--layer", "raw"]


def as_layer(folder: Path) -> list[object]:
    data = expression(VALUES, KINDS)
    data.layers["counts"] = data.X.copy()
    data.X = data.X * 0.37
    data.write_h5ad(folder / "x.h5ad")
    return [folder / "x.h5ad", "--layer", "counts"]


def tenx_group(file: h5py.File, name: str) -> h5py.Group:
    matrix = sparse.csr_matrix(VALUES)
    group = file.create_group(name)
    group["data"], group["indices"] = matrix.data, matrix.indices
    group["indptr"] = matrix.indptr.astype(np.int64)
    group["shape"] = np.array(VALUES.shape[::-1])
    group["barcodes"] = [f"cell{number:03}".encode() for number in range(len(VALUES))]
    return group


def as_tenx_2(folder: Path) -> list[object]:
    with h5py.File(folder / "x.h5", "w") as file:
        group = tenx_group(file, "GRCh38")
        group["gene_names"] = [name.encode() for name in genes()]
        group["genes"] = [f"ENSG{number:011}".encode() for number in range(len(genes()))]
    return [folder / "x.h5"]


def as_tenx_3(folder: Path) -> list[object]:
    with h5py.File(folder / "x.h5", "w") as file:
        features = tenx_group(file, "matrix").create_group("features")
        features["name"] = [name.encode() for name in genes()]
        features["id"] = [f"ENSG{number:011}".encode() for number in range(len(genes()))]
        features["feature_type"] = [b"Gene Expression"] * len(genes())
    return [folder / "x.h5"]


def as_mtx(folder: Path) -> list[object]:
    io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(VALUES.T))
    rows = [f"ENSG{number:011}\t{name}\tGene Expression" for number, name in enumerate(genes())]
    (folder / "features.tsv").write_text("\n".join(rows) + "\n")
    barcodes = "".join(f"cell{number:03}\n" for number in range(len(VALUES)))
    (folder / "barcodes.tsv").write_text(barcodes)
    return [folder]


def as_gzipped_mtx(folder: Path) -> list[object]:
    as_mtx(folder)
    for path in list(folder.iterdir()):
        if path.suffix in (".mtx", ".tsv"):
            Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return [folder]


def as_loom(folder: Path) -> list[object]:
    with h5py.File(folder / "x.loom", "w") as file:
        file["matrix"] = VALUES.T.astype(np.float32)
        file["row_attrs/Gene"] = [name.encode() for name in genes()]
        file["col_attrs/CellID"] = [f"cell{number:03}".encode() for number in range(len(VALUES))]
        file.create_group("layers")
    return [folder / "x.loom"]


def as_log(folder: Path) -> list[object]:
    scaled = VALUES / VALUES.sum(1, keepdims=True) * 1e4
    return [h5ad(folder / "x.h5ad", sparse.csr_matrix(np.log1p(scaled).astype(np.float32)))]


def build(folder: Path, *words: object) -> tuple[np.ndarray, np.ndarray]:
    embeddings, output = folder / "e.h5ad", folder / "cells.h5ad"
    write_embeddings(embeddings)
    succeed("build-cells", *words, "-e", embeddings, "--select", "all", "-o", output)
    with open_exchange(output, "cells") as opened:
        names = encoding.read_table(opened.file["obs"]).index.tolist()
        assert names == [f"cell{number:03}" for number in range(len(VALUES))]
        return opened.file["obsm/gene_index"][()], opened.file["obsm/gene_weight"][()]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    folder = tmp_path_factory.mktemp("csr")
    return build(folder, *as_csr(folder))


@pytest.mark.parametrize(
    "write",
    [as_csc, as_dense, as_raw, as_layer, as_tenx_2, as_tenx_3, as_mtx, as_gzipped_mtx, as_loom],
)
def test_format(
    tmp_path: Path,
    write: Callable[[Path], list[object]],
    wanted: tuple[np.ndarray, np.ndarray],
) -> None:
    index, weight = build(tmp_path, *write(tmp_path))
    assert np.array_equal(index, wanted[0]) and np.array_equal(weight, wanted[1])


def test_log_normalised_values_are_recognised(
    tmp_path: Path, wanted: tuple[np.ndarray, np.ndarray]
) -> None:
    _, weight = build(tmp_path, *as_log(tmp_path))
    assert weight.sum(1) == pytest.approx(wanted[1].sum(1), rel=1e-4)


def test_small_blocks_give_the_same_bytes(
    tmp_path: Path, wanted: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screader_lib.cells.formats.expression.VALUES_PER_BLOCK", 60)
    index, weight = build(tmp_path, *as_csr(tmp_path))
    assert np.array_equal(index, wanted[0]) and np.array_equal(weight, wanted[1])


def spoil(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        group = file["X"]
        values = group[name][()]
        if name == "indices":
            values[3] = 10_000
        elif name == "indptr":
            values[2] = values[-1] + 5
        else:
            values = values[:-4]
        del group[name]
        group[name] = values

    return change


@pytest.mark.parametrize("part", ["indices", "indptr", "data"])
def test_damaged_sparse_matrix(tmp_path: Path, part: str) -> None:
    path = h5ad(tmp_path / "x.h5ad")
    with h5py.File(path, "a") as file:
        spoil(part)(file)
    write_embeddings(tmp_path / "e.h5ad")
    line = fail("build-cells", path, "-e", tmp_path / "e.h5ad", "-o", tmp_path / "out.h5ad")
    assert "x.h5ad" in line and "damaged" in line
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        pytest.param(VALUES - 0.5, "negative", id="scaled"),
        pytest.param(np.where(VALUES == 3, np.nan, VALUES), "NaN", id="NaN"),
        pytest.param(VALUES * 33.3, "log-normalised", id="neither counts nor log"),
    ],
)
def test_values_that_are_no_expression(tmp_path: Path, values: np.ndarray, word: str) -> None:
    path = h5ad(tmp_path / "x.h5ad", sparse.csr_matrix(values.astype(np.float32)))
    write_embeddings(tmp_path / "e.h5ad")
    line = fail("build-cells", path, "-e", tmp_path / "e.h5ad", "-o", tmp_path / "out.h5ad")
    assert word in line
