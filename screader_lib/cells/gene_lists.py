"""The genes that an input names: a text list, or the gene index of an expression file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from screader_lib.cells.formats.expression import DEFAULTS, ReadOptions
from screader_lib.cells.formats.open_expression import open_expression, samples_of
from screader_lib.cells.formats.packed import HDF5, TEXT, content_of
from screader_lib.cells.formats.text_table import Layout
from screader_lib.cells.gene_names import ROW_NUMBERS, are_row_numbers, named_by_column
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety
from screader_lib.exchange.opening import kind_of
from screader_lib.exchange.table import Table
from screader_lib.genes.text_files import first_bytes, read_table, read_text

TENX_COLUMNS = {"name": None, "id": "gene_ids"}  # as its own files call them
OBS_IS_GENES = ("descriptions", "gene-embeddings")


@dataclass(frozen=True)
class GeneList:
    """Names in the input's order, each once; ``repeated`` counts dropped duplicates."""

    names: tuple[str, ...]
    repeated: int = 0


def read_genes(
    path: Path, name: str, column: str | None = None, wanted: ReadOptions = DEFAULTS
) -> GeneList:
    """The genes named by a file, whose format is recognised by its content.

    Any file of cells gives the names of its genes, or their ``column``; ``wanted`` is the part of
    one that holds several. scReader's own files of genes give their index or ``column``; a text one
    gene per line (of a table the first column), or ``column`` of a tab- or comma-separated table
    with a header. Gzipped text is read too. ScReaderError where it names no gene.
    """
    content = "" if path.is_dir() else content_of(path, name)
    layout = _layout(path, name) if content == TEXT else None
    if content == TEXT and (column is not None or not (layout and layout.is_wide)):
        text = read_text(path, name, "Give a gene list or a file of cells.")
        return _once(_from_text(text, name, column, layout is not None), name)
    if content == HDF5 and (names := _of_own_file(path, name, column)) is not None:
        return _once(names, name)
    wanted = replace(wanted, genes_only=True)
    lists = []
    for sample, sample_name in samples_of(path, name):
        with open_expression(sample, sample_name, wanted) as source:
            own = TENX_COLUMNS.get(column or "", column) if "10x" in source.format else column
            lists.append(_once(_names(source.genes, own, name), name))
    together = dict.fromkeys(gene for genes in lists for gene in genes.names)
    return GeneList(tuple(together), max(genes.repeated for genes in lists))


def _names(genes: Table, column: str | None, name: str) -> np.ndarray:
    own = column in (None, genes.index_name)
    return genes.index if own else named_by_column(genes, column or "", name).index


def _of_own_file(path: Path, name: str, column: str | None) -> Iterable[str] | None:
    """Names in a file of genes of scReader; None for any other file."""
    if first_bytes(path, name, len(safety.SIGNATURE)) != safety.SIGNATURE:
        return None
    with safety.open_checked(path, name=name, strict=False) as file:
        if kind_of(file) not in OBS_IS_GENES:
            return None
        genes = encoding.read_table(file["obs"])
        return _names(genes, column, name)


def read_all(
    paths: Sequence[Path],
    names: Sequence[str],
    column: str | None = None,
    wanted: ReadOptions = DEFAULTS,
) -> GeneList:
    """The genes of several files, each once, at its first place; as :func:`read_genes`.

    ``names`` are the files' names as the user gave them, ``-`` for standard input. What several
    files name is not counted in ``repeated``, only what one file names twice.
    """
    display_names = ["standard input" if name == "-" else name for name in names]
    lists = [
        read_genes(path, name, column, wanted)
        for path, name in zip(paths, display_names, strict=True)
    ]
    together = dict.fromkeys(name for genes in lists for name in genes.names)
    return GeneList(tuple(together), sum(genes.repeated for genes in lists))


def _once(values: Iterable[str], name: str) -> GeneList:
    named = [value for value in (value.strip() for value in values) if value]
    names = tuple(dict.fromkeys(named))
    if are_row_numbers(names):
        raise ScReaderError("names no gene.", file=name, remedy=ROW_NUMBERS)
    if not names:
        raise ScReaderError("contains no gene names.", file=name, remedy="Give one gene per line.")
    return GeneList(names, len(named) - len(names))


def _layout(path: Path, name: str) -> Layout | None:
    """That of a table with numbers below a header; None for any other text."""
    try:
        return Layout(path, name)
    except ScReaderError:
        return None


def _from_text(text: str, name: str, column: str | None, has_header: bool) -> list[str]:
    """The first column, without its header, or the ``column``."""
    if column is not None:
        return [row.get(column) or "" for row in read_table(text, name, column)]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    lines = lines[has_header:]
    if _is_csv(lines):
        return [row[0] for row in csv.reader(lines)]
    return [line.split("\t")[0].strip().strip('"') for line in lines]


def _is_csv(lines: Sequence[str]) -> bool:
    """Whether several lines have the same commas; no list is of names with commas only."""
    if len(lines) < 2 or not all("," in line and "\t" not in line for line in lines):
        return False
    try:
        return len({len(row) for row in csv.reader(lines)}) == 1
    except csv.Error:
        return False
