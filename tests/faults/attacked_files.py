"""Sound files of every kind that a tool reads, and the commands that read them."""

from __future__ import annotations

import gzip
import json
import pickle  # noqa: TID251 (to write what is read without it)
from pathlib import Path

import anndata
import h5py
import numpy as np
import torch
from scipy import io, sparse
from small_files import (
    DIM,
    ONE_READER,
    counts,
    genes,
    succeed,
    write_cells,
    write_expression,
    write_llama,
)

SMALL = ("--llm-layers", 1, "--epochs", 1, "--warm-start-epochs", 1, "--validation", 0)


def write_all(folder: Path) -> Path:
    """Every file that :func:`commands` names."""
    cells = write_cells(folder)
    write_expression(folder / "counts.h5ad")
    data = anndata.read_h5ad(folder / "counts.h5ad")
    data.write_h5ad(folder / "zipped.h5ad", compression="gzip")
    data.write_zarr(folder / "counts.zarr")
    data.X = data.X.tocsc()
    data.raw = data.copy()
    data.write_h5ad(folder / "csc.h5ad")
    values, _ = counts()
    _write_tenx(folder, values)
    _write_loom(folder, values)
    _write_vectors(folder)
    (folder / "genes.txt").write_text("\n".join(genes()))
    table = "name,text\n" + "".join(f"{name},the text of {name}\n" for name in genes())
    (folder / "table.csv").write_text(table)
    write_llama(folder / "llama")
    succeed(
        "fetch-descriptions", "--genes", folder / "genes.txt", "--source", "table",
        "--table", folder / "table.csv", "-o", folder / "descriptions.h5ad",
    )  # fmt: skip
    majority = ("--method", "majority", *ONE_READER)
    succeed("train-reader", cells, *majority, "-o", folder / "majority.h5")
    succeed(
        "train-reader", cells, "--llm", folder / "llama", *SMALL, *ONE_READER,
        "-o", folder / "reader.h5",
    )  # fmt: skip
    succeed("predict", cells, "-r", folder / "majority.h5", "-o", folder / "predictions.h5ad")
    return folder


def _write_tenx(folder: Path, values: np.ndarray) -> None:
    names = [f"cell{number:03}" for number in range(len(values))]
    mtx = folder / "mtx"
    mtx.mkdir()
    io.mmwrite(mtx / "matrix.mtx", sparse.coo_matrix(values.T))
    content = (mtx / "matrix.mtx").read_bytes()
    (mtx / "matrix.mtx").unlink()
    lists = {
        "matrix.mtx": content.decode(),
        "barcodes.tsv": "\n".join(names),
        "features.tsv": "\n".join(f"{name}\t{name}\tGene Expression" for name in genes()),
    }
    for name, text in lists.items():
        (mtx / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    matrix = sparse.csr_matrix(values)
    with h5py.File(folder / "tenx.h5", "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"] = matrix.data, matrix.indices
        group["indptr"] = matrix.indptr.astype(np.int64)
        group["shape"] = np.array(values.shape[::-1])
        group["barcodes"] = [name.encode() for name in names]
        group["features/name"] = group["features/id"] = [name.encode() for name in genes()]
        group["features/feature_type"] = [b"Gene Expression"] * len(genes())


def _write_loom(folder: Path, values: np.ndarray) -> None:
    with h5py.File(folder / "counts.loom", "w") as file:
        file.create_dataset("matrix", data=values.T, chunks=(8, 8), compression="gzip")
        file["row_attrs/Gene"] = [name.encode() for name in genes()]
        file["col_attrs/CellID"] = [f"cell{number}".encode() for number in range(len(values))]
        file.create_group("layers")


def _write_vectors(folder: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(genes()), DIM)).astype(np.float32)
    np.savez(folder / "vectors.npz", genes=np.array(genes()), vectors=vectors)
    lines = (",".join([name, *map(str, row)]) for name, row in zip(genes(), vectors, strict=True))
    (folder / "vectors.csv").write_text("\n".join(lines))
    plain = {name: row.tolist() for name, row in zip(genes(), vectors, strict=True)}
    (folder / "vectors.pkl").write_bytes(pickle.dumps(plain))
    text = (" ".join([name, *map(str, row)]) for name, row in zip(genes(), vectors, strict=True))
    (folder / "vectors.txt").write_text("\n".join([f"{len(genes())} {DIM}", *text]))
    arrays = dict(zip(genes(), vectors, strict=True))
    (folder / "arrays.pkl").write_bytes(pickle.dumps(arrays))
    (folder / "scgpt").mkdir()
    rows = {name: number for number, name in enumerate(genes())}
    (folder / "scgpt" / "vocab.json").write_text(json.dumps(rows))
    state = {"encoder.embedding.weight": torch.from_numpy(vectors)}
    torch.save(state, folder / "scgpt" / "best_model.pt")
    try:
        from pyarrow import parquet, table
    except ModuleNotFoundError:
        return
    columns = {f"d{number}": vectors[:, number] for number in range(DIM)}
    parquet.write_table(table({"gene": genes(), **columns}), folder / "vectors.parquet")


def commands(folder: Path) -> dict[str, tuple[Path, list[str]]]:
    """For each command, by a name, the file that is damaged and the words; BAD stands for it."""
    good = {path.name: str(path) for path in folder.iterdir()}
    build = ["-e", good["embeddings.h5ad"], "-o", "output"]
    lines = {
        "fetch genes.txt": ["fetch-descriptions", "--genes", "BAD", "--source", "table", "--table",
                            good["table.csv"], "-o", "output"],
        "fetch table.csv": ["fetch-descriptions", "--genes", good["genes.txt"], "--source", "table",
                            "--table", "BAD", "-o", "output"],
        "fetch counts.h5ad": ["fetch-descriptions", "--genes", "BAD", "--source", "packaged",
                              "-o", "output"],
        "embed descriptions.h5ad": ["embed-genes", "BAD", "--no-cache", "--import",
                                    good["vectors.npz"], "-o", "output"],
        **{f"import {name}": ["embed-genes", "--import", "BAD", "--no-cache", "-o", "output"]
           for name in ("vectors.npz", "vectors.csv", "vectors.txt", "vectors.pkl", "arrays.pkl",
                        "scgpt", "vectors.parquet", "embeddings.h5ad") if name in good},
        **{f"build {name}": ["build-cells", "BAD", *build]
           for name in ("counts.h5ad", "zipped.h5ad", "csc.h5ad", "counts.zarr", "mtx", "tenx.h5",
                        "counts.loom")},
        "build embeddings.h5ad": ["build-cells", good["counts.h5ad"], "-e", "BAD", "-o", "output"],
        "like majority.h5": ["build-cells", good["counts.h5ad"], "-e", good["embeddings.h5ad"],
                             "--like", "BAD", "-o", "output"],
        "train cells.h5ad": ["train-reader", "BAD", "--method", "majority", *ONE_READER,
                             "-o", "output"],
        "train llama": ["train-reader", good["cells.h5ad"], "--llm", "BAD", *map(str, SMALL),
                        *ONE_READER, "-o", "output"],
        "predict cells.h5ad": ["predict", "BAD", "-r", good["majority.h5"], "-o", "output"],
        "predict majority.h5": ["predict", good["cells.h5ad"], "-r", "BAD", "-o", "output"],
        "predict reader.h5": ["predict", good["cells.h5ad"], "-r", "BAD", "--llm", good["llama"],
                              "-o", "output"],
        "plot predictions.h5ad": ["plot", "confusion", "BAD", "--format", "svg", "-o", "output"],
        "annotate counts.h5ad": ["annotate", "BAD", "-r", good["reader.h5"], "-o", "output"],
        **{f"{tool} {name}": [tool, "BAD"]
           for tool in ("validate", "info")
           for name in ("cells.h5ad", "predictions.h5ad", "reader.h5", "descriptions.h5ad",
                        "counts.h5ad")},
    }  # fmt: skip
    return {name: (folder / name.split()[1], words) for name, words in lines.items()}
