"""Damaged and hostile HDF5 is refused in one line, before its content is read."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety, summary, validation
from screader_lib.exchange.opening import open_exchange

Change = Callable[[h5py.File], object]
STRING = h5py.string_dtype()


def put(path: str, value: object) -> Change:
    return lambda file: file.__setitem__(path, value)


def make(*shape_and_dtype: Any, **layout: Any) -> Change:
    return lambda file: file["uns"].create_dataset("x", *shape_and_dtype, **layout)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file["uns"].create_virtual_dataset("v", layout)


def one_string_named_often(file: h5py.File) -> None:
    """A hundred thousand entries that all point to one megabyte."""
    names = file["uns"].create_dataset("x", (100_000,), STRING)
    names[0] = "a" * (1 << 20)
    start, width = names.id.get_offset(), names.id.get_storage_size() // names.size
    file.flush()
    with Path(file.filename).open("r+b") as stream:
        stream.seek(start)
        entry = stream.read(width)
        stream.seek(start)
        stream.write(entry * names.size)


def wide(file: h5py.File) -> None:
    for number in range(250):
        file.create_group(f"uns/{number // 50}/{number}")


def list_as_attribute(file: h5py.File) -> None:
    values = np.empty(1, object)
    values[0] = np.arange(3)
    file["obs"].attrs.create("x", values, dtype=h5py.vlen_dtype(np.int64))


def many_attributes(file: h5py.File) -> None:
    group = file.create_group("uns/x", track_order=True)
    for number in range(safety.MAX_ATTRIBUTES + 1):
        group.attrs[f"a{number}"] = number


def inflating(file: h5py.File) -> None:
    """A chunk of 300 kB that is said to hold 4 MB and inflates to 300 MB."""
    dataset = file["uns"].create_dataset("x", (1 << 20,), "i4", chunks=(1 << 20,), compression=1)
    dataset.id.write_direct_chunk((0,), zlib.compress(bytes(300 << 20), 1))


def a_chunk_of_more_than_it_declares(file: h5py.File) -> None:
    dataset = file["uns"].create_dataset("x", (64,), "i4", chunks=(64,), compression=1)
    dataset.id.write_direct_chunk((0,), bytes(3 << 20))


def deflated_twice(file: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((64,))
    properties.set_deflate(1)
    properties.set_deflate(1)
    space = h5py.h5s.create_simple((64,))
    h5py.h5d.create(file["uns"].id, b"x", h5py.h5t.NATIVE_INT32, space, properties)


ALWAYS_REFUSED: dict[str, Change] = {
    "external link": put("uns/x", h5py.ExternalLink("/etc/hostname", "/x")),
    "cycle": lambda file: put("uns/loop", file["uns"])(file),
    "cycle through the root": lambda file: put("uns/loop", file["/"])(file),
    "virtual": virtual,
    "external storage": make((4,), "f4", external=[("/etc/hostname", 0, 16)]),
    "gigantic chunked": make((2**40, 40), "f4", chunks=(1, 40)),
    "gigantic contiguous": make((2**45,), "f8"),
    "gigantic strings": make((2**40,), STRING),
    "one string named often": one_string_named_often,
    "gigantic chunk": make((4,), "f4", chunks=(2**30 - 1,), maxshape=(None,), compression=1),
    "inflating chunk": inflating,
    "chunk of more than it declares": a_chunk_of_more_than_it_declares,
    "deflated twice": deflated_twice,
    "many attributes": many_attributes,
    "gigantic fixed strings": make(data=np.zeros(4, "S100000"), chunks=(4,), compression=1),
    "deep": lambda file: file.create_group("/".join("a" * 60)),
    "wide": wide,
}
REFUSED_IN_EXCHANGE: dict[str, Change] = {
    "soft link": put("uns/again", h5py.SoftLink("/obs")),
    "soft link to nowhere": put("uns/again\nand again", h5py.SoftLink("/nothing")),
    "two names": lambda file: put("obs/again", file["obs/label"])(file),
    "strings in chunks": make(data=["a"] * 9, dtype=STRING, chunks=(3,)),
    "reference": lambda file: make(data=file["obs"].ref, dtype=h5py.ref_dtype)(file),
    "lists": make((2,), h5py.vlen_dtype(np.int32)),
    "compound": put("uns/c", np.zeros(3, dtype=[("a", "i4"), ("b", "f4")])),
    "opaque": put("uns/o", np.void(b"\x80\x04pickle")),
    "complex numbers": put("uns/x", np.zeros(3, np.complex128)),
    "named type": put("uns/type", np.dtype("f8")),
    "foreign filter": make((64,), "i4", chunks=(8,), scaleoffset=4),
    "list as attribute": list_as_attribute,
    "reference as attribute": lambda file: file.attrs.__setitem__("x", file["obs"].ref),
    "compound as attribute": lambda file: file["obs/id"].attrs.create("x", np.zeros(1, "i4,f4")),
}
HOSTILE = ALWAYS_REFUSED | REFUSED_IN_EXCHANGE


@pytest.fixture
def hostile(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def changed(name: str) -> Path:
        path = tmp_path / "hostile.h5ad"
        path.write_bytes(cells.read_bytes())
        with h5py.File(path, "a") as file:
            HOSTILE[name](file)
        return path

    monkeypatch.setattr(safety, "MAX_OBJECTS", 200)
    return changed


def refusal(path: Path) -> str:
    with pytest.raises(ScReaderError) as error, open_exchange(path, "cells"):
        pass
    text = str(error.value)
    assert "\n" not in text and path.name in text
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(hostile: Callable[[str], Path], name: str) -> None:
    path = hostile(name)
    assert "unsafe" in refusal(path)
    if name in ALWAYS_REFUSED:
        with pytest.raises(ScReaderError, match="unsafe"):
            safety.open_checked(path, strict=False)
    else:
        safety.open_checked(path, strict=False).close()


MEMORY = """
import resource, sys
from pathlib import Path
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
for path in sys.argv[1:]:
    try:
        open_exchange(Path(path)).__enter__()
    except ScReaderError as error:
        print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_hostile_files_take_no_memory(hostile: Callable[[str], Path], tmp_path: Path) -> None:
    names = [name for name in HOSTILE if re.search("gigantic|often|inflating", name)]
    paths = [hostile(name).rename(tmp_path / name) for name in names]
    words = [sys.executable, "-c", MEMORY, *paths]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.count("Refused as unsafe.\n") == len(names) == 7, done.stderr


def test_the_kind_of_a_file_comes_before_what_is_wrong_with_it(tmp_path: Path) -> None:
    """A compressed h5ad of the user's own, which holds strings in chunks."""
    path = tmp_path / "mine.h5ad"
    with h5py.File(path, "w") as file:
        file.create_group("var")
        file.create_dataset("obs/name", data=["a"] * 99, dtype=STRING, compression=4)
    told = refusal(path)
    assert "AnnData file (h5ad) that scReader did not write, expected cells" in told
    assert "build-cells" in told and f"screader annotate {path} -r READER" in told


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.9999])
def test_truncated_files(cells: Path, tmp_path: Path, share: float) -> None:
    content = cells.read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(content[: int(share * len(content))])
    refusal(tmp_path / "cut.h5ad")


def read_changed(cells: Path, changes: dict[int, int]) -> str:
    """How a file with changed bytes is refused, or ""; reads all that any tool reads of it."""
    content = bytearray(cells.read_bytes())
    for position, value in changes.items():
        content[position % len(content)] = value
    path = cells.with_name("flipped.h5ad")
    path.write_bytes(content)
    try:
        with open_exchange(path, "cells") as opened:
            with safety.checking(opened.name):
                validation.problems(opened.file, opened.schema, values_up_to=None)
            list(summary.describe(opened))
            for frame in ("obs", "var"):
                table = encoding.read_table(opened.file[frame])
                assert all(len(column) == len(table) for column in table.columns.values())
    except ScReaderError as error:
        return str(error)
    return ""


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 2**31), st.integers(0, 255), min_size=1, max_size=32))
def test_flipped_bytes_are_refused_or_read(cells: Path, flips: dict[int, int]) -> None:
    told = read_changed(cells, flips)
    assert "\n" not in told and (not told or "flipped.h5ad" in told)


@pytest.mark.parametrize("name", ["screader-schema", "encoding-type", "column-order", "_index"])
def test_a_damaged_type_of_an_attribute(cells: Path, name: str) -> None:
    """HDF5 crashes where it reads variable-length strings marked as of another kind."""
    content = cells.read_bytes()
    start = content.index(name.encode() + b"\0")
    end = start + 8 * (len(name) // 8 + 1)
    assert content[end] == 0x19  # version 1, variable length
    for value in (0x00, 0x02, 0x07, 0x87, 0xFF):
        assert "flipped.h5ad" in read_changed(cells, {end + 1: value})


def write_strings(path: Path, texts: list[str]) -> tuple[int, int]:
    """A file of strings; the offsets of their entries and of their first collection."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.array(texts, object), dtype=STRING)
        offset = file["x"].id.get_offset()
    return offset, path.read_bytes().find(b"GCOL")


def test_a_damaged_heap_of_the_first_attributes(cells: Path, tmp_path: Path) -> None:
    """HDF5 would never return from reading the kind of the file."""
    content = bytearray(cells.read_bytes())
    start = content.index(b"GCOL")
    for at in (start + 24, start + 16):
        damaged = bytearray(content)
        damaged[at : at + 8] = bytes(8)
        (tmp_path / "x.h5ad").write_bytes(damaged)
        assert "damaged heap" in refusal(tmp_path / "x.h5ad")


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXT, min_size=1))
def test_lengths_in_the_heap_are_those_of_the_strings(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "lengths.h5"
    offset, _ = write_strings(path, texts)
    entries = np.fromfile(path, safety.HEAP_ENTRY, len(texts), offset=offset)
    assert entries["length"].tolist() == [len(text.encode()) for text in texts]
    safety.open_checked(path).close()


@pytest.mark.parametrize(("count", "length"), [(1, 5000), (300, 8), (20_000, 8), (2000, 5000)])
def test_real_heaps_are_valid(tmp_path: Path, count: int, length: int) -> None:
    write_strings(tmp_path / "x.h5", ["a" * length] * count)
    safety.open_checked(tmp_path / "x.h5").close()


SIZE, FIRST_OBJECT = 8, 24  # in a collection: its size; the size of its first object
HEAP_DAMAGE = {
    "free space of no size, at which HDF5 2.0 never ends": (16, bytes(16)),
    "object beyond the end": (FIRST_OBJECT, struct.pack("<Q", 1 << 20)),
    "object of almost all addresses": (FIRST_OBJECT, struct.pack("<Q", 2**64 - 8)),
    "collection beyond the end": (SIZE, struct.pack("<Q", 1 << 40)),
    "other signature": (0, b"X"),
    "other version": (4, b"\2"),
}


@pytest.mark.parametrize("damage", [*HEAP_DAMAGE, "entry beyond the end of the file"])
def test_damaged_heaps(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.h5"
    entries, start = write_strings(path, ["INS", "GCG", "SST"])
    offset, value = HEAP_DAMAGE.get(damage, (entries + 4 - start, struct.pack("<Q", 2**50)))
    content = bytearray(path.read_bytes())
    content[start + offset : start + offset + len(value)] = value
    path.write_bytes(content)
    for strict in (True, False):
        with pytest.raises(ScReaderError, match="damaged heap"):
            safety.open_checked(path, strict=strict)
