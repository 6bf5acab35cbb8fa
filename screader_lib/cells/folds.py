"""Folds: which cells are held out, so that a reader that never saw a cell predicts it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from screader_lib.cells.obs.labels import is_known
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Table

DONOR = "donor"  # the column of obs that build-cells fills
FOLD_COLUMN = "screader_fold"  # of obs
STREAM = 5  # of random numbers; see training
TRAINING_CELLS, ALL_CELLS, OTHER_CELLS = "training cells", "all cells", "other cells"


@dataclass(frozen=True)
class Fold:
    """Fold ``number`` of ``count``, from 1; by donors or the like where ``group_by`` names them.

    ``genes``: the cells from which genes were selected and their medians taken, the fold's
    ``TRAINING_CELLS``, ``ALL_CELLS`` with the held-out ones, or ``OTHER_CELLS`` than these.
    """

    number: int
    count: int
    group_by: str = ""
    seed: int = 0
    genes: str = ALL_CELLS

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)


@dataclass(frozen=True)
class FoldPlan:
    """All folds of a ``cells`` file; ``one_per_group``: their number was that of the groups."""

    count: int
    group_by: str = ""
    seed: int = 0
    one_per_group: bool = False

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)

    def has(self, fold: Fold) -> bool:
        """Whether it is one of these folds, its genes selected from its training cells."""
        wanted = Fold(fold.number, self.count, self.group_by, self.seed, TRAINING_CELLS)
        return fold == wanted and 1 <= fold.number <= self.count

    def folds(self, count: int, group_by: str) -> list[Fold]:
        """All folds; none where another ``count`` (0: one per group) or grouping is wanted."""
        if group_by != self.group_by or count not in (self.count, 0):
            return []
        if not count and not self.one_per_group:
            return []
        numbers = range(1, self.count + 1)
        return [Fold(n, self.count, group_by, self.seed, TRAINING_CELLS) for n in numbers]

    def __str__(self) -> str:
        """Such as ``5 folds by donor (seed 0)``."""
        return f"{self.count} folds{self.group_by and f' by {self.group_by}'} (seed {self.seed})"


def plan_folds(
    obs: Table, count: int, group_by: str, seed: int, name: str
) -> tuple[FoldPlan, np.ndarray]:
    """The folds, and that of each cell, int32 (cells,); 0 for cells of no fold.

    ``count`` 0 makes one fold per group. As by :func:`assign_folds` of the labelled cells; where
    groups are held out, unlabelled cells of a group are in its fold too. ScReaderError, of the
    file ``name``, where there are no labels or too few cells or groups.
    """
    labels = obs.columns.get("label")
    if not isinstance(labels, Categorical):
        raise ScReaderError("folds need labelled cells.", file=name, remedy="Give --label.")
    rows = np.flatnonzero(labels.codes >= 0)
    planned = count or len(np.unique(groups_of(obs, rows, group_by, name)))
    fold = np.zeros(len(labels), np.int32)
    fold[rows] = assign_folds(obs, rows, labels.codes[rows], planned, group_by, seed, name)
    others = np.flatnonzero(labels.codes < 0)
    if group_by and len(others):
        groups = obs.strings(group_by)
        fold_of = dict(zip(groups[rows], fold[rows].tolist(), strict=True))
        fold[others] = [fold_of.get(group, 0) for group in groups[others]]
    return FoldPlan(planned, group_by, seed, one_per_group=not count), fold


def assign_folds(
    obs: Table,
    rows: np.ndarray,
    truth: np.ndarray,
    count: int,
    group_by: str,
    seed: int,
    name: str,
) -> np.ndarray:
    """The fold, 1 … ``count``, of each of ``rows`` int64 with label numbers ``truth``.

    Stratified by label: of each label, folds have the same number of cells but for one; or, with
    ``group_by``, whole groups of that column. ScReaderError, of the file ``name``, where there
    are too few.
    """
    if group_by:
        return _by_group(obs, rows, count, group_by, name)
    if count > len(rows):
        raise ScReaderError(
            f"has {len(rows):,} labelled cells, too few for {count} folds.", file=name
        )
    random = np.random.default_rng([seed, STREAM])
    order = np.concatenate(
        [random.permutation(np.flatnonzero(truth == label)) for label in np.unique(truth)]
    )
    fold = np.empty(len(rows), np.int64)
    fold[order] = np.arange(len(rows)) % count + 1
    return fold


def groups_of(obs: Table, rows: np.ndarray, group_by: str, name: str) -> np.ndarray:
    """The group of each of ``rows``, str; ScReaderError where one has none, or one like "NA"."""
    if group_by not in obs.columns:
        raise ScReaderError(
            f"has no column {group_by!r} to group by.",
            file=name,
            remedy=f"It has {', '.join(sorted(obs.columns))}.",
        )
    groups = np.asarray(obs.strings(group_by))[rows].astype(str)
    names, of_name = np.unique(groups, return_inverse=True)
    missing = ~np.array([is_known(name) for name in names], bool)[of_name]
    if missing.any():
        raise ScReaderError(
            f"{int(missing.sum()):,} cells have no {group_by}.",
            file=name,
            remedy="Leave them out, or give them one.",
        )
    return groups


def group_column(obs: Table, rows: np.ndarray) -> str:
    """``DONOR`` where ``rows`` are of several donors, all known; else ""."""
    if DONOR not in obs.columns:
        return ""
    try:
        donors = groups_of(obs, rows, DONOR, "")
    except ScReaderError:
        return ""
    return DONOR if len(np.unique(donors)) > 1 else ""


def _by_group(obs: Table, rows: np.ndarray, count: int, group_by: str, name: str) -> np.ndarray:
    groups = groups_of(obs, rows, group_by, name)
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < max(2, count):
        raise ScReaderError(
            f"column {group_by!r} has {len(names)} group{'s' * (len(names) != 1)}, too few for "
            f"{max(2, count)} folds.",
            file=name,
        )
    totals, fold_of = np.zeros(count, np.int64), np.zeros(len(names), np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        smallest = int(totals.argmin())
        fold_of[group] = smallest + 1
        totals[smallest] += sizes[group]
    return fold_of[index]
