"""Cells by a condition on their columns: ``donor == "d1" and n_genes > 500``.

The condition is parsed as a Python expression, of which only comparisons, ``and``, ``or``,
``not``, ``in``, lists, names of columns, texts and numbers are known; nothing is executed. Names
that are not plain words stand between backticks.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.long_table import LongTable
from screader_lib.exchange.table import Categorical, Table

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


def cells_where(condition: str, cells: LongTable) -> np.ndarray:
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
