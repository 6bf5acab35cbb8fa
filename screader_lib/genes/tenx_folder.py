"""The lists in a 10x Genomics folder: features.tsv or genes.tsv, and barcodes.tsv."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from screader_lib.errors import ScReaderError
from screader_lib.genes.text_files import opened_text

GENE_EXPRESSION = "Gene Expression"


class Feature(NamedTuple):
    """A row of the matrix; others than genes are antibodies, guides and the like."""

    id: str
    name: str
    is_gene: bool


def read_features(folder: Path, display_name: str) -> list[Feature]:
    """The features in order; ``display_name`` is what messages call the folder.

    ScReaderError where the folder has no such list or it is damaged.
    """
    rows = read_rows(find_file(folder, display_name, "features.tsv", "genes.tsv"))
    return [
        Feature(
            id=row[0],
            name=row[1] if len(row) > 1 else row[0],
            is_gene=len(row) < 3 or row[2] == GENE_EXPRESSION,
        )
        for row in rows
    ]


def find_file(folder: Path, display_name: str, *files: str) -> Path:
    """The first of ``files`` that the folder has, gzipped or not; ScReaderError without one."""
    for file in files:
        for candidate in (folder / file, folder / f"{file}.gz"):
            if candidate.is_file():
                return candidate
    raise ScReaderError(f"has no {' or '.join(files)} (.gz).", file=display_name)


def read_rows(path: Path) -> list[list[str]]:
    """The tab-separated values of each line; ScReaderError where the file is not text."""
    with opened_text(path) as stream:
        return [line.rstrip("\r\n").split("\t") for line in stream]
