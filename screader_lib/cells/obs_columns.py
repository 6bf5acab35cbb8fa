"""Labels, donors and the other columns that cells carry along."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from screader_lib.cells.cell_names import unique_names
from screader_lib.errors import ScReaderError
from screader_lib.exchange.lazy_table import (
    ConcatenatedColumn,
    ConstantColumn,
    LazyColumn,
    LazyTable,
    MappedColumn,
    texts_of,
)
from screader_lib.exchange.table import Categorical, Column, strings

ONTOLOGY_COLUMNS = ("cell_type_ontology_term_id", "cell_ontology_id")
DONOR_COLUMNS = ("donor_id", "donor")
UNKNOWN_LABELS = {"", "nan", "none", "unknown", "ambiguous"}
RESERVED = ("label", "label_ontology_id", "donor", "total_counts", "genes_in_sequence", "id")


@dataclass(frozen=True)
class Columns:
    """Which columns of the input are the label, its ontology id and the donor; None is none."""

    label: str | None = None
    ontology: str | None = None
    donor: str | None = None

    def found_in(self, obs: LazyTable, name: str) -> Columns:
        """With the usual names filled in for ontology id and donor, where obs has them.

        ScReaderError, naming near misses, where a named column is not there.
        """
        for column in (self.label, self.ontology, self.donor):
            if column is not None and column not in obs.columns:
                raise _no_column(column, obs, name)
        ontology, donor = self.ontology, self.donor
        if ontology is None and self.label is not None:
            ontology = _ontology_of(self.label, obs)
        if donor is None:
            donor = next((key for key in DONOR_COLUMNS if key in obs.columns), None)
        return Columns(self.label, ontology, donor)


def _ontology_of(label: str, obs: LazyTable) -> str | None:
    """A usual column of ids, if each label has one id: else they are ids of something else."""
    for key in ONTOLOGY_COLUMNS:
        if key in obs.columns:
            id_of: dict[str, str] = {}
            both = zip(obs.column(label).texts(), obs.column(key).texts(), strict=True)
            pairs = {pair for labels, ids in both for pair in set(zip(labels, ids, strict=True))}
            known = [pair for pair in sorted(pairs) if all(map(is_known, pair))]
            if all(id_of.setdefault(name, number) == number for name, number in known):
                return key
    return None


def _no_column(column: str, obs: LazyTable, name: str) -> ScReaderError:
    near = difflib.get_close_matches(column, obs.columns, 3, 0.5)
    known = near or list(obs.columns)[:12]
    hint = "Did you mean" if near else "It has"
    return ScReaderError(
        f"its cells have no column {column!r}.",
        file=name,
        remedy=f"{hint}: {', '.join(known) or 'no columns'}.",
    )


def annotated(obs: LazyTable, columns: Columns) -> LazyTable:
    """obs with ``label``, ``label_ontology_id`` and ``donor`` first and all its columns after.

    Labels such as "unknown" or NaN become missing. Where a column of the input has a reserved
    name and another meaning, it is kept as ``NAME_input``.
    """
    result = LazyTable(obs.index)
    if columns.label is not None:
        result.columns["label"] = by_category(obs.column(columns.label), is_known)
    if columns.ontology is not None:
        result.columns["label_ontology_id"] = by_category(obs.column(columns.ontology), is_known)
    if columns.donor is not None:
        result.columns["donor"] = by_category(obs.column(columns.donor))
    taken = {columns.label: "label", columns.ontology: "label_ontology_id", columns.donor: "donor"}
    for key, column in obs.columns.items():
        if taken.get(key) != key:
            kept = key.replace("/", "_")
            result.columns[f"{kept}_input" if kept in RESERVED else kept] = column
    return result


def joined(tables: Sequence[tuple[str, LazyTable]]) -> LazyTable:
    """The tables of several inputs, by name, one after the other.

    A column that an input lacks is missing there. ``batch`` names the input of each cell, unless
    the inputs have such a column: then ``input`` does.
    """
    if len(tables) == 1:
        return tables[0][1]
    columns = {name: None for _, table in tables for name in table.columns}
    indices = [table.index for _, table in tables]
    result = LazyTable(ConcatenatedColumn(indices))
    for name in columns:
        parts = [table.columns.get(name) for _, table in tables]
        result.columns[name] = _stacked(parts, indices)
    inputs = unique_names(strings(Path(name).name.partition(".")[0] for name, _ in tables))
    batches = [ConstantColumn(name, object, index)
               for name, index in zip(inputs, indices, strict=True)]  # fmt: skip
    batch = by_category(ConcatenatedColumn(batches))
    result.columns["input" if "batch" in columns else "batch"] = batch
    return result


def _stacked(parts: Sequence[LazyColumn | None], indices: Sequence[LazyColumn]) -> LazyColumn:
    """One column of several; None where an input has none, whose cells are in ``indices``."""
    present = [part for part in parts if part is not None]

    def filled(value: object, dtype: type, whole: Callable[[LazyColumn], LazyColumn]) -> LazyColumn:
        return ConcatenatedColumn(
            [ConstantColumn(value, dtype, index) if part is None else whole(part)
             for part, index in zip(parts, indices, strict=True)]
        )  # fmt: skip

    kinds = {part.dtype.kind for part in present if not part.is_text}
    if any(part.is_text for part in present) or ("b" in kinds and len(present) < len(parts)):
        texts = filled("", object, lambda part: MappedColumn(part, texts_of, object))
        repeated = all(part.categories is not None for part in present)
        return by_category(texts, bool) if repeated else texts
    common = np.result_type(*(part.dtype for part in present))
    if len(present) < len(parts):
        common = np.result_type(common, np.float64)

    def numbers(part: LazyColumn) -> LazyColumn:
        return MappedColumn(part, lambda piece: np.asarray(piece).astype(common), common.type)

    return filled(np.nan, common.type, numbers)


def is_known(label: str) -> bool:
    """Whether a label says something."""
    return label.strip().lower() not in UNKNOWN_LABELS


def by_category(column: LazyColumn, known: Callable[[str], bool] = lambda _: True) -> LazyColumn:
    """The column's texts as a categorical, sorted; those that are not ``known`` are missing."""
    found: set[str] = set()
    for piece in column.pieces():
        found.update(_distinct(piece))
    names = tuple(sorted(filter(known, found)))
    place = {name: number for number, name in enumerate(names)}

    def coded(piece: Column) -> Categorical:
        if isinstance(piece, Categorical):
            new = [place.get(name, -1) for name in (*piece.categories, "")]
            return Categorical(np.array(new, np.int32)[piece.codes], names)
        texts = texts_of(piece)
        codes = np.fromiter((place.get(text, -1) for text in texts), np.int32, len(texts))
        return Categorical(codes, names)

    return MappedColumn(column, coded, np.int32, names)


def _distinct(piece: Column) -> set[str]:
    """The texts that occur in a piece."""
    if isinstance(piece, Categorical):
        names = (*piece.categories, "")
        return {names[code] for code in np.unique(piece.codes)}
    return set(texts_of(piece))


def read_list(path: Path, name: str) -> list[str]:
    """The names in a text file, one a line, as they are; ScReaderError where it is no text."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ScReaderError("is no text, wanted one name a line.", file=name) from None
    return [line.rstrip("\r") for line in lines if line.strip()]
