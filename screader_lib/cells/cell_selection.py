"""From options to the inputs of ``build-cells``: which files, which of their cells.

Cells by a condition on their columns: ``donor == "d1" and n_genes > 500``.

The condition is parsed as a Python expression, of which only comparisons, ``and``, ``or``,
``not``, ``in``, lists, names of columns, texts and numbers are known; nothing is executed. Names
that are not plain words stand between backticks.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.obs_columns import Columns, by_category, is_known, joined
from screader_lib.errors import ScReaderError
from screader_lib.exchange.lazy_table import LazyColumn, LazyTable
from screader_lib.exchange.table import Categorical, Table
from screader_lib.reporting import SILENT, Reporter


@dataclass(frozen=True)
class CellSelection:
    """Which cells are wanted; None and empty where an option is not given.

    ``listed`` are names from the file ``list_name``; ``fewest`` is the smallest number of cells
    that a label needs to be kept.
    """

    listed: tuple[str, ...] | None = None
    list_name: str = ""
    query: str | None = None
    dropped: tuple[str, ...] = ()
    fewest: int = 0


def select_cells(
    sources: Sequence[Expression],
    choice: CellSelection,
    columns: Columns,
    reporter: Reporter = SILENT,
) -> list[np.ndarray]:
    """For each source boolean (cells,): the wanted cells.

    ScReaderError where an option names what is not there or no cell is left.
    """
    obs = joined([(source.name, source.obs) for source in sources])
    name = sources[0].name if len(sources) == 1 else "the inputs"
    if not len(obs):
        raise ScReaderError("holds no cells.", file=name)
    columns.found_in(obs, name)
    wanted = np.ones(len(obs), bool)
    if choice.listed is not None:
        wanted &= _listed(obs.index, choice, name)
    if choice.query is not None:
        wanted &= cells_where(choice.query, obs)
    if choice.dropped or choice.fewest > 1:
        wanted &= _by_label(obs, columns, choice, wanted, reporter)
    if not wanted.any():
        raise ScReaderError("no cell is left.", file=name, remedy="Ask for fewer conditions.")
    return np.split(wanted, np.cumsum([len(source.obs) for source in sources])[:-1])


def _listed(names: LazyColumn, choice: CellSelection, file: str) -> np.ndarray:
    listed = set(choice.listed or ())
    if not listed:
        raise ScReaderError("names no cell.", file=choice.list_name, remedy="One name per line.")
    missing = set(listed)
    found = []
    for some in names.texts():
        missing.difference_update(some)
        found.append(np.fromiter((name in listed for name in some), bool, len(some)))
    if missing:
        raise ScReaderError(
            f"{len(missing):,} of {len(listed):,} listed cells are not in {file}, "
            f"such as {min(missing)!r}.",
            file=choice.list_name,
        )
    return np.concatenate(found)


def _by_label(
    obs: LazyTable, columns: Columns, choice: CellSelection, wanted: np.ndarray, reporter: Reporter
) -> np.ndarray:
    """Cells whose label is neither dropped nor rare; cells without one stay."""
    if columns.label is None:
        raise ScReaderError(
            "--drop-labels and --min-cells-per-label need labels.", remedy="Give --label COLUMN."
        )
    labels = by_category(obs.column(columns.label)).whole()
    assert isinstance(labels, Categorical)
    names = labels.categories
    unknown = sorted(set(choice.dropped) - set(names))
    if unknown:
        known = ", ".join([name for name in names if is_known(name)][:12])
        raise ScReaderError(
            f"--drop-labels: no cell is labelled {unknown[0]!r}.", remedy=f"Labels: {known}."
        )
    counts = np.bincount(labels.codes[wanted], minlength=len(names))
    rare = {name: int(count) for name, count in zip(names, counts, strict=True)
            if is_known(name) and name not in choice.dropped
            and 0 < count < choice.fewest}  # fmt: skip
    if rare:
        told = ", ".join(f"{name} ({count})" for name, count in rare.items())
        reporter.info(f"labels with fewer than {choice.fewest:,} cells are left out: {told}.")
    stays = np.array([name not in choice.dropped and name not in rare for name in names], bool)
    return stays[labels.codes]


QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`([^`]+)`""")  # only the last is a name
COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
EXAMPLE = 'Wanted is something like: donor == "d1" and n_genes > 500'


def cells_where(condition: str, cells: LazyTable) -> np.ndarray:
    """Boolean (cells,): where the condition holds.

    A missing text is empty, a missing number is NaN, for which only ``!=`` holds; a column of
    truth values, or of 0 and 1, is a condition itself, for which a gap is not true. ScReaderError
    for a condition that cannot be read, a column that is not there, or no cell left.
    """
    names: dict[str, str] = {}

    def plain(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        name = f"column_{len(names)}_"
        names[name] = found[1]
        return name

    try:
        tree = ast.parse(QUOTED.sub(plain, condition.strip()), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _wrong(condition, "it cannot be read") from None
    used = {names.get(node.id, node.id) for node in ast.walk(tree) if isinstance(node, ast.Name)}
    pieces = cells.pieces(sorted(used & set(cells.columns)))
    holds = np.concatenate(
        [_Reading(condition, piece, names, list(cells.columns)).truth(tree.body)
         for piece in pieces]
    )  # fmt: skip
    if not holds.any():
        raise ScReaderError(f"--query {condition!r}: no cell is left.")
    return holds


def _wrong(condition: str, why: str, remedy: str = EXAMPLE) -> ScReaderError:
    return ScReaderError(f"--query {condition!r}: {why}.", remedy=remedy)


class _Reading:
    """Walks the tree for some cells; everything it does not know is refused.

    ``columns`` are all that there are, ``cells`` has those that the condition names.
    """

    def __init__(
        self, condition: str, cells: Table, names: dict[str, str], columns: list[str]
    ) -> None:
        self.condition = condition
        self.cells = cells
        self.names = names
        self.columns = columns

    def truth(self, node: ast.expr) -> np.ndarray:
        """Boolean (cells,) of a condition."""
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return join.reduce([self.truth(part) for part in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.truth(node.operand)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.Name):
            column = self.value(node)
            if column.dtype.kind == "b":
                return column
            if column.dtype.kind in "iuf" and np.isin(column[~np.isnan(column)], (0, 1)).all():
                return np.asarray(column == 1)
            raise _wrong(self.condition, f"{self._name(node)} alone is neither true nor false")
        raise _wrong(self.condition, "it is no comparison")

    def _compared(self, node: ast.Compare) -> np.ndarray:
        result = np.ones(len(self.cells), bool)
        left = node.left
        for kind, right in zip(node.ops, node.comparators, strict=True):
            result &= self._one(kind, left, right)
            left = right
        return result

    def _one(self, kind: ast.cmpop, left: ast.expr, right: ast.expr) -> np.ndarray:
        if isinstance(kind, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise _wrong(self.condition, "after 'in' a list is wanted, such as ['a', 'b']")
            listed = [self._as(self.value(left), self.value(one)) for one in right.elts]
            found = np.zeros(len(self.cells), bool)
            for one in listed:
                found |= self.value(left) == one
            return ~found if isinstance(kind, ast.NotIn) else found
        compare = COMPARISONS.get(type(kind))
        if compare is None:
            raise _wrong(self.condition, "it uses 'is'; '==' is meant")
        one, other = self.value(left), self.value(right)
        holds = compare(self._as(other, one), self._as(one, other))
        return np.broadcast_to(np.asarray(holds, bool), len(self.cells))

    def _as(self, beside: Any, value: Any) -> Any:
        """A value to be compared with another; ScReaderError for a text beside a number."""
        kinds = ["O" if isinstance(one, str) else np.asarray(one).dtype.kind
                 for one in (beside, value)]  # fmt: skip
        if kinds.count("O") == 1:
            raise _wrong(self.condition, "it compares a text with a number")
        return value

    def value(self, node: ast.expr) -> Any:
        """A column (cells,), a text or a number."""
        if isinstance(node, ast.Name):
            return self._column(self._name(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.value(node.operand)
            if isinstance(inner, int | float):
                return -inner
        raise _wrong(self.condition, "it holds something other than columns, texts and numbers")

    def _name(self, node: ast.Name) -> str:
        return self.names.get(node.id, node.id)

    def _column(self, name: str) -> np.ndarray:
        if name == self.cells.index_name:
            return self.cells.index
        if name not in self.cells.columns:
            near = difflib.get_close_matches(name, self.columns, 3, 0.5)
            known = near or self.columns[:12]
            hint = "Did you mean" if near else "There are"
            raise _wrong(
                self.condition,
                f"the cells have no column {name!r}",
                f"{hint}: {', '.join(known) or 'no columns'}.",
            )
        column = self.cells.columns[name]
        return column.strings() if isinstance(column, Categorical) else column
