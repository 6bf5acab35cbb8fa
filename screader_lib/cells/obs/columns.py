"""Columns of obs: which are label, ontology id and donor, and those of several inputs as one.

Names of cells are made unique by their hashes, so that not all names are held in memory.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from screader_lib.cells.folds import FOLD_COLUMN
from screader_lib.cells.obs.labels import Labels, is_known, renamed
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import (
    Categorical,
    Column,
    LazyColumn,
    LazyTable,
    as_strings,
    concatenated_columns,
    constant_column,
    strings,
)

ONTOLOGY_COLUMNS = ("cell_type_ontology_term_id", "cell_ontology_id")
DONOR_COLUMNS = ("donor_id", "donor")
RESERVED = (
    "label", "label_ontology_id", "donor", "total_counts", "genes_in_sequence", FOLD_COLUMN, "id",
)  # fmt: skip


@dataclass(frozen=True)
class ObsColumns:
    """Which columns of the input hold the label, its ontology id and the donor; None for none.

    ``merge_labels`` says that labels that differ only in case and spaces are one.
    """

    label: str | None = None
    ontology: str | None = None
    donor: str | None = None
    merge_labels: bool = False

    def resolved(self, obs: LazyTable, name: str) -> ObsColumns:
        """With the usual columns filled in for ontology id and donor, where obs has them.

        ScReaderError, with near misses, for a column that obs lacks; ``name`` is the file's.
        """
        for column in (self.label, self.ontology, self.donor):
            if column is not None and column not in obs.columns:
                raise unknown_column(name, column, obs)
        ontology, donor = self.ontology, self.donor
        if ontology is None and self.label is not None:
            ontology = _ontology_of(self.label, obs)
        if donor is None:
            donor = next((key for key in DONOR_COLUMNS if key in obs.columns), None)
        return replace(self, ontology=ontology, donor=donor)

    def labels(self, obs: LazyTable) -> LazyColumn:
        """The column of labels, near twins merged where that is asked for."""
        assert self.label is not None
        column = obs.column(self.label)
        return renamed(column, Labels.of(column).merged) if self.merge_labels else column


def _ontology_of(label: str, obs: LazyTable) -> str | None:
    """A usual column of ids that has one id per label: other ids are of something else."""
    for key in ONTOLOGY_COLUMNS:
        if key in obs.columns:
            pairs: set[tuple[str, str]] = set()
            columns = obs.column(label).string_blocks(), obs.column(key).string_blocks()
            for labels, ids in zip(*columns, strict=True):
                pairs.update(zip(labels, ids, strict=True))
            known = [pair for pair in pairs if all(map(is_known, pair))]
            if len({name for name, _ in known}) == len(known):
                return key
    return None


def unknown_column(where: str, column: str, obs: LazyTable) -> ScReaderError:
    """The error for a column that obs lacks, with near misses; the message begins with ``where``.

    ``where`` is a file, or an option and its value.
    """
    near = difflib.get_close_matches(column, obs.columns, 3, 0.5)
    hint = "Did you mean" if near else "Columns"
    listed = ", ".join(near or list(obs.columns)[:12]) or "none"
    return ScReaderError(
        f"the cells have no column {column!r}.", file=where, remedy=f"{hint}: {listed}."
    )


def annotated(obs: LazyTable, columns: ObsColumns) -> LazyTable:
    """obs with ``label``, ``label_ontology_id`` and ``donor`` first and all its columns after.

    Labels and donors such as "unknown", "NA" or NaN become missing. Where a column of the input has
    a reserved name and another meaning, it is kept as ``NAME_input``.
    """
    result = LazyTable(obs.index)
    if columns.label is not None:
        result.columns["label"] = by_category(columns.labels(obs), is_known)
    if columns.ontology is not None:
        result.columns["label_ontology_id"] = by_category(obs.column(columns.ontology), is_known)
    if columns.donor is not None:
        result.columns["donor"] = by_category(obs.column(columns.donor), is_known)
    taken = {columns.label: "label", columns.ontology: "label_ontology_id", columns.donor: "donor"}
    for key, column in obs.columns.items():
        if taken.get(key) != key:
            name = key.replace("/", "_")
            if name != key or name in RESERVED:
                name = name_beside((*RESERVED, *obs.columns, *result.columns), name)
            result.columns[name] = column
    return result


def name_beside(taken: Collection[str], name: str) -> str:
    """The name, with as many ``_input`` behind it as make it differ from those that are taken."""
    while name in taken:
        name += "_input"
    return name


def concatenated(tables: Sequence[tuple[str, LazyTable]]) -> LazyTable:
    """obs of several inputs, given with their file names, one after the other.

    A column that an input lacks is missing there. ``batch`` names the input of each cell, unless
    the inputs have such a column: then ``input`` does.
    """
    result = joined(tables)
    if len(tables) == 1:
        return result
    inputs = unique_names(strings(Path(name).name.partition(".")[0] for name, _ in tables))
    batches = [constant_column(name, object, len(table))
               for name, (_, table) in zip(inputs, tables, strict=True)]  # fmt: skip
    batch = by_category(concatenated_columns(batches))
    result.columns["input" if "batch" in result.columns else "batch"] = batch
    return result


def joined(tables: Sequence[tuple[str, LazyTable]]) -> LazyTable:
    """Tables, given with their file names, one after the other; columns as by concatenated."""
    if len(tables) == 1:
        return tables[0][1]
    columns = {name: None for _, table in tables for name in table.columns}
    lengths = [len(table) for _, table in tables]
    result = LazyTable(concatenated_columns([table.index for _, table in tables]))
    for name in columns:
        parts = [table.columns.get(name) for _, table in tables]
        result.columns[name] = _concatenated(parts, lengths)
    return result


def _concatenated(parts: Sequence[LazyColumn | None], lengths: Sequence[int]) -> LazyColumn:
    """One column of several; None for an input that has none, of ``lengths`` cells."""
    present = [part for part in parts if part is not None]
    gaps = len(present) < len(parts)
    is_text = any(part.is_string or (gaps and part.dtype.kind == "b") for part in present)
    dtype = np.result_type(*(part.dtype for part in present), *[np.float64] * gaps)
    dtype = np.dtype(object) if is_text else dtype

    def convert(block: Column) -> Column:
        return as_strings(block) if is_text else np.asarray(block).astype(dtype)

    column = concatenated_columns(
        [
            constant_column("" if is_text else np.nan, dtype, length)
            if part is None
            else part.map(convert, dtype)
            for part, length in zip(parts, lengths, strict=True)
        ]
    )
    categorical = is_text and all(part.categories is not None for part in present)
    return by_category(column, bool) if categorical else column


def by_category(column: LazyColumn, known: Callable[[str], bool] = lambda _: True) -> LazyColumn:
    """The column's texts as a categorical, sorted; those that are not ``known`` are missing."""
    names = tuple(sorted(filter(known, set(chain.from_iterable(column.string_blocks())))))
    code_of = {name: code for code, name in enumerate(names)}

    def encode(piece: Column) -> Categorical:
        texts = as_strings(piece)
        codes = np.fromiter((code_of.get(text, -1) for text in texts), np.int32, len(texts))
        return Categorical(codes, names)

    return column.map(encode, np.int32, names)


def hash_of(name: str) -> int:
    """A number below 2⁶⁴ that is the same in every run."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def hashes_of(names: LazyColumn) -> np.ndarray:
    """:func:`hash_of` each name, uint64 (cells,)."""
    hashes = (hash_of(name) for piece in names.string_blocks() for name in piece)
    return np.fromiter(hashes, np.uint64, len(names))


def may_repeat(names: LazyColumn) -> bool:
    """Whether a name may come twice; :func:`duplicate_names` says which do, and takes longer."""
    numbers = (hash(name) for piece in names.string_blocks() for name in piece)
    ordered = np.sort(np.fromiter(numbers, np.int64, len(names)))
    return bool((ordered[1:] == ordered[:-1]).any())


def duplicate_names(names: LazyColumn, hashes: np.ndarray) -> dict[int, str]:
    """By row, the names that came before, with a suffix: -1, -2, …"""
    ordered = np.sort(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return {}
    seen: Counter[str] = Counter()
    given: set[str] = set()
    new_names: dict[int, str] = {}

    def is_taken(name: str) -> bool:
        number = np.uint64(hash_of(name))
        index = np.searchsorted(ordered, number)
        return name in given or bool(index < len(ordered) and ordered[index] == number)

    rows = np.flatnonzero(np.isin(hashes, repeated))
    repeats = chain.from_iterable(names.take(rows).string_blocks())
    for row, name in zip(rows.tolist(), repeats, strict=True):
        new = name
        while seen[name] and is_taken(new):
            new = f"{name}-{seen[name]}"
            seen[name] += 1
        seen[name] = max(1, seen[name])
        if new != name:
            given.add(new)
            new_names[row] = new
    return new_names


def renamed_cells(names: LazyColumn, new_names: Mapping[int, str]) -> LazyColumn:
    """Names of cells, some of them replaced by ``new_names``, by row, ascending."""
    rows = np.fromiter(new_names, np.int64, len(new_names))

    def read(start: int, stop: int) -> np.ndarray:
        result = np.array(as_strings(names.read(start, stop)))
        low, high = np.searchsorted(rows, [start, stop])
        for row in rows[low:high].tolist():
            result[row - start] = new_names[row]
        return result

    return LazyColumn(len(names), object, read)


def unique_names(names: np.ndarray) -> np.ndarray:
    """Names in memory with a suffix, -1, -2, …, for those that came before."""
    column = LazyColumn.of(names)
    return np.asarray(renamed_cells(column, duplicate_names(column, hashes_of(column))).load())
