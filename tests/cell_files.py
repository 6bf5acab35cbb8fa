"""The same small cells in files of every format."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from scipy import io, sparse
from small_files import counts, expression, genes

VALUES, TYPES = counts(cells=30)
FLOATS = VALUES.astype(np.float32)
NAMES = [f"cell{number:03}" for number in range(len(VALUES))]
Writer = Callable[[Path], Path]
IDS = [f"ENSG{number:011}" for number in range(len(genes()))]


def h5ad(folder: Path, values: object = None) -> Path:
    data = expression(VALUES, TYPES)
    data.X = data.X if values is None else values
    data.write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad"


def raw(folder: Path) -> Path:
    data = expression(VALUES, TYPES)
    data.raw = data.copy()
    data = data[:, :5].copy()
    data.X = data.X.toarray() - 1.5
    data.layers["counts"] = data.X + 1.5
    data.write_h5ad(folder / "x.h5ad")
    return folder / "x.h5ad"


def zarr(folder: Path, matrix: Callable[[np.ndarray], object] = sparse.csr_matrix) -> Path:
    data = expression(VALUES, TYPES)
    data.X = matrix(FLOATS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.write_zarr(folder / "x.zarr")
    return folder / "x.zarr"


def tenx_group(file: h5py.File, name: str, values: np.ndarray = VALUES) -> h5py.Group:
    matrix = sparse.csr_matrix(values)
    group = file.create_group(name)
    group["data"], group["indices"] = matrix.data, matrix.indices
    group["indptr"] = matrix.indptr.astype(np.int64)
    group["shape"] = np.array(values.shape[::-1])
    group["barcodes"] = [name.encode() for name in NAMES]
    return group


def tenx_2(folder: Path) -> Path:
    with h5py.File(folder / "x.h5", "w") as file:
        group = tenx_group(file, "GRCh38")
        group["gene_names"] = [name.encode() for name in genes()]
        group["genes"] = [name.encode() for name in IDS]
    return folder / "x.h5"


def tenx_3(folder: Path) -> Path:
    """With an antibody, which is left out."""
    with h5py.File(folder / "x.h5", "w") as file:
        features = tenx_group(file, "matrix", np.insert(VALUES, 3, 7, 1)).create_group("features")
        for name, values in (("name", genes()), ("id", IDS)):
            features[name] = [value.encode() for value in np.insert(values, 3, "CD3")]
        kinds = np.insert(["Gene Expression"] * len(IDS), 3, "Antibody")
        features["feature_type"] = [kind.encode() for kind in kinds]
    return folder / "x.h5"


def mtx(folder: Path) -> Path:
    io.mmwrite(folder / "matrix.mtx", sparse.coo_matrix(VALUES.T))
    rows = [f"{number}\t{name}\tGene Expression" for number, name in zip(IDS, genes(), strict=True)]
    (folder / "features.tsv").write_text("\n".join(rows) + "\n")
    (folder / "barcodes.tsv").write_text("\n".join(NAMES) + "\n")
    return folder


def gzipped_mtx(folder: Path) -> Path:
    for path in list(mtx(folder).iterdir()):
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


CSC = partial(h5ad, values=sparse.csc_matrix(FLOATS))
