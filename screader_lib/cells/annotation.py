"""Labels, donors and the other columns that cells carry along."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, Table, strings

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

    def found_in(self, obs: Table, name: str) -> Columns:
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


def _ontology_of(label: str, obs: Table) -> str | None:
    """A usual column of ids, if each label has one id: else they are ids of something else."""
    for key in ONTOLOGY_COLUMNS:
        if key in obs.columns:
            names, ids = known_labels(obs.strings(label)), known_labels(obs.strings(key))
            both = (names.codes >= 0) & (ids.codes >= 0)
            pairs = np.unique(np.stack([names.codes[both], ids.codes[both]], 1), axis=0)
            if len(np.unique(pairs[:, 0])) == len(pairs):
                return key
    return None


def _no_column(column: str, obs: Table, name: str) -> ScReaderError:
    near = difflib.get_close_matches(column, obs.columns, 3, 0.5)
    known = near or list(obs.columns)[:12]
    hint = "Did you mean" if near else "It has"
    return ScReaderError(
        f"its cells have no column {column!r}.",
        file=name,
        remedy=f"{hint}: {', '.join(known) or 'no columns'}.",
    )


def annotated(obs: Table, columns: Columns) -> Table:
    """obs with ``label``, ``label_ontology_id`` and ``donor`` first and all its columns after.

    Labels such as "unknown" or NaN become missing. Where a column of the input has a reserved
    name and another meaning, it is kept as ``NAME_input``.
    """
    result = Table(unique_names(obs.index))
    if columns.label is not None:
        result.columns["label"] = known_labels(obs.strings(columns.label))
    if columns.ontology is not None:
        result.columns["label_ontology_id"] = known_labels(obs.strings(columns.ontology))
    if columns.donor is not None:
        result.columns["donor"] = Categorical.of(obs.strings(columns.donor))
    taken = {columns.label: "label", columns.ontology: "label_ontology_id", columns.donor: "donor"}
    for key, column in obs.columns.items():
        if taken.get(key) != key:
            kept = key.replace("/", "_")
            result.columns[f"{kept}_input" if kept in RESERVED else kept] = column
    return result


def joined(tables: Sequence[tuple[str, Table]]) -> Table:
    """The tables of several inputs, by name, one after the other.

    A column that an input lacks is empty there (NaN where it holds numbers). ``batch`` names the
    input of each cell, unless the inputs have such a column: then ``input`` does.
    """
    if len(tables) == 1:
        return tables[0][1]
    columns = {name: None for _, table in tables for name in table.columns}
    sizes = [len(table) for _, table in tables]
    result = Table(np.concatenate([table.index for _, table in tables]))
    for name in columns:
        parts = [table.columns.get(name) for _, table in tables]
        result.columns[name] = _stacked(parts, sizes)
    inputs = unique_names(strings(Path(name).name.partition(".")[0] for name, _ in tables))
    codes = np.repeat(np.arange(len(tables), dtype=np.int32), sizes)
    result.columns["input" if "batch" in columns else "batch"] = Categorical(codes, tuple(inputs))
    return result


def _stacked(parts: Sequence[Column | None], sizes: Sequence[int]) -> Column:
    """One column of several; None where an input has none."""
    present = [part for part in parts if part is not None]
    numbers = [
        part for part in present if isinstance(part, np.ndarray) and part.dtype.kind in "iuf"
    ]
    if len(numbers) == len(present):
        filled = [np.full(size, np.nan) if part is None else np.asarray(part)
                  for part, size in zip(parts, sizes, strict=True)]  # fmt: skip
        return np.concatenate(filled)
    if all(isinstance(part, np.ndarray) and part.dtype.kind == "b" for part in parts):
        return np.concatenate([np.asarray(part) for part in parts])
    texts = [
        strings([""] * size) if part is None
        else part.strings() if isinstance(part, Categorical)
        else part.astype(str).astype(object)
        for part, size in zip(parts, sizes, strict=True)
    ]  # fmt: skip
    whole = np.concatenate(texts)
    return Categorical.of(whole) if any(isinstance(part, Categorical) for part in parts) else whole


def known_labels(labels: np.ndarray) -> Categorical:
    """Labels as a categorical, sorted; those that say "unknown" are missing."""
    names = sorted({label for label in labels if label.strip().lower() not in UNKNOWN_LABELS})
    place = {name: number for number, name in enumerate(names)}
    codes = np.fromiter((place.get(label, -1) for label in labels), np.int32, len(labels))
    return Categorical(codes, tuple(names))


def unique_names(names: np.ndarray) -> np.ndarray:
    """Cell names with -1, -2, … added to those that came before."""
    hashes = np.sort(np.fromiter(map(hash, names), np.int64, len(names)))  # less than the names
    if (hashes[1:] != hashes[:-1]).all():
        return names
    counts = Counter(names.tolist())
    seen: Counter[str] = Counter()
    used = set(counts)
    result = []
    for name in names:
        new = name
        while seen[name] and new in used:
            new = f"{name}-{seen[name]}"
            seen[name] += 1
        seen[name] = max(1, seen[name])
        used.add(new)
        result.append(new)
    return strings(result)


def read_list(path: Path, name: str) -> list[str]:
    """The names in a text file, one a line, as they are; ScReaderError where it is no text."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ScReaderError("is no text, wanted one name a line.", file=name) from None
    return [line.rstrip("\r") for line in lines if line.strip()]
