"""Bytes read and packed outside HDF5 are those that HDF5 reads and packs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from screader_lib.exchange import encoding
from screader_lib.exchange.chunks import ChunkReader, RowWriter, shuffled, unshuffled

VALUES = np.random.default_rng(0).integers(0, 50, 1000).astype(np.int32)
LAYOUTS: list[Any] = [
    pytest.param({}, id="contiguous"),
    pytest.param({"chunks": (64,)}, id="chunked"),
    pytest.param({"chunks": (64,), "compression": "gzip"}, id="deflate"),
    pytest.param({"chunks": (64,), "compression": "gzip", "shuffle": True}, id="shuffle"),
    pytest.param({"chunks": (64,), "compression": "lzf"}, id="lzf"),
    pytest.param({"chunks": (64,), "fletcher32": True}, id="checksums"),
    pytest.param({"chunks": (64,), "compression": "gzip", "maxshape": (None,)}, id="growing"),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<f8", "<u2", "<f2", "?"])
def test_stretches(tmp_path: Path, layout: dict[str, Any], dtype: str) -> None:
    values = VALUES.astype(dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=values, **layout)
    with h5py.File(tmp_path / "x.h5") as file:
        stretch = ChunkReader(file["x"])
        for start, stop in ((0, 1000), (0, 0), (0, 1), (63, 65), (64, 128), (999, 1000), (5, 700)):
            read = stretch.read(start, stop)
            assert read.dtype == values.dtype and np.array_equal(read, values[start:stop])


def test_chunks_that_were_never_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (1000,), "i4", chunks=(64,), compression="gzip")
        data[100:200] = 7
        file.create_dataset("y", (1000,), "i4")
    with h5py.File(tmp_path / "x.h5") as file:
        assert ChunkReader(file["x"]).read(0, 1000).sum() == 700
        assert ChunkReader(file["y"]).read(0, 1000).sum() == 0


@pytest.mark.parametrize("userblock", [0, 512])
def test_files_in_memory_and_behind_other_bytes(tmp_path: Path, userblock: int) -> None:
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=userblock) as file:
        file["x"] = VALUES
    with h5py.File(tmp_path / "x.h5") as file:
        assert np.array_equal(ChunkReader(file["x"]).read(3, 900), VALUES[3:900])
    with h5py.File("none", "w", driver="core", backing_store=False) as file:
        file["x"] = VALUES
        assert np.array_equal(ChunkReader(file["x"]).read(3, 900), VALUES[3:900])


def test_damaged_chunk_is_left_to_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", data=VALUES, chunks=(1000,), compression="gzip")
        place = data.id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 8 : place + 40] = b"\xff" * 32
    path.write_bytes(content)
    with h5py.File(path) as file, pytest.raises(OSError):
        ChunkReader(file["x"]).read(0, 1000)


def test_an_array_that_is_not_hdf5() -> None:
    assert ChunkReader(VALUES).read(2, 5).tolist() == VALUES[2:5].tolist()


@given(arrays.arrays(st.sampled_from(["<i2", "<f4", "<f8", "u1"]), st.integers(1, 50)))
def test_shuffling_and_back(values: np.ndarray) -> None:
    assert unshuffled(shuffled(values), values.dtype).tobytes() == values.tobytes()


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
    wanted = np.full((rows, columns), -1, np.int16)
    for row, length in enumerate(lengths):
        wanted[row, :length] = np.arange(length)
    cuts = sorted(data.draw(st.sets(st.integers(0, rows), max_size=5)) | {0, rows})
    with (
        h5py.File("none", "w", driver="core", backing_store=False) as file,
        ThreadPoolExecutor(2) as pool,
    ):
        stored = encoding.create_filled(file, "x", (rows, columns), np.int16, -1, chunk)
        writer = RowWriter(stored, pool)
        for start, stop in pairwise(cuts):
            writer.add(wanted[start:stop, : max(lengths[start:stop])])
        writer.finish()
        assert np.array_equal(stored[()], wanted)


def test_a_file_by_one_thread_and_by_four_is_the_same() -> None:
    values = np.random.default_rng(0).random((500, 60)).astype(np.float32)
    images = []
    for threads in (1, 4):
        with (
            h5py.File("none", "w", driver="core", backing_store=False) as file,
            ThreadPoolExecutor(threads) as pool,
        ):
            stored = encoding.create_filled(file, "x", (500, 60), np.float32, 0, (16, 32))
            writer = RowWriter(stored, pool)
            for start in range(0, 500, 7 * threads):
                writer.add(values[start : start + 7 * threads])
            writer.finish()
            file.flush()
            images.append(file.id.get_file_image())
    assert images[0] == images[1]
