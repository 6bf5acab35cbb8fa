"""What a cell's name and columns cost on the way."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from screader_lib.cells.folds import group_column, groups_of
from screader_lib.cells.formats import anndata_expression
from screader_lib.cells.gene_statistics import sampled_cells
from screader_lib.cells.obs.columns import (
    ObsColumns,
    annotated,
    concatenated,
    duplicate_names,
    hashes_of,
)
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Categorical, Column, LazyColumn, LazyTable, Table, strings

CELLS = 20_000
NAMES = np.array([f"AAACCTGAGAAACCAT-{number}" for number in range(CELLS)], dtype=object)
HASHES = hashes_of(LazyColumn.of(NAMES))


def peak(work: Callable[[], object]) -> float:
    """The most bytes a cell that are held meanwhile and were not before; the least of three runs.

    What is imported late, or what another thread holds at that time, does not count.
    """
    found = []
    for _ in range(3):
        tracemalloc.start()
        try:
            assert work() is not None
            found.append(tracemalloc.get_traced_memory()[1] / CELLS)
        finally:
            tracemalloc.stop()
    return min(found)


@pytest.mark.parametrize(
    ("work", "max_bytes"),
    [
        (lambda: hashes_of(LazyColumn.of(NAMES)), 12),
        (lambda: duplicate_names(LazyColumn.of(NAMES), HASHES), 24),
        (lambda: sampled_cells(HASHES, 100), 24),
    ],
)
def test_bytes_a_cell(
    work: Callable[[], object], max_bytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screader_lib.exchange.table.ROWS_AT_ONCE", 400)
    assert peak(work) < max_bytes


def test_a_table_goes_from_file_to_file_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screader_lib.exchange.table.ROWS_AT_ONCE", 1000)
    codes = np.arange(CELLS, dtype=np.int32) % 3
    columns = {
        "barcode": NAMES,
        "type": Categorical(codes, ("a", "b", "c")),
        "share": np.linspace(0, 1, CELLS),
    }
    with h5py.File(tmp_path / "names.h5", "w") as file:
        encoding.write_table(file, "obs", Table(NAMES, columns, "name"))
        mask = codes > 0

        def copy() -> object:
            file.pop("copy", None)
            chosen = anndata_expression.read_frame(file["obs"], "cells").take(np.flatnonzero(mask))
            both = concatenated(
                [("one", chosen), ("two", anndata_expression.read_frame(file["obs"], "cells"))]
            )
            encoding.write_table(file, "copy", annotated(both, ObsColumns("type")))
            return both

        assert peak(copy) < 30  # the names alone take 70
        both = encoding.read_table(file["copy"])
    rows = np.concatenate([np.flatnonzero(mask), np.arange(CELLS)])
    assert both.index.tolist() == NAMES[rows].tolist()
    assert both.strings("barcode").tolist() == NAMES[rows].tolist()
    assert both.strings("label").tolist() == np.array(["a", "b", "c"])[codes[rows]].tolist()
    assert np.array_equal(both.columns["share"], columns["share"][rows])
    assert both.strings("batch").tolist() == ["one"] * int(mask.sum()) + ["two"] * CELLS


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "names.h5", "w") as file:
        encoding.write_table(file, "obs", Table(NAMES[:3], {}))
        file["obs/id"][1] = b"caf\xe9"
        with pytest.raises(ScReaderError, match="obs/id holds text that is not UTF-8"):
            anndata_expression.read_frame(file["obs"], "cells").load()


def test_a_column_never_takes_the_place_of_another() -> None:
    names = ["label", "label_input", "a/b", "a_b", "a_b_input"]
    table = Table(NAMES[:1], {name: strings([f"of {name}"]) for name in names})
    made = annotated(LazyTable.of(table), ObsColumns()).load()
    assert sorted(made.strings(name)[0] for name in made.columns) == sorted(
        f"of {name}" for name in names
    )
    kept = ("label_input", "a_b", "a_b_input")
    assert [made.strings(name)[0] for name in kept] == [f"of {name}" for name in kept]


@pytest.mark.parametrize(
    "donors", [np.array([1, np.nan, 2]), strings(["d1", "nan", "d2"]), strings(["d1", "NA", "d2"])]
)
def test_cells_without_a_donor_are_of_none(donors: Column) -> None:
    table = LazyTable.of(Table(NAMES[:3], {"patient": donors}))
    made = annotated(table, ObsColumns(donor="patient")).load()
    assert made.strings("donor")[1] == "" and group_column(made, np.arange(3)) == ""
    assert group_column(made, np.array([0, 2])) == "donor"
    with pytest.raises(ScReaderError, match="1 cells have no donor"):
        groups_of(made, np.arange(3), "donor", "x")
    with pytest.raises(ScReaderError, match="1 cells have no patient"):
        groups_of(Table(NAMES[:3], {"patient": donors}), np.arange(3), "patient", "x")
