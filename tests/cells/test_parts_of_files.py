"""Files that hold several AnnData, and files that are packed: their cells, genes and labels."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas
import pytest
import zarr as zarr_library
from anndata.io import write_elem
from cell_files import NAMES, TYPES, VALUES, gzipped_mtx, h5ad, mtx, zarr
from small_files import CELLS, expression, fail, genes, succeed, write_embeddings, write_expression

from screader_lib.cells.formats.expression import Expression, ReadOptions
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.gene_lists import read_genes
from screader_lib.errors import ScReaderError

RNA = expression(VALUES, TYPES)
PROTEINS = expression(VALUES[:, :5], TYPES)


def values_of(source: Expression) -> np.ndarray:
    return np.vstack([source.read(*span).toarray() for span in source.spans()])


def h5mu(folder: Path, names: tuple[str, str] = ("prot", "rna")) -> Path:
    """As mudata writes it: 512 bytes of text come first."""
    path = folder / "x.h5mu"
    order = np.arange(len(NAMES))[::-1]
    labels = [f"{kind} cell" for kind in TYPES]
    common = pandas.DataFrame({"broad": labels, "rna:fine": labels, "prot:x": labels}, index=NAMES)
    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs["encoding-type"] = "MuData"
        write_elem(file, "obs", common.iloc[order])
        write_elem(file, "var", pandas.DataFrame(index=genes()))
        group = file.create_group("mod")
        write_elem(group, names[0], PROTEINS)
        write_elem(group, names[1], RNA)
        write_elem(file.create_group("obsmap"), names[1], (order + 1).astype(np.uint32))
    with path.open("r+b") as stream:
        stream.write(b"MuData (format-version=0.1.0;creator=mudata)")
    return path


def spatialdata(folder: Path, *tables: str) -> Path:
    path = folder / "x.zarr"
    root = zarr_library.open_group(path, mode="w")
    root.create_group("shapes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in tables or ("table",):
            write_elem(root.require_group("tables"), name, RNA if name == "table" else PROTEINS)
    return path


@pytest.mark.parametrize(
    ("names", "modality", "expected"),
    [
        (("prot", "rna"), None, VALUES),
        (("prot", "gex"), None, VALUES),
        (("prot", "rna"), "prot", VALUES[:, :5]),
    ],
)
def test_a_modality(
    tmp_path: Path, names: tuple[str, str], modality: str | None, expected: np.ndarray
) -> None:
    path = h5mu(tmp_path, names)
    with open_expression(path, "x.h5mu", ReadOptions(modality=modality)) as source:
        assert np.array_equal(values_of(source), expected)
        part, other = (modality or names[1]), (names[0] if modality is None else names[1])
        assert source.format == f"h5mu, modality {part}" and f"modality {other}" in source.others
        if names[1] == "rna" and modality is None:  # columns of all modalities, in its order
            assert source.obs.columns["broad"].load().tolist() == [f"{t} cell" for t in TYPES]
            assert "fine" in source.obs.columns and "prot:x" not in source.obs.columns
    assert (
        list(read_genes(path, "x", None, ReadOptions(modality=modality)).names)
        == genes()[: expected.shape[1]]
    )


def test_no_such_modality(tmp_path: Path) -> None:
    for wanted, message in (
        ("atac", r"x: has no modality atac\. It has: prot, rna"),
        (None, r"x: holds 2: a, b\. Name the modality with --modality"),
    ):
        path = h5mu(tmp_path, ("prot", "rna") if wanted else ("a", "b"))
        with (
            pytest.raises(ScReaderError, match=message),
            open_expression(path, "x", ReadOptions(modality=wanted)),
        ):
            pass
    with (
        pytest.raises(ScReaderError, match="is one AnnData, without a part rna"),
        open_expression(h5ad(tmp_path), "x", ReadOptions(modality="rna")),
    ):
        pass


def test_a_table_of_spatialdata(tmp_path: Path) -> None:
    with open_expression(spatialdata(tmp_path), "x") as source:
        assert np.array_equal(values_of(source), VALUES) and "table table" in source.format
    path = spatialdata(tmp_path, "table", "squares")
    with (
        pytest.raises(ScReaderError, match=r"holds 2: squares, table\. Name the table"),
        open_expression(path, "x"),
    ):
        pass
    with open_expression(path, "x", ReadOptions(modality="squares")) as source:
        assert values_of(source).shape == (len(NAMES), 5)
    zarr_library.open_group(tmp_path / "y.zarr", mode="w").create_group("images")
    with (
        pytest.raises(ScReaderError, match="neither AnnData, MuData nor SpatialData"),
        open_expression(tmp_path / "y.zarr", "y"),
    ):
        pass


def compressed(write: Callable, module: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "packed"
        path.write_bytes(module.compress(write(folder).read_bytes()))
        return path

    return make


def zipped(write: Callable[[Path], Path], inside: bool = False) -> Callable[[Path], Path]:
    """``inside``: within a folder of the archive."""

    def make(folder: Path) -> Path:
        (folder / "in").mkdir()
        source = write(folder / "in")
        with zipfile.ZipFile(folder / "x.zip", "w") as archive:
            for path in [source] if source.is_file() else source.rglob("*"):
                if path.is_file():
                    top = source.parent if inside or source.is_file() else source
                    archive.write(path, path.relative_to(top))
        return folder / "x.zip"

    return make


@pytest.mark.parametrize(
    "write",
    [
        compressed(h5ad, gzip),
        compressed(h5ad, bz2),
        compressed(h5ad, lzma),
        compressed(h5mu, gzip),
        zipped(h5ad),
        zipped(zarr),
        zipped(zarr, inside=True),
        zipped(spatialdata, inside=True),
        zipped(mtx),
        zipped(gzipped_mtx, inside=True),
    ],
)
def test_packed_files(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    with open_expression(path, "x") as source:
        assert np.array_equal(values_of(source), VALUES)
    assert list(read_genes(path, "x").names) == genes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            gzip.compress(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 30, mtime=0)[:-99],
            "cannot be unpacked",
        ),
        (b"PK\3\4" + b"?" * 80, "cannot be unpacked"),
        (b"PAR1" + b"?" * 80, "is a parquet table"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (
            gzip.compress(b"a" * 257 + b"ustar" + b"\0" * 300, mtime=0),
            "is a tar archive. Unpack it",
        ),
        (b"", "is empty"),
    ],
)
def test_what_is_not_read(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ScReaderError, match=message), open_expression(tmp_path / "x", "x"):
        pass


def test_an_archive_that_would_fill_the_disk(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.h5ad", bytes(10**7))
    with pytest.raises(ScReaderError, match="Refused as unsafe"):
        read_genes(tmp_path / "x.zip", "x")


def test_labels_come_with_all_of_them(tmp_path: Path) -> None:
    write_expression(tmp_path / "x.h5ad")
    shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path, "x.h5ad")
    words = ("-e", write_embeddings(tmp_path / "e.h5ad"), "--label", "cell_type")
    succeed("build-cells", tmp_path / "x.zip", *words, "-o", tmp_path / "c.h5ad")
    assert anndata.read_h5ad(tmp_path / "c.h5ad").obs["label"].notna().sum() == CELLS
    h5mu(tmp_path)
    words = (*words[:2], "--label", "broad", "--assay", "rna")
    succeed("build-cells", tmp_path / "x.h5mu", *words, "-o", tmp_path / "c.h5ad")
    labels = anndata.read_h5ad(tmp_path / "c.h5ad").obs["label"]
    assert labels.tolist() == [f"{kind} cell" for kind in TYPES]


def test_a_filter_that_is_not_there(tmp_path: Path) -> None:
    path = h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        values = file["X/data"][()]
        del file["X/data"]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((len(values),))
        properties.set_filter(32019, h5py.h5z.FLAG_OPTIONAL, ())  # a plugin that nobody has
        space = h5py.h5s.create_simple(values.shape)
        place, kind = file["X"].id, h5py.h5t.py_create(values.dtype)
        dataset = h5py.Dataset(h5py.h5d.create(place, b"data", kind, space, properties))
        dataset.id.write_direct_chunk((0,), values.tobytes())
    words = (path, "-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    message = fail("build-cells", *words)
    assert "x.h5ad: the filter 32019 that compressed X/data is not installed" in message
    assert "pip install hdf5plugin" in message and not (tmp_path / "c.h5ad").exists()


@pytest.mark.parametrize("write", [zarr, spatialdata, h5mu, zipped(h5ad), mtx])
def test_only_an_h5ad_is_added_to_in_place(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    files = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    message = fail("annotate", path, "-r", "human-pancreas", "--in-place")
    assert "is not an h5ad to add to" in message
    assert files == {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
