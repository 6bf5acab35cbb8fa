"""The lists in a 10x Genomics folder: features.tsv or genes.tsv, and barcodes.tsv."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

from screader_lib.errors import ScReaderError

GENE_EXPRESSION = "Gene Expression"


class Feature(NamedTuple):
    """A row of the matrix; others than genes are antibodies, guides and the like."""

    id: str
    name: str
    is_gene: bool


def read_features(folder: Path, shown: str) -> list[Feature]:
    """The features in order; ``shown`` is what messages call the folder.

    ScReaderError where the folder has no such list or it is damaged.
    """
    rows = lines_of(one_of(folder, shown, "features.tsv", "genes.tsv"))
    return [
        Feature(
            id=row[0],
            name=row[1] if len(row) > 1 else row[0],
            is_gene=len(row) < 3 or row[2] == GENE_EXPRESSION,
        )
        for row in rows
    ]


def one_of(folder: Path, shown: str, *files: str) -> Path:
    """The first of ``files`` that the folder has, gzipped or not; ScReaderError without one."""
    for file in files:
        for candidate in (folder / file, folder / f"{file}.gz"):
            if candidate.is_file():
                return candidate
    raise ScReaderError(f"has no {' or '.join(files)} (.gz).", file=shown)


def lines_of(path: Path) -> list[list[str]]:
    """The tab-separated values of each line; ScReaderError where the file is no text."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            return [line.rstrip("\r\n").split("\t") for line in stream]
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise ScReaderError("is damaged or no text.", file=path) from error
