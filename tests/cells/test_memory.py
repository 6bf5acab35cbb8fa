"""What a cell's name costs on the way, beside the name itself."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from screader_lib.cells import frames
from screader_lib.cells.annotation import unique_names
from screader_lib.cells.statistics import sampled_cells
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table

CELLS = 50_000
NAMES = np.array([f"AAACCTGAGAAACCAT-{number}" for number in range(CELLS)], dtype=object)


def peak(work: Callable[[], object]) -> float:
    """The most bytes a cell that are held meanwhile and were not before."""
    tracemalloc.start()
    try:
        kept = work()
        assert kept is not None
        return tracemalloc.get_traced_memory()[1] / CELLS
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("work", "most"),
    [
        pytest.param(lambda: unique_names(NAMES), 24, id="looking-for-names-that-come-again"),
        pytest.param(lambda: sampled_cells(NAMES, 100), 32, id="choosing-cells-by-name"),
    ],
)
def test_bytes_a_cell(work: Callable[[], object], most: float) -> None:
    assert peak(work) < most


def test_names_are_read_without_holding_them_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "NAMES_AT_ONCE", 1000)
    with h5py.File(tmp_path / "names.h5", "w") as file:
        encoding.write_table(file, "obs", Table(NAMES, {}))
        names = frames.table_of(file["obs"], "cells").index
        assert names.tolist() == NAMES.tolist()
        text = sum(name.__sizeof__() for name in NAMES) / CELLS
        assert peak(lambda: frames.table_of(file["obs"], "cells")) < text + 16


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "names.h5", "w") as file:
        encoding.write_table(file, "obs", Table(NAMES[:3], {}))
        file["obs/id"][1] = b"caf\xe9"
        with pytest.raises(ScReaderError, match="obs/id holds text that is not UTF-8"):
            frames.table_of(file["obs"], "cells")


def test_sample_is_those_of_smallest_hash() -> None:
    def number(name: str) -> int:
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")

    wanted = sorted(NAMES[:2000], key=number)[:300]
    assert set(NAMES[:2000][sampled_cells(NAMES[:2000], 300)]) == set(wanted)
