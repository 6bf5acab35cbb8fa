"""The genes that an input names: a text list, or the gene index of an expression file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding, safety
from screader_lib.exchange.opening import kind_of, what_is_it
from screader_lib.genes.text_files import (
    GENE_EXPRESSION,
    first_bytes,
    read_features,
    read_table,
    read_text,
)

LOOM_NAMES = ("Gene", "var_names", "gene", "gene_name", "Accession")
TENX_NAMES = ("name", "gene_names")
KNOWN_FORMATS = "Give a gene list, h5ad, 10x h5 or loom."
OBS_IS_GENES = ("descriptions", "gene-embeddings")


@dataclass(frozen=True)
class GeneList:
    """Names in the input's order, each once; ``repeated`` counts dropped duplicates."""

    names: tuple[str, ...]
    repeated: int = 0


def read_genes(path: Path, name: str, column: str | None = None) -> GeneList:
    """The genes named by a file, whose format is recognised by its content.

    An HDF5 file (h5ad, 10x h5, loom, scReader's own) gives its gene index or ``column``; a 10x
    folder its genes' names, or ``id``; a text one gene per line (of a table the first column), or
    ``column`` of a tab- or comma-separated table with a header. Gzipped text is read too.
    ScReaderError where it names no gene.
    """
    if path.is_dir():
        return _once(_from_folder(path, name, column), name)
    if first_bytes(path, name, len(safety.SIGNATURE)) == safety.SIGNATURE:
        with safety.open_checked(path, name=name, strict=False) as file:
            values = _from_hdf5(file, name, column)
    else:
        values = _from_text(read_text(path, name, KNOWN_FORMATS), name, column)
    return _once(values, name)


def read_all(paths: Sequence[Path], names: Sequence[str], column: str | None = None) -> GeneList:
    """The genes of several files, each once, at its first place; as :func:`read_genes`.

    ``names`` are the files' names as the user gave them, ``-`` for standard input. What several
    files name is not counted in ``repeated``, only what one file names twice.
    """
    display_names = ["standard input" if name == "-" else name for name in names]
    lists = [
        read_genes(path, name, column) for path, name in zip(paths, display_names, strict=True)
    ]
    together = dict.fromkeys(name for genes in lists for name in genes.names)
    return GeneList(tuple(together), sum(genes.repeated for genes in lists))


def _once(values: Iterable[str], name: str) -> GeneList:
    named = [value for value in (value.strip() for value in values) if value]
    names = tuple(dict.fromkeys(named))
    if not names:
        raise ScReaderError("contains no gene names.", file=name, remedy="Give one gene per line.")
    return GeneList(names, len(named) - len(names))


def _from_text(text: str, name: str, column: str | None) -> list[str]:
    if column is not None:
        return [row.get(column) or "" for row in read_table(text, name, column)]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
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


def _from_folder(path: Path, name: str, column: str | None) -> list[str]:
    if column not in (None, "id", "name"):
        raise ScReaderError(f"has no column {column!r}.", file=name, remedy="Columns: id, name.")
    genes = [feature for feature in read_features(path, name) if feature.kind == GENE_EXPRESSION]
    return [gene.id if column == "id" else gene.name for gene in genes]


def _from_hdf5(file: h5py.File, name: str, column: str | None) -> list[str]:
    if kind_of(file) in OBS_IS_GENES:
        return _from_frame(file["obs"], name, column)
    if {"matrix", "row_attrs", "col_attrs"} <= set(file):
        return _from_columns(file["row_attrs"], name, column, LOOM_NAMES)
    if isinstance(file.get("var"), h5py.Group):
        return _from_frame(file["var"], name, column)
    if isinstance(file.get("var"), h5py.Dataset):
        raise ScReaderError(
            "is an h5ad of AnnData before 0.7.",
            file=name,
            remedy="Rewrite it with a current anndata.",
        )
    groups = [group for group in file.values() if isinstance(group, h5py.Group)]
    groups = [group for group in groups if "barcodes" in group]
    if len(groups) != 1:
        raise ScReaderError(
            f"is {what_is_it(file)}, no gene list is in it.", file=name, remedy=KNOWN_FORMATS
        )
    features = groups[0].get("features", groups[0])
    return _from_columns(features, name, column, TENX_NAMES)


def _from_frame(frame: h5py.Group, name: str, column: str | None) -> list[str]:
    index = frame.attrs.get("_index", "_index")
    key = str(index) if column is None else column
    if key not in frame:
        known = ", ".join(entry for entry in frame if not entry.startswith("__")) or "none"
        raise ScReaderError(
            f"{frame.name} has no column {key!r}.", file=name, remedy=f"Columns: {known}."
        )
    legacy = frame.get("__categories")
    if legacy is not None and key in legacy:
        categories = encoding.read_strings(legacy[key])
        return [str(categories[code]) if code >= 0 else "" for code in frame[key][()]]
    return list(encoding.read_strings(frame[key]))


def _from_columns(
    group: h5py.Group, name: str, column: str | None, usual: tuple[str, ...]
) -> list[str]:
    keys = usual if column is None else (column,)
    key = next((key for key in keys if isinstance(group.get(key), h5py.Dataset)), None)
    if key is None:
        known = ", ".join(group) or "none"
        raise ScReaderError(
            f"{group.name} has no {' or '.join(keys)}.", file=name, remedy=f"It has: {known}."
        )
    names = encoding.read_strings(group[key])
    kinds = group.get("feature_type")
    if kinds is not None:
        names = names[encoding.read_strings(kinds) == GENE_EXPRESSION]
    return list(names)
