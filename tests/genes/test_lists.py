"""The genes that an input names, whatever the format."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from screader_lib.errors import ScReaderError
from screader_lib.genes.gene_lists import read_genes


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
        pytest.param("INS,1\nGCG,2\n", ("INS", "GCG"), id="csv"),
        pytest.param('"INS","insulin, a hormone"\n"GCG",x\n', ("INS", "GCG"), id="quoted-csv"),
        pytest.param("INS\tinsulin, a hormone\nGCG\tx\n", ("INS", "GCG"), id="tsv"),
        pytest.param("INS,GCG\n", ("INS,GCG",), id="one-line-with-commas"),
        pytest.param("INS\nodd,name\n", ("INS", "odd,name"), id="a-comma-in-a-name"),
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
    var = pd.DataFrame(
        {"ids": ["ENSG1", "ENSG2"], "kind": pd.Categorical(["b", "a"])}, index=["INS", "GCG"]
    )
    anndata.AnnData(np.zeros((3, 2), np.float32), var=var).write_h5ad(path)
    assert names(path) == ("INS", "GCG")
    assert names(path, "ids") == ("ENSG1", "ENSG2")
    assert names(path, "kind") == ("b", "a")
    with pytest.raises(ScReaderError, match="no column 'x'"):
        names(path, "x")


def test_10x_takes_genes_only(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file["matrix/barcodes"] = np.array([b"A"])
        file["matrix/features/name"] = np.array([b"INS", b"CD3"])
        file["matrix/features/id"] = np.array([b"ENSG1", b"ab"])
        file["matrix/features/feature_type"] = np.array([b"Gene Expression", b"Antibody Capture"])
    assert names(path) == ("INS",)
    assert names(path, "id") == ("ENSG1",)


@pytest.mark.parametrize(
    ("file", "pack"),
    [
        pytest.param("features.tsv.gz", gzip.compress, id="version-3"),
        pytest.param("genes.tsv", bytes, id="version-2"),
    ],
)
def test_10x_folder(tmp_path: Path, file: str, pack: Callable[[bytes], bytes]) -> None:
    kinds = ("\tGene Expression", "\tAntibody Capture") if file.endswith("gz") else ("", "")
    rows = [f"ENSG1\tINS{kinds[0]}", f"ENSG2\tCD3{kinds[1]}"]
    (tmp_path / file).write_bytes(pack("\n".join(rows).encode()))
    genes = 1 if kinds[0] else 2
    assert names(tmp_path) == ("INS", "CD3")[:genes]
    assert names(tmp_path, "id") == ("ENSG1", "ENSG2")[:genes]
    with pytest.raises(ScReaderError, match="Columns: id, name"):
        names(tmp_path, "symbol")


def test_loom(tmp_path: Path) -> None:
    path = tmp_path / "c.loom"
    with h5py.File(path, "w") as file:
        file["matrix"] = np.zeros((2, 1))
        file["row_attrs/Gene"] = np.array([b"INS", b"GCG"])
        file["row_attrs/Accession"] = np.array([b"ENSG1", b"ENSG2"])
        file.create_group("col_attrs")
    assert names(path) == ("INS", "GCG")
    assert names(path, "Accession") == ("ENSG1", "ENSG2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\n# x\n", "contains no gene names", id="only-comments"),
        pytest.param(b"\x89PNG\x00\xff", "is not text", id="binary"),
        pytest.param(b"\x1f\x8b\x08garbage", "damaged or cut off", id="bad-gzip"),
        pytest.param(b"\x89HDF\r\n\x1a\ncut", "damaged or truncated", id="cut-hdf5"),
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
    with pytest.raises(ScReaderError, match=r"has no features\.tsv or genes\.tsv"):
        names(tmp_path)
    path = tmp_path / "other.h5"
    h5py.File(path, "w").close()
    with pytest.raises(ScReaderError, match="no gene list"):
        names(path)
