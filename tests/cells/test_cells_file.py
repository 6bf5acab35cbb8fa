"""Cells as the reader sees them: any rows, and nothing that contradicts itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from screader_lib.cells import cells_file
from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange


@pytest.mark.parametrize("kept", [0, 1 << 20], ids=["from disk", "from memory"])
def test_rows_in_any_order_and_repeated(
    cells: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells_file, "MAX_IN_MEMORY", kept)
    with h5py.File(cells) as file:
        index, weight = file["obsm/gene_index"][()], file["obsm/gene_weight"][()]
    numbers = np.array([70, 3, 3, 0, 89])
    with open_exchange(cells, "cells") as opened:
        found_index, found_weight = CellSequences(opened, width=9).rows(numbers)
    assert np.array_equal(found_index, index[numbers, :9])
    assert np.array_equal(found_weight, weight[numbers, :9])


def gap(file: h5py.File) -> None:
    file["obsm/gene_index"][4, 1] = -1


def too_few_counted(file: h5py.File) -> None:
    file["obs/genes_in_sequence"][7] -= 2


def too_many_counted(file: h5py.File) -> None:
    file["obs/genes_in_sequence"][7] += 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(gap, "gap"), (too_few_counted, "does not match"), (too_many_counted, "does not match")],
)
@pytest.mark.parametrize("kept", [0, 1 << 20], ids=["from disk", "from memory"])
def test_contradictions_are_refused(
    tmp_path: Path,
    cells: Path,
    spoil: Callable[[h5py.File], None],
    told: str,
    kept: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells_file, "MAX_IN_MEMORY", kept)
    path = shutil.copy(cells, tmp_path / "c.h5ad")
    with h5py.File(path, "a") as file:
        spoil(file)
    with open_exchange(path, "cells") as opened, pytest.raises(ScReaderError, match=told):
        CellSequences(opened).rows(np.arange(10))
