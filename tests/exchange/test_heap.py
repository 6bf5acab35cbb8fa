"""A damaged heap of strings is found before HDF5 walks it for ever."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screader_lib.errors import ScReaderError
from screader_lib.exchange import hdf5_heap, safety

SIZE, FREE = 8, 24  # where a collection keeps its size; where its first object begins


def write(path: Path, texts: list[str]) -> tuple[int, int]:
    """A file of strings; where its entries and its first collection lie."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.array(texts, object), dtype=h5py.string_dtype())
        place = file["x"].id.get_offset()
    return place, path.read_bytes().find(b"GCOL")


def entries_of(path: Path, count: int) -> np.ndarray:
    with h5py.File(path) as file:
        return hdf5_heap.GlobalHeap(path).entries(file["x"].id.get_offset(), count)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_lengths_are_those_of_the_strings(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "lengths.h5"
    write(path, texts or ["a"])
    entries = entries_of(path, len(texts or ["a"]))
    assert entries["length"].tolist() == [len(text.encode()) for text in texts or ["a"]]
    assert hdf5_heap.GlobalHeap(path).is_valid(entries)
    safety.open_checked(path).close()


@pytest.mark.parametrize("count", [1, 300, 20_000])
@pytest.mark.parametrize("length", [1, 8, 5000], ids="length {}".format)
def test_real_heaps_are_sound(tmp_path: Path, count: int, length: int) -> None:
    write(tmp_path / "x.h5", ["a" * length] * min(count, 10**7 // length))
    safety.open_checked(tmp_path / "x.h5").close()


def object_of_no_size(content: bytearray, start: int) -> None:
    """Free space that takes none: HDF5 2.0 never gets past it."""
    content[start + 16 : start + 32] = bytes(16)


def object_beyond_the_end(content: bytearray, start: int) -> None:
    struct.pack_into("<Q", content, start + FREE, 1 << 20)


def object_of_almost_all_addresses(content: bytearray, start: int) -> None:
    struct.pack_into("<Q", content, start + FREE, 2**64 - 8)


def collection_beyond_the_end(content: bytearray, start: int) -> None:
    struct.pack_into("<Q", content, start + SIZE, 1 << 40)


def other_signature(content: bytearray, start: int) -> None:
    content[start] ^= 1


def other_version(content: bytearray, start: int) -> None:
    content[start + 4] = 2


DAMAGES = [
    object_of_no_size, object_beyond_the_end, object_of_almost_all_addresses,
    collection_beyond_the_end, other_signature, other_version,
]  # fmt: skip


@pytest.mark.parametrize("strict", [True, False], ids=["own", "others"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage(tmp_path: Path, damage: Callable[[bytearray, int], None], strict: bool) -> None:
    path = tmp_path / "x.h5"
    _, start = write(path, ["INS", "GCG", "SST"])
    content = bytearray(path.read_bytes())
    damage(content, start)
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match="damaged heap"):
        safety.open_checked(path, strict=strict)


def test_an_entry_that_points_beyond_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    place, _ = write(path, ["INS", "GCG", "SST"])
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, place + 4, 2**50)
    path.write_bytes(content)
    with pytest.raises(ScReaderError, match="damaged heap"):
        safety.open_checked(path)
