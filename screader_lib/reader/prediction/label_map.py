"""A table that translates the labels of cells into those of a reader."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, LazyColumn
from screader_lib.genes.text_files import read_text

COLUMNS = "Expected two columns: a label of the cells, a label of the reader."
MAX_LISTED = 20


def read_label_map(
    path: Path, name: str, own: Collection[str], readers: Collection[str]
) -> dict[str, str]:
    """The reader's label for labels of the cells, from a table separated by tabs or commas.

    ``own`` are the cells' labels, ``readers`` the reader's. A first line that names neither is a
    header. ScReaderError, naming the file ``name`` and the line, where a line is not two labels,
    the reader lacks one, or a label is translated twice; and where none is of the cells.
    """
    text = read_text(path, name)
    first = next((line for line in text.splitlines() if line.strip()), "")
    rows = csv.reader(text.splitlines(), delimiter="\t" if "\t" in first else ",", strict=True)
    result: dict[str, str] = {}
    is_first = True
    try:
        for row in rows:
            if not any(field.strip() for field in row):
                continue
            if len(row) != 2 or not all(field.strip() for field in row):
                raise ScReaderError(
                    f"line {rows.line_num} is not two labels.", file=name, remedy=COLUMNS
                )
            given, label = row[0] if row[0] in own else row[0].strip(), row[1].strip()
            is_header = is_first and given not in own
            is_first = False
            if label not in readers:
                if is_header:
                    continue
                raise ScReaderError(
                    f"line {rows.line_num}: the reader has no label {label!r}.",
                    file=name,
                    remedy=f"It has: {', '.join(sorted(readers)[:MAX_LISTED])}.",
                )
            if result.setdefault(given, label) != label:
                raise ScReaderError(
                    f"line {rows.line_num} gives {given!r} a second label.", file=name
                )
    except csv.Error as error:
        raise ScReaderError(f"line {rows.line_num}: {error}.", file=name, remedy=COLUMNS) from None
    if not set(result) & set(own):
        raise ScReaderError(
            "translates none of the cells' labels.",
            file=name,
            remedy=f"They are: {', '.join(sorted(own)[:MAX_LISTED])}.",
        )
    return result


def translated(truth: LazyColumn, label_map: dict[str, str]) -> LazyColumn:
    """A column of categories with the labels that the map gives; others stay."""
    old = truth.categories or ()
    names = tuple(dict.fromkeys(label_map.get(name, name) for name in old))
    codes = np.array([*(names.index(label_map.get(name, name)) for name in old), -1], np.int32)

    def recode(block: object) -> Categorical:
        assert isinstance(block, Categorical)
        return Categorical(codes[block.codes], names)

    return truth.map(recode, np.int32, names)
