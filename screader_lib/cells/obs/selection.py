"""Which cells of the inputs ``build-cells`` takes: by name, by conditions, by label.

A condition compares one column of obs with a value: ``donor=d1``, ``n_genes>500``. The longest
column name that the condition starts with is the column, so that names may hold spaces and ``=``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.normalisation import recognise
from screader_lib.cells.obs.columns import (
    ObsColumns,
    by_category,
    concatenated,
    unknown_column,
)
from screader_lib.cells.obs.labels import is_known
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, LazyColumn, LazyTable
from screader_lib.genes.text_files import read_text
from screader_lib.reporting import SILENT, Reporter

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
EQUALITIES = ("=", "==", "!=")
COMPARISON = re.compile(r"\s*(==|!=|<=|>=|=|<|>)\s*(.*)", re.DOTALL)
MAX_LISTED = 12  # values or labels that a message lists


@dataclass(frozen=True)
class CellSelection:
    """The options that select cells; None and empty where one is not given.

    ``names`` are those in the file ``names_file``; all ``conditions`` have to hold. Cells with
    fewer than ``min_counts`` or, over all genes of the file, ``min_genes`` are left out first.
    """

    names: tuple[str, ...] | None = None
    names_file: str = ""
    conditions: tuple[str, ...] = ()
    dropped_labels: tuple[str, ...] = ()
    min_cells_per_label: int = 0
    min_counts: int = 0
    min_genes: int = 0


def select_cells(
    inputs: Sequence[Expression],
    selection: CellSelection,
    columns: ObsColumns,
    reporter: Reporter = SILENT,
) -> list[np.ndarray]:
    """A boolean mask (cells,) of the selected cells for each input.

    ScReaderError where an option names a cell, column or label that is not there, or no cell is
    left.
    """
    obs = concatenated([(source.name, source.obs) for source in inputs])
    name = inputs[0].name if len(inputs) == 1 else "the inputs"
    if not len(obs):
        raise ScReaderError("holds no cells.", file=name)
    columns.resolved(obs, name)
    mask = _with_enough(inputs, selection, reporter)
    if selection.names is not None:
        mask &= _with_names(obs.index, selection, name)
    for condition in selection.conditions:
        mask &= cells_where(condition, obs)
    if selection.dropped_labels or selection.min_cells_per_label > 1:
        mask &= _with_labels(obs, columns, selection, mask, reporter)
    if not mask.any():
        raise ScReaderError(
            "no cells are left.",
            file=name,
            remedy="Relax --min-counts, --min-genes, --cells, --where, --drop-labels or "
            "--min-cells-per-label.",
        )
    return np.split(mask, np.cumsum([len(source.obs) for source in inputs])[:-1])


def _with_enough(
    inputs: Sequence[Expression], selection: CellSelection, reporter: Reporter
) -> np.ndarray:
    """Cells with enough counts and genes, bool (cells,): one pass, only where it is asked for.

    ScReaderError where there are no counts to be enough.
    """
    total = sum(len(source.obs) for source in inputs)
    if not (selection.min_counts or selection.min_genes):
        return np.ones(total, bool)
    masks = []
    with reporter.progress("Counting", total, "cells") as advance:
        for source in inputs:
            for span in source.spans():
                block = source.read(*span)
                if selection.min_counts and recognise(block.data) not in ("counts", None):
                    raise ScReaderError(
                        "its values are not counts, which --min-counts needs.",
                        file=source.name,
                        remedy="Name the matrix of counts with --layer, or use --min-genes.",
                    )
                counts = np.asarray(block.sum(1)).ravel()
                genes = np.asarray((block != 0).sum(1)).ravel()
                masks.append((counts >= selection.min_counts) & (genes >= selection.min_genes))
                advance(len(masks[-1]))
    mask = np.concatenate(masks)
    limits = {"counts": selection.min_counts, "genes": selection.min_genes}
    asked = " or ".join(f"{limit:,} {what}" for what, limit in limits.items() if limit)
    reporter.info(
        f"{total - int(mask.sum()):,} of {total:,} cells with fewer than {asked} left out."
    )
    return mask


def read_names(path: Path, name: str) -> list[str]:
    """Cell names in a text file, one per line; ScReaderError, calling it ``name``, for no text."""
    lines = read_text(path, name, "Give one cell name per line.").split("\n")
    return [line.rstrip("\r") for line in lines if line.strip()]


def _with_names(index: LazyColumn, selection: CellSelection, file: str) -> np.ndarray:
    listed = set(selection.names or ())
    if not listed:
        raise ScReaderError(
            "lists no cells.", file=selection.names_file, remedy="Give one cell name per line."
        )
    missing, repeated = set(listed), set[str]()
    masks = []
    for names in index.string_blocks():
        masks.append(np.fromiter((name in listed for name in names), bool, len(names)))
        for name in np.asarray(names, object)[masks[-1]]:
            if name in missing:
                missing.remove(name)
            else:
                repeated.add(name)
    if repeated:
        raise ScReaderError(
            f"lists names of several cells of {file}, such as {min(repeated)!r}.",
            file=selection.names_file,
            remedy="Which of them is meant? Give the cells names of their own.",
        )
    if missing:
        raise ScReaderError(
            f"{len(missing):,} of {len(listed):,} listed cells are not in {file}, "
            f"such as {min(missing)!r}.",
            file=selection.names_file,
        )
    return np.concatenate(masks)


def _with_labels(
    obs: LazyTable,
    columns: ObsColumns,
    selection: CellSelection,
    mask: np.ndarray,
    reporter: Reporter,
) -> np.ndarray:
    """Cells whose label is neither dropped nor rare; unlabelled cells are kept."""
    if columns.label is None:
        raise ScReaderError(
            "--drop-labels and --min-cells-per-label need labels.", remedy="Give --label COLUMN."
        )
    labels = by_category(columns.labels(obs)).load()
    assert isinstance(labels, Categorical)
    names, dropped = labels.categories, selection.dropped_labels
    unknown = sorted(set(dropped) - set(names))
    if unknown:
        raise ScReaderError(
            f"--drop-labels: no cell has the label {unknown[0]!r}.",
            remedy=f"Labels: {_listed([name for name in names if is_known(name)])}.",
        )
    counts = np.bincount(labels.codes[mask], minlength=len(names))
    rare = {
        name: int(count)
        for name, count in zip(names, counts, strict=True)
        if is_known(name) and name not in dropped and 0 < count < selection.min_cells_per_label
    }
    if rare:
        listed = ", ".join(f"{name} ({count})" for name, count in rare.items())
        reporter.info(
            f"labels with fewer than {selection.min_cells_per_label:,} cells are dropped: {listed}."
        )
    keep = np.array([name not in dropped and name not in rare for name in names], bool)
    return keep[labels.codes]


def cells_where(condition: str, obs: LazyTable) -> np.ndarray:
    """A boolean mask (cells,): where ``condition``, such as ``n_genes>500``, holds.

    Texts allow ``=`` and ``!=``; ``=a,b`` means one of these, unless some cell has ``a,b`` itself.
    For missing texts and NaN only ``!=`` holds. ScReaderError for a condition that cannot be read,
    an unknown column, text compared with a number, or no cell for which it holds.
    """
    name, comparison, value = _parsed(condition, obs)
    column = obs.column(name)
    if column.is_string:
        if comparison not in EQUALITIES:
            raise _wrong(condition, f"{name} holds text, which allows only = and !=")
        mask = np.concatenate([texts == value for texts in column.string_blocks()]).astype(bool)
        if not mask.any() and "," in value:
            values = [part.strip() for part in value.split(",") if part.strip()]
            mask = np.concatenate([np.isin(texts, values) for texts in column.string_blocks()])
        mask = ~mask if comparison == "!=" else mask
    else:
        mask = _number_compares(column, comparison, value, condition)
    if not mask.any():
        categories = (by_category(column).categories or ()) if column.is_string else ()
        known = _listed([value for value in categories if value])
        raise _wrong(condition, "no cells match", f"Values of {name}: {known}." if known else "")
    return mask


def _parsed(condition: str, obs: LazyTable) -> tuple[str, str, str]:
    """Column, operator and value of a condition."""
    text = condition.strip()
    for name in sorted([obs.index_name, *obs.columns], key=len, reverse=True):
        found = COMPARISON.fullmatch(text[len(name) :]) if text.startswith(name) else None
        if found:
            if not found[2]:
                raise _wrong(condition, "the value is missing", "Expected COLUMN=VALUE.")
            return name, found[1], found[2]
    name = re.split(r"\s*[=!<>]", text, maxsplit=1)[0]
    if name == text or not name:
        raise _wrong(condition, "not a condition", "Expected COLUMN=VALUE, or !=, <, <=, > or >=.")
    raise unknown_column(f"--where {condition!r}", name, obs)


def _number_compares(column: LazyColumn, comparison: str, value: str, condition: str) -> np.ndarray:
    try:
        numbers = [_number(part.strip()) for part in value.split(",")]
    except ValueError:
        raise _wrong(condition, f"the column is numeric, but {value!r} is not a number") from None
    if len(numbers) > 1 and comparison not in EQUALITIES:
        raise _wrong(condition, f"{comparison} takes a single number")
    combine = np.logical_and if comparison == "!=" else np.logical_or
    compare = OPERATORS[comparison]
    return np.concatenate(
        [
            combine.reduce([compare(np.asarray(piece), number) for number in numbers])
            for piece in column.blocks()
        ]
    )


def _number(text: str) -> float:
    """A number, also of ``true`` and ``false``; ValueError for anything else, such as NaN."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    number = float(text)
    if np.isnan(number):
        raise ValueError(text)
    return int(text) if number.is_integer() and text.lstrip("+-").isdecimal() else number


def _listed(values: Sequence[str]) -> str:
    more = ", …" if len(values) > MAX_LISTED else ""
    return ", ".join(values[:MAX_LISTED]) + more


def _wrong(condition: str, reason: str, remedy: str = "") -> ScReaderError:
    return ScReaderError(f"--where {condition!r}: {reason}.", remedy=remedy)
