"""Small files that would take much memory or time: each is refused or read within both."""

from __future__ import annotations

import gzip
import io
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

STRING = h5py.string_dtype()
BLOCK = 1 << 20
ROWS = 1_000_000


def zeros_npz(path: Path, source: Path) -> None:
    """3 GB of vectors in 3 MB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (40, 20_000_000)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("vectors.npy", "w", force_zip64=True) as stream:
            stream.write(header.getvalue())
            for _ in range(40 * 20_000_000 * 4 // BLOCK):
                stream.write(bytes(BLOCK))
        with archive.open("genes.npy", "w") as stream:
            np.save(stream, np.array([f"GENE{number:02}" for number in range(40)]))


def gzip_of(line: bytes, size: int) -> Callable[[Path, Path], None]:
    """So many bytes of one line again and again."""

    def write(path: Path, source: Path) -> None:
        lines = line * (BLOCK // len(line))
        with gzip.open(path, "wb", 1) as stream:
            for _ in range(size // BLOCK):
                stream.write(lines)

    return write


def in_folder(name: str, line: bytes, size: int = 3 << 30) -> Callable[[Path, Path], None]:
    """A 10x folder one of whose files unpacks to that much."""

    def write(path: Path, source: Path) -> None:
        shutil.copytree(source, path)
        head = b""
        if name == "matrix.mtx.gz":
            head = b"%%MatrixMarket matrix coordinate integer general\n40 90 1300\n"
        gzip_of(line, size)(path / name, source)
        if head:
            (path / name).write_bytes(gzip.compress(head) + (path / name).read_bytes())

    return write


def changed(change: Callable[[h5py.File], None]) -> Callable[[Path, Path], None]:
    """A copy of a sound HDF5 file, changed."""

    def write(path: Path, source: Path) -> None:
        shutil.copy(source, path)
        with h5py.File(path, "a") as file:
            change(file)

    return write


def wide_obs(file: h5py.File) -> None:
    """A thousand columns of a million rows."""
    template = h5py.File.create_dataset
    for number in range(1_000):
        template(
            file["obs"], f"c{number}", (ROWS,), "f8", data=None, chunks=(ROWS // 8,),
            compression=1, fillvalue=1.0,
        )  # fmt: skip
    chunk = zlib.compress(np.ones(ROWS // 8).tobytes(), 1)
    for number in range(1_000):
        for start in range(0, ROWS, ROWS // 8):
            file[f"obs/c{number}"].id.write_direct_chunk((start,), chunk)
    names = list(file["obs"].attrs["column-order"])
    order = np.array([*names, *(f"c{number}" for number in range(1_000))], object)
    file["obs"].attrs.create("column-order", order, dtype=STRING)


def long_matrix(file: h5py.File) -> None:
    """A billion values of 90 cells, all 1."""
    count, step = 1_000_000_000, 10_000_000
    for name, dtype in (("data", "f4"), ("indices", "i4")):
        attributes = dict(file[f"X/{name}"].attrs)
        del file[f"X/{name}"]
        new = file.create_dataset(f"X/{name}", (count,), dtype, chunks=(step,), compression=1)
        new.attrs.update(attributes)
        chunk = zlib.compress(np.ones(step, dtype).tobytes(), 1)
        for start in range(0, count, step):
            new.id.write_direct_chunk((start,), chunk)
    file["X/indptr"][...] = np.linspace(0, count, len(file["X/indptr"])).astype(np.int64)


def names_without_end(file: h5py.File, axis: str, name: bytes, count: int) -> None:
    """An index of ``count`` names of fixed length, compressed to next to nothing."""
    step = 10_000_000
    index = file[axis].attrs["_index"]
    del file[f"{axis}/{index}"]
    new = file.create_dataset(f"{axis}/{index}", (count,), "S4", chunks=(step,), compression=1)
    chunk = zlib.compress(name * step, 1)
    for start in range(0, count, step):
        new.id.write_direct_chunk((start,), chunk)


def many_cells(file: h5py.File) -> None:
    """Two hundred million cells by name."""
    names_without_end(file, "obs", b"cell", 200_000_000)


def many_genes(file: h5py.File) -> None:
    """A hundred million genes by name."""
    count = 100_000_000
    names_without_end(file, "var", b"gene", count)
    file["X"].attrs["shape"] = (90, count)


def many_attributes(file: h5py.File) -> None:
    group = file.create_group("uns/many", track_order=True)
    for number in range(30_000):
        group.attrs[f"a{number}"] = number


def long_attribute(file: h5py.File) -> None:
    """Four thousand entries of an attribute that all are one string of a megabyte."""
    text = "a" * (1 << 20)
    names = np.array([text] + ["b"] * 3_999, object)
    file["obs"].attrs.create("column-order", names, dtype=STRING)
    file.flush()
    path = Path(file.filename)
    content = path.read_bytes()
    size = (1 << 20).to_bytes(4, "little")
    start = content.rfind(size + content[content.find(size) + 4 : content.find(size) + 8])
    entry = content[start : start + 16]
    file.close()
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(entry * 4_000)


def huge_chunk(file: h5py.File) -> None:
    """A chunk that declares 4 GB."""
    old = file["obsm/gene_weight"]
    values, attributes = old[()], dict(old.attrs)
    del file["obsm/gene_weight"]
    new = file.create_dataset(
        "obsm/gene_weight", values.shape, "f4", maxshape=(None, None), compression=1,
        chunks=(1 << 20, 1 << 9),
    )  # fmt: skip
    new.attrs.update(attributes)


def zeros_parquet(path: Path, source: Path) -> None:
    """A hundred million equal rows in a few kilobytes."""
    import pyarrow
    from pyarrow import parquet

    names = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(np.zeros(10_000_000, np.int32)), pyarrow.array(["gene" * 25])
    )
    table = pyarrow.table({"gene": names, "d0": np.zeros(10_000_000), "d1": np.zeros(10_000_000)})
    with parquet.ParquetWriter(path, table.schema) as writer:
        for _ in range(10):
            writer.write_table(table)


def zarr_chunk(codec: str) -> Callable[[Path, Path], None]:
    """A zarr store a chunk of whose values unpacks to 3 GB, or to the 2 GB that blosc can state."""

    def write(path: Path, source: Path) -> None:
        import numcodecs
        import zarr

        shutil.copytree(source, path)
        old = zarr.open_group(path, mode="a", use_consolidated=False)["X/data"]
        zarr.create_array(
            path, name="X/data", data=old[...], chunks=old.shape, attributes=dict(old.attrs),
            zarr_format=2, compressors=numcodecs.get_codec({"id": codec}), overwrite=True,
        )  # fmt: skip
        zarr.consolidate_metadata(path)
        chunk = path / "X" / "data" / "0"
        if codec == "gzip":
            gzip_of(b"1" * 16, 3 << 30)(chunk, source)
        else:
            size = 3 << 30 if codec == "zstd" else numcodecs.blosc.MAX_BUFFERSIZE
            chunk.write_bytes(numcodecs.get_codec({"id": codec}).encode(bytes(size)))

    return write


# name → what writes it, the sound file it is made from, and its name
BOMBS: dict[str, tuple[Callable[[Path, Path], None], str, str]] = {
    "npz": (zeros_npz, "vectors.npz", "bad.npz"),
    "parquet": (zeros_parquet, "vectors.npz", "bad.parquet"),
    "gene list": (gzip_of(b"GENE01\n", 3 << 30), "genes.txt", "bad.txt.gz"),
    "gene list of one line": (gzip_of(b"A", 3 << 30), "genes.txt", "bad.txt.gz"),
    "short names": (gzip_of(b"a\n", 1 << 28), "genes.txt", "bad.txt.gz"),
    "vectors as text": (gzip_of(b"a,1\n", 1 << 28), "vectors.csv", "bad.csv.gz"),
    "features": (in_folder("features.tsv.gz", b"a\tb\tGene Expression\n"), "mtx", "bad"),
    "features of one line": (in_folder("features.tsv.gz", b"a"), "mtx", "bad"),
    "barcodes": (in_folder("barcodes.tsv.gz", b"cell\n"), "mtx", "bad"),
    "matrix": (in_folder("matrix.mtx.gz", b"1 1 1\n", 1 << 30), "mtx", "bad"),
    "matrix of one line": (in_folder("matrix.mtx.gz", b"1"), "mtx", "bad"),
    "wide obs": (changed(wide_obs), "counts.h5ad", "bad.h5ad"),
    "wide obs of cells": (changed(wide_obs), "cells.h5ad", "bad.h5ad"),
    "long matrix": (changed(long_matrix), "counts.h5ad", "bad.h5ad"),
    "many cells": (changed(many_cells), "counts.h5ad", "bad.h5ad"),
    "many genes": (changed(many_genes), "counts.h5ad", "bad.h5ad"),
    "many attributes": (changed(many_attributes), "counts.h5ad", "bad.h5ad"),
    "long attribute": (changed(long_attribute), "counts.h5ad", "bad.h5ad"),
    **{
        f"{codec} chunk of zarr": (zarr_chunk(codec), "counts.zarr", "bad.zarr")
        for codec in ("gzip", "zstd", "blosc")
    },
    "huge chunk": (changed(huge_chunk), "cells.h5ad", "bad.h5ad"),
}
IMPORT = ["embed-genes", "--import", "BAD", "--no-cache", "-o", "output"]
LIST = ["fetch-descriptions", "--genes", "BAD", "--source", "packaged", "-o", "output"]
OF_VECTORS = ("npz", "parquet", "vectors as text")


def lines_of(name: str, source: str, lines: dict[str, tuple[Path, list[str]]]) -> list[list[str]]:
    """The command lines that read a bomb, among those of ``attacked_files.commands``."""
    if name in OF_VECTORS:
        return [IMPORT]
    if source == "genes.txt":
        return [LIST]
    return [words for file, words in lines.values() if file.name == source]
