"""What is said of the cells of a file: columns, vectors and what belongs to them as a whole.

One object is the source of the annotated h5ad and of the table of calls, so that they agree.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

import h5py
import numpy as np

from screader_lib.exchange.provenance import GROUP
from screader_lib.exchange.table import (
    Categorical,
    Column,
    LazyColumn,
    LazyTable,
    Table,
    row_blocks,
)
from screader_lib.reporting import Reporter

OWN_COLUMNS = re.compile(r"screader_(?!.*_previous(_\d+)?$).*", re.DOTALL)
VECTORS = "X_screader"
STATUS = "screader_status"
LEFT_OUT = "left out"  # the status of cells that were not called
ROWS_AT_ONCE = 4096
Rows = np.ndarray | Iterable[np.ndarray]


@runtime_checkable
class StoredRows(Protocol):
    """Rows that are in an HDF5 file, as they would be written."""

    def copy_to(self, group: h5py.Group, name: str) -> None:
        """Make all of them an array of ``group``."""


Value = (
    str | int | float | Sequence[Any] | np.ndarray | Table | LazyTable | Mapping[str, Any] | None
)


@dataclass(frozen=True)
class Calls:
    """Calls of the ``cells`` cells of a file, or of some of them.

    ``rows``, int64, rising, are the cells that were called; None: all. ``obs`` and ``obsm`` have
    one row for each of these: columns by name, and arrays (called cells, width), at once or as
    blocks of rows in order. ``uns`` goes to ``uns/screader``: strings, numbers, arrays or lists,
    tables, mappings of these (as JSON where a key has a slash), and None, which is left out. The
    outer keys are none of those that the provenance has there (tool, version, parameters, inputs,
    created, history).
    """

    cells: int
    obs: Mapping[str, Column | LazyColumn]
    obsm: Mapping[str, Rows] = field(default_factory=dict)
    uns: Mapping[str, Value] = field(default_factory=dict)
    rows: np.ndarray | None = None

    @property
    def called(self) -> int:
        """How many cells were called."""
        return self.cells if self.rows is None else len(self.rows)

    def columns(self) -> dict[str, LazyColumn]:
        """The columns of all cells, categories without those that no cell has or are empty.

        Cells that were not called have the status ``left out`` and are missing elsewhere: no
        category, NaN (whole numbers and booleans become float64) or the empty string.
        ValueError where a column has another length than there are called cells.
        """
        columns = {name: LazyColumn.of(column) if not isinstance(column, LazyColumn) else column
                   for name, column in self.obs.items()}  # fmt: skip
        wrong = [name for name, column in columns.items() if len(column) != self.called]
        if wrong:
            raise ValueError(f"{wrong[0]} has not {self.called:,} rows, one for each called cell")
        return {
            name: self._of_all_cells(_of_used_categories(column), LEFT_OUT * (name == STATUS))
            for name, column in columns.items()
        }

    def _of_all_cells(self, column: LazyColumn, category: str) -> LazyColumn:
        """``column`` with a row for each cell; those not called have ``category``, if it is one."""
        rows = self.rows
        if rows is None or len(rows) == self.cells:
            return column
        names, dtype, missing = column.categories, column.dtype, cast(Any, np.nan)
        if names is not None:
            names = (*names, category) if category and category not in names else names
            missing = names.index(category) if category else -1
        elif dtype.kind != "f":
            dtype, missing = (dtype, "") if dtype.kind == "O" else (np.dtype(np.float64), np.nan)

        def read(start: int, stop: int) -> Column:
            low, high = np.searchsorted(rows, [start, stop]).tolist()
            called = column.read(low, high)
            values = np.full(stop - start, missing, dtype)
            values[rows[low:high] - start] = (
                called.codes if isinstance(called, Categorical) else called
            )
            return values if names is None else Categorical(values, names)

        return LazyColumn(self.cells, dtype, read, names)

    def blocks(self, values: Rows) -> Iterator[np.ndarray]:
        """One of ``obsm`` in blocks of rows, one for each cell; NaN where it was not called.

        ValueError where there are not as many rows as called cells.
        """
        called = done = 0
        for block in _pieces(values):
            at = self._rows_of(called, called + len(block))
            called += len(block)
            if len(at) < len(block):
                break
            stop = self.cells if called == self.called else int(at[-1]) + 1
            yield from _spread(block, at - done, stop - done)
            done = stop
        if called != self.called:
            raise ValueError(f"other than {self.called:,} rows of vectors, one a called cell")

    def _rows_of(self, start: int, stop: int) -> np.ndarray:
        """Which cells these of the called cells are."""
        if self.rows is not None:
            return self.rows[start:stop]
        return np.arange(start, min(stop, self.cells))


def _spread(block: np.ndarray, at: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """``rows`` rows in pieces, of which those of ``at``, rising, are the block's and others NaN."""
    if len(block) == rows:
        yield block
        return
    for start, stop in row_blocks(rows, ROWS_AT_ONCE):
        low, high = np.searchsorted(at, [start, stop]).tolist()
        piece = np.full((stop - start, *block.shape[1:]), np.nan, block.dtype)
        piece[at[low:high] - start] = block[low:high]
        yield piece


def _pieces(values: Rows) -> Iterator[np.ndarray]:
    """Blocks with at least one row; float32 where they are no floating-point numbers."""
    blocks = values
    if hasattr(values, "shape"):  # numpy's or HDF5's
        array = cast(np.ndarray, values)
        blocks = (array[slice(*bounds)] for bounds in row_blocks(len(array), ROWS_AT_ONCE))
    for block in blocks:
        if len(block):
            yield block if block.dtype.kind == "f" else block.astype(np.float32)


def _of_used_categories(column: LazyColumn) -> LazyColumn:
    if column.categories is None:
        return column
    names = np.array([*column.categories, ""], dtype=object)
    used = np.zeros(len(names), bool)
    for block in column.blocks():
        used[cast(Categorical, block).codes] = True
    used[names == ""] = False
    if used[:-1].all():
        return column
    kept = tuple(names[used])
    new_code = np.where(used, np.cumsum(used) - 1, -1).astype(np.int32)
    return column.map(
        lambda block: Categorical(new_code[cast(Categorical, block).codes], kept), np.int32, kept
    )


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier run added: columns of obs, names in obsm and uns, and their new ``suffix``.

    None of the names has this suffix yet.
    """

    columns: list[str]
    vectors: list[str]
    uns: list[str]
    suffix: str

    @classmethod
    def of(
        cls,
        present: Sequence[str],
        obsm: Container[str],
        uns: Container[str],
        columns: Sequence[str],
        vectors: Sequence[str],
    ) -> EarlierRun:
        """Of an AnnData with the columns ``present``; a run adds ``columns`` and ``vectors``."""
        old_columns = [name for name in present if OWN_COLUMNS.fullmatch(name) or name in columns]
        old_vectors = [name for name in {VECTORS: None, **dict.fromkeys(vectors)} if name in obsm]
        old_uns = [GROUP] if GROUP in uns else []
        number, suffix = 1, "_previous"
        while (
            {name + suffix for name in old_columns} & set(present)
            or any(name + suffix in obsm for name in old_vectors)
            or any(name + suffix in uns for name in old_uns)
        ):
            number += 1
            suffix = f"_previous_{number}"
        return cls(old_columns, old_vectors, old_uns, suffix)

    def report(self, reporter: Reporter) -> None:
        """Say what is kept, if anything is."""
        if self.columns or self.vectors:
            reporter.info(
                f"calls of an earlier run are kept, with the suffix {self.suffix}: "
                f"{', '.join(self.columns + self.vectors)}."
            )
