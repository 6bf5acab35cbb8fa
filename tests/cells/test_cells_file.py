"""A cells file as readers see it: any rows, and nothing that contradicts itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from screader_lib.cells import cells_file
from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange import validation
from screader_lib.exchange.opening import open_exchange


@pytest.fixture(params=[0, 1 << 20], ids=["from-disk", "from-memory"], autouse=True)
def _memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_file, "MAX_IN_MEMORY", request.param)
    monkeypatch.setattr(validation, "BYTES_AT_ONCE", 1)  # as with a large file, values are not read


def test_rows_in_any_order_and_repeated(cells: Path) -> None:
    with h5py.File(cells) as file:
        index, weight = file["obsm/gene_index"][()], file["obsm/gene_weight"][()]
    numbers = np.array([70, 3, 3, 0, 89])
    with open_exchange(cells, "cells") as opened:
        rows = CellSequences(opened, width=9).rows(numbers)
    assert np.array_equal(rows[0], index[numbers, :9])
    assert np.array_equal(rows[1], weight[numbers, :9])


@pytest.mark.parametrize("gap", [0, 3, 100])
def test_rows_are_the_same_in_any_order(
    cells: Path, gap: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells_file, "MAX_GAP", gap)
    random = np.random.default_rng(1)
    with open_exchange(cells, "cells") as opened:
        at_any_time = CellSequences(opened)
        in_order = CellSequences(opened, sequential=True)
        choices = [random.integers(0, 90, size) for size in (0, 1, 5, 60)]
        for numbers in (*choices, np.sort(choices[-1]), np.arange(7, 80, 2), np.arange(90)):
            for one, other in zip(at_any_time.rows(numbers), in_order.rows(numbers), strict=True):
                assert one.dtype == other.dtype
                assert np.array_equal(one, other)
            weights = [each.weights(numbers) for each in (at_any_time, in_order)]
            assert np.array_equal(*(each.toarray() for each in weights))
            assert np.array_equal(*(each.indices for each in weights))  # in the cells' order


def test_weights_are_those_of_the_sequences(cells: Path) -> None:
    with open_exchange(cells, "cells") as opened:
        sequences = CellSequences(opened, sequential=True)
        for numbers in (np.arange(90), np.arange(20, 60), np.array([70, 3, 3, 0, 89])):
            genes, weight = sequences.rows(numbers)
            filled = np.zeros((len(numbers), len(sequences.genes)), np.float32)
            cell, rank = np.nonzero(genes >= 0)
            filled[cell, genes[cell, rank]] = weight[cell, rank]
            assert np.array_equal(sequences.weights(numbers).toarray(), filled)
        kept = sequences.weights(np.arange(90))
        with pytest.raises(ValueError, match="read-only"):
            kept.data *= 2
        kept.data = kept.data * 2  # of this matrix alone
        assert np.array_equal(sequences.weights(np.arange(90)).data * 2, kept.data)


@pytest.mark.parametrize(
    ("element", "at", "change", "message"),
    [
        ("obsm/gene_index", (4, 1), 1000, r"an entry outside"),
        ("obsm/gene_index", (4, 1), None, "has a gap"),
        ("obs/genes_in_sequence", 7, -2, "does not match"),
        ("obs/genes_in_sequence", 7, 1, "does not match"),
        ("obs/genes_in_sequence", slice(None), -2, "does not match"),  # no cell is as long
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, cells: Path, element: str, at: object, change: int | None, message: str
) -> None:
    path = shutil.copy(cells, tmp_path / "c.h5ad")
    with h5py.File(path, "a") as file:
        file[element][at] = -1 if change is None else file[element][at] + change
    with open_exchange(path, "cells") as opened, pytest.raises(ScReaderError, match=message):
        CellSequences(opened).rows(np.arange(10))
