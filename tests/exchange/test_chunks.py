"""Chunks read and compressed outside HDF5 hold what HDF5 reads and writes."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.exchange import chunks, encoding
from screader_lib.exchange.chunks import ChunkReader, RowAppender, RowReader, RowWriter

VALUES = np.random.default_rng(0).integers(0, 50, 1000).astype(np.int32)
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (64,)},
    "deflate": {"chunks": (64,), "compression": "gzip"},
    "shuffle": {"chunks": (64,), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (64,), "compression": "lzf"},
    "checksums": {"chunks": (64,), "fletcher32": True},
    "growing": {"chunks": (64,), "compression": "gzip", "maxshape": (None,)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<f8", "<u2", "<f2", "?"])
def test_stretches(tmp_path: Path, layout: str, dtype: str) -> None:
    values = VALUES.astype(dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=values, **LAYOUTS[layout])
    with h5py.File(tmp_path / "x.h5") as file:
        reader = ChunkReader(file["x"])
        for start, stop in ((0, 1000), (0, 0), (0, 1), (63, 65), (64, 128), (999, 1000), (5, 700)):
            read = reader.read(start, stop)
            assert read.dtype == values.dtype and np.array_equal(read, values[start:stop])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["<i2", ">i4", "<f4", "<f2"])
def test_rows(tmp_path: Path, layout: str, dtype: str) -> None:
    """Of a matrix with a block that was never written, whose last chunks are not full."""
    values = np.full((100, 45), 7).astype(dtype)
    values[:50, :40] = np.tile(VALUES, 2).reshape(50, 40)
    options = dict(LAYOUTS[layout])
    if "chunks" in options:
        options["chunks"] = (16, 20)
    if "maxshape" in options:
        options["maxshape"] = (None, 45)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", values.shape, dtype, fillvalue=7, **options)
        stored[:50, :40] = values[:50, :40]
    with h5py.File(tmp_path / "x.h5") as file:
        reader = RowReader(file["x"])
        for start, stop in ((0, 100), (0, 0), (15, 17), (16, 32), (47, 70), (99, 100)):
            for width in (0, 1, 20, 41, 45):
                read = reader.read(start, stop, width)
                assert read.dtype == values.dtype
                assert np.array_equal(read, values[start:stop, :width])
        for rows in ([], [3], [99], [0, 15, 16, 31, 80, 99], [*range(100)]):
            for width in (0, 20, 41):
                read = reader.take(np.array(rows, np.int64), width)
                assert np.array_equal(read, values[rows, :width])


def test_chunks_that_were_never_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (1000,), "i4", chunks=(64,), compression="gzip")
        data[100:200] = 7
        file.create_dataset("y", (1000,), "i4")
    with h5py.File(tmp_path / "x.h5") as file:
        assert ChunkReader(file["x"]).read(0, 1000).sum() == 700
        assert ChunkReader(file["y"]).read(0, 1000).sum() == 0


def test_arrays_behind_other_bytes_and_in_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as file:
        file["x"] = VALUES
    with (
        h5py.File(tmp_path / "x.h5") as behind,
        h5py.File("none", "w", driver="core", backing_store=False) as memory,
    ):
        memory["x"] = VALUES
        for array in (behind["x"], memory["x"], VALUES):
            assert np.array_equal(ChunkReader(array).read(3, 900), VALUES[3:900])


def test_a_damaged_chunk_is_left_to_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", data=VALUES, chunks=(1000,), compression="gzip")
        offset = data.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 8 : offset + 40] = b"\xff" * 32
    path.write_bytes(content)
    with h5py.File(path) as file, pytest.raises(OSError):
        ChunkReader(file["x"]).read(0, 1000)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 30),
    chunk=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    data=st.data(),
)
def test_rows_in_any_pieces(
    rows: int, columns: int, chunk: tuple[int, int], data: st.DataObject
) -> None:
    lengths = data.draw(st.lists(st.integers(0, columns), min_size=rows, max_size=rows))
    expected = np.full((rows, columns), -1, np.int16)
    for row, length in enumerate(lengths):
        expected[row, :length] = np.arange(length)
    cuts = sorted(data.draw(st.sets(st.integers(0, rows), max_size=5)) | {0, rows})
    with (
        h5py.File("none", "w", driver="core", backing_store=False) as file,
        ThreadPoolExecutor(2) as pool,
    ):
        stored = encoding.create_filled(file, "x", (rows, columns), np.int16, -1, chunk)
        writer = RowWriter(stored, pool)
        for start, stop in pairwise(cuts):
            writer.add(expected[start:stop, : max(lengths[start:stop])])
        writer.finish()
        assert np.array_equal(stored[()], expected)


@pytest.mark.parametrize("module", [chunks.inflate, zlib])
@pytest.mark.parametrize("dtype", [">f4", "<f8", "<i4", "?"])
@given(
    sizes=st.lists(st.integers(0, 9), max_size=8),
    width=st.sampled_from([None, 1, 3]),
    rows=st.integers(1, 6),
)
@settings(max_examples=12, deadline=None)
def test_rows_appended(
    module: Any, dtype: str, sizes: list[int], width: int | None, rows: int
) -> None:
    """Rows in pieces of any sizes, into a dataset of this length or one that grows."""
    shape = (sum(sizes),) if width is None else (sum(sizes), width)
    values = np.random.default_rng(0).integers(0, 2**20, shape).astype(dtype)
    options = {"dtype": dtype, "chunks": (rows, *shape[1:]), **encoding.COMPRESSION}
    grows = {"shape": (0, *shape[1:]), "maxshape": (None, *shape[1:])}
    with (
        h5py.File("x.h5", "w", driver="core", backing_store=False) as file,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(chunks, "inflate", module)
        for name, size in (
            ("grows", grows),
            ("fixed", {"shape": shape, "maxshape": (99, *shape[1:])}),
        ):
            appender = RowAppender(file.create_dataset(name, **size, **options))
            for start, stop in pairwise(np.cumsum([0, *sizes]).tolist()):
                appender.add(values[start:stop])
            appender.finish()
            assert appender.rows == len(values)
            np.testing.assert_array_equal(file[name], values)
