"""The table in which a person names some cells, or clusters, of a file.

Two columns with a header: ``cell`` or ``cluster``, and ``label``; of a table without these names,
the first and the second column, of cells. Rows whose label says nothing, such as ``unknown``, are
left out, so a table of all cells of which some have a label will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from screader_lib.cells.obs.labels import is_known
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical
from screader_lib.genes.text_files import read_table, read_text
from screader_lib.reporting import counted

CELL, CLUSTER, LABEL = "cell", "cluster", "label"
MAX_OF_GROUP = 100  # cells of a named cluster, or of a label, that are learnt from


@dataclass(frozen=True)
class Examples:
    """Labels by name of what ``kind`` says, cells or clusters; ``table`` is what messages call it.

    There are at least two labels.
    """

    table: str
    kind: str
    labels: Mapping[str, str]
    columns: tuple[str, ...] = ()  # of the table, where these are not the usual ones

    @property
    def label_names(self) -> tuple[str, ...]:
        """Those that occur, sorted."""
        return tuple(sorted(set(self.labels.values())))

    def of_cells(
        self, names: np.ndarray, clusters: Categorical | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The examples' rows, int64 rising, and the numbers of their labels in ``label_names``.

        ``names`` object (cells,) of all cells and the ``clusters`` they are in, if that is what the
        examples are. ScReaderError where one is not there.
        """
        number_of = {label: number for number, label in enumerate(self.label_names)}
        if clusters is not None:
            codes = {name: code for code, name in enumerate(clusters.categories)}
            self._check(codes, f"there are {', '.join(list(codes)[:8])}")
            of_code = np.full(len(codes) + 1, -1, np.int64)  # the last is for cells without one
            for name, label in self.labels.items():
                of_code[codes[name]] = number_of[label]
            truth = of_code[clusters.codes]
        else:
            row_of = {name: row for row, name in enumerate(names.tolist())}
            self._check(row_of, f"cells are called {names[0]!r} and so on")
            truth = np.full(len(names), -1, np.int64)
            for name, label in self.labels.items():
                truth[row_of[name]] = number_of[label]
        rows = np.flatnonzero(truth >= 0)
        return rows, truth[rows]

    def _check(self, known: Mapping[str, int], those: str) -> None:
        missing = [name for name in self.labels if name not in known]
        if missing:
            raise ScReaderError(
                f"{len(missing):,} of its {len(self.labels):,} {self.kind}s are not among those of "
                f"the file, the first is {missing[0]!r}.",
                file=self.table,
                remedy=f"In the file, {those}." + _wanted(self.columns),
            )


def read_examples(path: Path, name: str) -> Examples:
    """Read a table that messages call ``name``.

    ScReaderError where it has no two columns, gives a cell two labels, or knows fewer than two.
    """
    rows = read_table(read_text(path, name), name)
    columns = list(rows[0]) if rows else []
    if len(columns) < 2 or None in columns:
        raise ScReaderError(
            "is not a table of examples.",
            file=name,
            remedy=_wanted([column for column in columns if column]).strip(),
        )
    kind = CLUSTER if CLUSTER in columns else CELL
    key = kind if kind in columns else columns[0]
    label = LABEL if LABEL in columns else next(one for one in columns[:2] if one != key)
    usual = kind in columns and LABEL in columns
    pairs = ((row[key] or "", row[label] or "") for row in rows)
    return examples_of(pairs, name, kind, () if usual else tuple(columns))


def _wanted(columns: Sequence[str]) -> str:
    """The columns that a table has, and those that it should have; empty for none."""
    found = f" Its columns are {', '.join(columns)};" if columns else ""
    return f"{found} cell (or cluster) and label are expected." if columns else ""


def examples_of(
    pairs: Iterable[tuple[object, object]],
    name: str,
    kind: str = CELL,
    columns: tuple[str, ...] = (),
) -> Examples:
    """Examples from pairs of a cell, or cluster, and its label; messages call them ``name``.

    ScReaderError where a cell has two labels, or fewer than two are known.
    """
    labels: dict[str, str] = {}
    for one, given in ((str(one).strip(), str(label).strip()) for one, label in pairs):
        if one and is_known(given) and labels.setdefault(one, given) != given:
            raise ScReaderError(
                f"gives {kind} {one!r} two labels, {labels[one]!r} and {given!r}.", file=name
            )
    examples = Examples(name, kind, labels, columns)
    if len(examples.label_names) < 2:
        raise ScReaderError(
            f"has {counted(len(examples.label_names), 'label')}.",
            file=name,
            remedy=f"Name {kind}s of at least two types." + _wanted(columns),
        )
    return examples


def learnt_from(rows: np.ndarray, groups: np.ndarray, most: int = MAX_OF_GROUP) -> np.ndarray:
    """Which of the example ``rows`` are learnt from, bool: at most ``most`` of each group, evenly.

    ``groups`` int64 (rows,) are the clusters they are in, or their labels.
    """
    kept = np.zeros(len(rows), bool)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        kept[members[np.unique(np.linspace(0, len(members) - 1, most).astype(np.int64))]] = True
    return kept
