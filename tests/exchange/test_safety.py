"""Damaged and hostile HDF5 is refused in one line, before its content is read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety, summary, validation
from screader_lib.exchange.opening import open_exchange

Spoil = Callable[[h5py.File], None]


def external_link(file: h5py.File) -> None:
    del file["obsm/gene_weight"]
    file["obsm/gene_weight"] = h5py.ExternalLink("/etc/hostname", "/x")


def soft_link(file: h5py.File) -> None:
    file["uns/again"] = h5py.SoftLink("/obs")


def soft_link_to_nowhere(file: h5py.File) -> None:
    file["uns/again\nand again"] = h5py.SoftLink("/nothing")


def cycle(file: h5py.File) -> None:
    file["uns/loop"] = file["uns"]


def cycle_through_the_root(file: h5py.File) -> None:
    file["uns/loop"] = file["/"]


def two_names(file: h5py.File) -> None:
    file["obs/again"] = file["obs/label"]


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file["uns"].create_virtual_dataset("v", layout)


def external_storage(file: h5py.File) -> None:
    file["uns"].create_dataset("x", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def gigantic_chunked(file: h5py.File) -> None:
    del file["obsm/gene_weight"]
    file["obsm"].create_dataset("gene_weight", (2**40, 40), "f4", chunks=(1, 40))


def gigantic_contiguous(file: h5py.File) -> None:
    file["uns"].create_dataset("x", (2**45,), "f8")


def gigantic_strings(file: h5py.File) -> None:
    file["uns"].create_dataset("x", (2**40,), h5py.string_dtype())


def one_string_named_often(file: h5py.File) -> None:
    """A hundred thousand entries that all point to one megabyte."""
    names = file["uns"].create_dataset("x", (100_000,), h5py.string_dtype())
    names[0] = "a" * (1 << 20)
    start, width = names.id.get_offset(), names.id.get_storage_size() // names.size
    file.flush()
    with Path(file.filename).open("r+b") as stream:
        stream.seek(start)
        entry = stream.read(width)
        stream.seek(start)
        stream.write(entry * names.size)


def strings_in_chunks(file: h5py.File) -> None:
    file["uns"].create_dataset("x", data=["a"] * 9, dtype=h5py.string_dtype(), chunks=(3,))


def deep(file: h5py.File) -> None:
    file.create_group("/".join("a" * 1 for _ in range(60)))


def wide(file: h5py.File) -> None:
    for number in range(250):
        file.create_group(f"uns/{number // 50}/{number}")


def reference(file: h5py.File) -> None:
    file["uns"].create_dataset("r", data=file["obs"].ref, dtype=h5py.ref_dtype)


def lists(file: h5py.File) -> None:
    file["uns"].create_dataset("x", (2,), h5py.vlen_dtype(np.int32))


def compound(file: h5py.File) -> None:
    file["uns/c"] = np.zeros(3, dtype=[("a", "i4"), ("b", "f4")])


def opaque(file: h5py.File) -> None:
    file["uns/o"] = np.void(b"\x80\x04pickle")


def complex_numbers(file: h5py.File) -> None:
    file["uns/x"] = np.zeros(3, np.complex128)


def named_type(file: h5py.File) -> None:
    file["uns/type"] = np.dtype("f8")


def foreign_filter(file: h5py.File) -> None:
    file["uns"].create_dataset("x", (64,), "i4", chunks=(8,), scaleoffset=4)


def list_as_attribute(file: h5py.File) -> None:
    listed = np.empty(1, object)
    listed[0] = np.arange(3)
    file["obs"].attrs.create("x", listed, dtype=h5py.vlen_dtype(np.int64))


def reference_as_attribute(file: h5py.File) -> None:
    file.attrs["x"] = file["obs"].ref


def compound_as_attribute(file: h5py.File) -> None:
    file["obs/id"].attrs["x"] = np.zeros(1, [("a", "i4")])


HOSTILE = [
    external_link, soft_link, soft_link_to_nowhere, cycle, cycle_through_the_root, two_names,
    virtual, external_storage, gigantic_chunked, gigantic_contiguous, gigantic_strings,
    one_string_named_often, strings_in_chunks, deep, wide, reference, lists, compound, opaque,
    complex_numbers, named_type, foreign_filter, list_as_attribute, reference_as_attribute,
    compound_as_attribute,
]  # fmt: skip


def refused(path: Path) -> str:
    with pytest.raises(ScReaderError) as error, open_exchange(path, "cells"):
        pass
    text = str(error.value)
    assert "\n" not in text and path.name in text
    return text


def spoilt(cells: Path, folder: Path, spoil: Spoil) -> Path:
    path = folder / "hostile.h5ad"
    path.write_bytes(cells.read_bytes())
    with h5py.File(path, "a") as file:
        spoil(file)
    return path


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_hostile(
    cells: Path, tmp_path: Path, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "MAX_OBJECTS", 200)
    assert "unsafe" in refused(spoilt(cells, tmp_path, spoil))


FOREIGN = [
    external_link, cycle, virtual, external_storage, gigantic_chunked, gigantic_contiguous,
    gigantic_strings, one_string_named_often, deep, wide,
]  # fmt: skip


@pytest.mark.parametrize("spoil", FOREIGN, ids=lambda spoil: spoil.__name__)
def test_hostile_files_of_others(
    cells: Path, tmp_path: Path, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "MAX_OBJECTS", 200)
    path = spoilt(cells, tmp_path, spoil)
    with pytest.raises(ScReaderError, match="unsafe"):
        safety.open_checked(path, strict=False)


@pytest.mark.parametrize("spoil", [soft_link, reference, compound, strings_in_chunks, lists])
def test_files_of_others_may_hold_more(cells: Path, tmp_path: Path, spoil: Spoil) -> None:
    safety.open_checked(spoilt(cells, tmp_path, spoil), strict=False).close()


MEMORY = """
import resource, sys
from pathlib import Path
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
try:
    open_exchange(Path(sys.argv[1])).__enter__()
except ScReaderError as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    "spoil", [gigantic_chunked, gigantic_contiguous, gigantic_strings, one_string_named_often]
)
def test_hostile_takes_no_memory(cells: Path, tmp_path: Path, spoil: Spoil) -> None:
    words = [sys.executable, "-c", MEMORY, spoilt(cells, tmp_path, spoil)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.endswith("Refused as unsafe.\n"), (done.stdout, done.stderr)


SHARES = [0.0005, 0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0.9999]


@pytest.mark.parametrize("share", SHARES)
def test_cut_off(cells: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.h5ad"
    content = cells.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path)


def read_all(path: Path) -> None:
    """All that any tool reads; only ScReaderError may come."""
    with open_exchange(path, "cells") as opened:
        with safety.checking(opened.name):
            validation.problems(opened.file, opened.schema, values_up_to=None)
        summary.describe(opened)
        for frame in ("obs", "var"):
            encoding.read_table(opened.file[frame])


def read_spoilt(cells: Path, changes: dict[int, int]) -> None:
    content = bytearray(cells.read_bytes())
    for place, value in changes.items():
        content[place % len(content)] = value
    path = cells.with_name("flipped.h5ad")
    path.write_bytes(content)
    try:
        read_all(path)
    except ScReaderError as error:
        assert "\n" not in str(error)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.integers(0, 2**31), st.integers(0, 255), min_size=1, max_size=32))
def test_flipped_bytes_are_refused_or_read(cells: Path, flips: dict[int, int]) -> None:
    read_spoilt(cells, flips)


@pytest.mark.parametrize("name", ["screader-schema", "encoding-type", "column-order", "_index"])
def test_a_damaged_type_of_an_attribute(cells: Path, name: str) -> None:
    """HDF5 crashes where it reads variable-length strings marked as of another kind."""
    content = cells.read_bytes()
    start = content.index(name.encode() + b"\0")
    end = start + 8 * (len(name) // 8 + 1)
    assert content[end] == 0x19  # version 1, variable length
    for value in (0x00, 0x02, 0x07, 0x87, 0xFF):
        read_spoilt(cells, {end + 1: value})


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("id\tlabel\n")


def folder(path: Path) -> None:
    path.mkdir()


def missing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "told"),
    [(empty, "empty"), (text, "not an HDF5"), (folder, "folder"), (missing, "no such file")],
)
def test_no_hdf5(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    path = tmp_path / "x.h5ad"
    make(path)
    assert told in refused(path)
