"""Folds: which cells are held out, so that a reader that never saw a cell predicts it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical

STREAM = 5  # of random numbers; see training


@dataclass(frozen=True)
class Fold:
    """Fold ``number`` of ``count``, from 1; by donors or the like where ``group_by`` names them."""

    number: int
    count: int
    group_by: str = ""
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)


def assign_folds(
    cells: CellSequences, rows: np.ndarray, truth: np.ndarray, count: int, group_by: str, seed: int
) -> np.ndarray:
    """The fold, 1 … ``count``, of each of ``rows`` int64 with label numbers ``truth``.

    Stratified by label: of each label, folds have the same number of cells but for one; or, with
    ``group_by``, whole groups of that column. ScReaderError where there are too few.
    """
    if group_by:
        return _by_group(cells, rows, count, group_by)
    if count > len(rows):
        raise ScReaderError(
            f"has {len(rows):,} labelled cells, too few for {count} folds.", file=cells.opened.name
        )
    random = np.random.default_rng([seed, STREAM])
    order = np.concatenate(
        [random.permutation(np.flatnonzero(truth == label)) for label in np.unique(truth)]
    )
    fold = np.empty(len(rows), np.int64)
    fold[order] = np.arange(len(rows)) % count + 1
    return fold


def groups_of(cells: CellSequences, rows: np.ndarray, group_by: str) -> np.ndarray:
    """The group of each of ``rows``, str; ScReaderError where there is none."""
    if group_by not in cells.obs.columns:
        raise ScReaderError(
            f"has no column {group_by!r} to group by.",
            file=cells.opened.name,
            remedy=f"It has {', '.join(sorted(cells.obs.columns))}.",
        )
    column = cells.obs.columns[group_by]
    groups = np.asarray(cells.obs.strings(group_by))[rows].astype(str)
    missing = groups == ""
    if not isinstance(column, Categorical) and column.dtype.kind == "f":
        missing = np.isnan(column[rows])
    if missing.any():
        raise ScReaderError(
            f"{int(missing.sum()):,} cells have no {group_by}.",
            file=cells.opened.name,
            remedy="Leave them out, or give them one.",
        )
    return groups


def _by_group(cells: CellSequences, rows: np.ndarray, count: int, group_by: str) -> np.ndarray:
    groups = groups_of(cells, rows, group_by)
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < max(2, count):
        raise ScReaderError(
            f"column {group_by!r} has {len(names)} group{'s' * (len(names) != 1)}, too few for "
            f"{max(2, count)} folds.",
            file=cells.opened.name,
        )
    totals, fold_of = np.zeros(count, np.int64), np.zeros(len(names), np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        smallest = int(totals.argmin())
        fold_of[group] = smallest + 1
        totals[smallest] += sizes[group]
    return fold_of[index]
