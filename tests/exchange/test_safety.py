"""Damaged and hostile HDF5 is refused in one line, before its content is read."""

from __future__ import annotations

import resource
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
from screader_lib.exchange import safety, validation
from screader_lib.exchange.opening import open_exchange


def external_link(file: h5py.File) -> None:
    del file["obsm/gene_weight"]
    file["obsm/gene_weight"] = h5py.ExternalLink("/etc/hostname", "/x")


def soft_link(file: h5py.File) -> None:
    file["uns/again"] = h5py.SoftLink("/obs")


def cycle(file: h5py.File) -> None:
    file["uns/loop"] = file["uns"]


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


def deep(file: h5py.File) -> None:
    file.create_group("/".join("a" * 1 for _ in range(60)))


def many(file: h5py.File) -> None:
    group = file.create_group("uns/many")
    group["x"] = 1
    for number in range(1200):
        inner = group.create_group(str(number))
        for other in range(90):
            inner[str(other)] = group["x"]


def reference(file: h5py.File) -> None:
    file["uns"].create_dataset("r", data=file["obs"].ref, dtype=h5py.ref_dtype)


def compound(file: h5py.File) -> None:
    file["uns/c"] = np.zeros(3, dtype=[("a", "i4"), ("b", "f4")])


def opaque(file: h5py.File) -> None:
    file["uns/o"] = np.void(b"\x80\x04pickle")


HOSTILE = [
    external_link, soft_link, cycle, virtual, external_storage, gigantic_chunked,
    gigantic_contiguous, deep, many, reference, compound, opaque,
]  # fmt: skip


def refused(path: Path) -> str:
    with pytest.raises(ScReaderError) as error, open_exchange(path, "cells"):
        pass
    text = str(error.value)
    assert "\n" not in text and path.name in text
    return text


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda spoil: spoil.__name__)
def test_hostile(cells: Path, tmp_path: Path, spoil: Callable[[h5py.File], None]) -> None:
    path = tmp_path / "hostile.h5ad"
    path.write_bytes(cells.read_bytes())
    with h5py.File(path, "a") as file:
        spoil(file)
    refused(path)


def test_gigantic_shape_takes_no_memory(cells: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.h5ad"
    path.write_bytes(cells.read_bytes())
    with h5py.File(path, "a") as file:
        gigantic_chunked(file)
    command = [str(Path(sys.executable).with_name("screader")), "validate", str(path)]
    limit = 2 << 30

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=limited
    )
    assert done.returncode == 1
    assert "stores only" in done.stdout, (done.stdout, done.stderr)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_cut_off(cells: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.h5ad"
    content = cells.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bytes_are_refused_or_read(cells: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(cells.read_bytes())
    for place, mask in flips:
        content[place % len(content)] ^= mask
    path = cells.with_name("flipped.h5ad")
    path.write_bytes(content)
    try:
        with open_exchange(path, "cells") as opened, safety.checking(opened.name):
            validation.problems(opened.file, opened.schema, values_up_to=None)
    except ScReaderError as error:
        assert "\n" not in str(error)


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
