"""The genes that an input names, whatever the format."""

from __future__ import annotations

import gzip
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from cell_files import CSC, IDS, Writer, gzipped_mtx, loom, mtx, raw, tenx_2, tenx_3, zarr
from small_files import genes, write_embeddings

from screader_lib.cells.gene_lists import read_genes
from screader_lib.errors import ScReaderError


def names(path: Path, column: str | None = None) -> tuple[str, ...]:
    return read_genes(path, path.name, column).names


def test_text_keeps_order_and_each_name_once(tmp_path: Path) -> None:
    path = tmp_path / "g.txt"
    path.write_bytes('\ufeff# mine\r\nINS\r\n\r\n GCG \nINS\n"TTR"\textra\n'.encode())
    listed = read_genes(path, "g.txt")
    assert listed.names == ("INS", "GCG", "TTR")
    assert listed.repeated == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("INS,1\nGCG,2\n", ("INS", "GCG")),
        ('"INS","insulin, a hormone"\n"GCG",x\n', ("INS", "GCG")),
        ("INS\tinsulin, a hormone\nGCG\tx\n", ("INS", "GCG")),
        ("INS,GCG\n", ("INS,GCG",)),
        ("INS\nodd,name\n", ("INS", "odd,name")),
    ],
)
def test_first_column_of_a_table(tmp_path: Path, content: str, expected: tuple[str, ...]) -> None:
    path = tmp_path / "g.txt"
    path.write_text(content)
    assert names(path) == expected


def test_gzipped_table_by_column(tmp_path: Path) -> None:
    path = tmp_path / "g"
    path.write_bytes(gzip.compress(b"id,gene\n1,INS\n2,GCG\n"))
    assert names(path, "gene") == ("INS", "GCG")
    with pytest.raises(ScReaderError, match=r"no column 'x'\. It has: id, gene"):
        names(path, "x")


def test_h5ad_by_index_and_column(tmp_path: Path) -> None:
    path = tmp_path / "c.h5ad"
    kinds = {"ids": ["ENSG1", "ENSG2"], "kind": pd.Categorical(["b", "a"])}
    var = pd.DataFrame(kinds, index=["INS", "GCG"])
    anndata.AnnData(np.zeros((3, 2), np.float32), var=var).write_h5ad(path)
    assert names(path) == ("INS", "GCG")
    assert names(path, "ids") == ("ENSG1", "ENSG2")
    assert names(path, "kind") == ("b", "a")
    with pytest.raises(ScReaderError, match="no column 'x'"):
        names(path, "x")


@pytest.mark.parametrize(
    "write",
    [CSC, raw, zarr, tenx_2, tenx_3, mtx, gzipped_mtx, loom],
    ids=["csc", "raw", "zarr", "tenx_2", "tenx_3", "mtx", "gzipped_mtx", "loom"],
)
def test_any_file_of_cells(tmp_path: Path, write: Writer) -> None:
    assert list(names(write(tmp_path))) == genes()


@pytest.mark.parametrize("write", [tenx_2, tenx_3, mtx])
def test_10x_by_id(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path)
    assert list(names(path, "id")) == list(names(path, "gene_ids")) == IDS
    assert list(names(path, "name")) == genes()
    with pytest.raises(ScReaderError, match=r"no column 'symbol'\. Columns: gene_ids"):
        names(path, "symbol")


def test_10x_folder_with_a_list_alone(tmp_path: Path) -> None:
    (tmp_path / "genes.tsv").write_bytes(b"ENSG1\tINS\nENSG2\tCD3")
    assert (names(tmp_path), names(tmp_path, "id")) == (("INS", "CD3"), ("ENSG1", "ENSG2"))


def test_loom_by_column(tmp_path: Path) -> None:
    path = loom(tmp_path)
    with h5py.File(path, "a") as file:
        file["row_attrs/Accession"] = [one.encode() for one in IDS]
    assert list(names(path, "Accession")) == IDS


def test_own_files(tmp_path: Path) -> None:
    path = write_embeddings(tmp_path / "e.h5ad", ["b", "a"], symbol=["INS", "GCG"])
    assert (names(path), names(path, "symbol")) == (("b", "a"), ("INS", "GCG"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n# x\n", "contains no gene names"),
        (b"\x89PNG\x00\xff", "is not text"),
        (b"\x1f\x8b\x08garbage", "damaged or cut off"),
        (b"\x89HDF\r\n\x1a\ncut", "damaged or truncated"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        names(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ScReaderError, match="no such file"):
        names(tmp_path / "x")
    with pytest.raises(ScReaderError, match=r"has no matrix\.mtx or features\.tsv"):
        names(tmp_path)
    path = tmp_path / "other.h5"
    h5py.File(path, "w").close()
    with pytest.raises(ScReaderError, match="without single-cell data"):
        names(path)
