"""Expression from folders with Matrix Market files and lists of genes and barcodes.

Cell Ranger and STARsolo write ``matrix.mtx``, ``features.tsv`` (before: ``genes.tsv``) and
``barcodes.tsv``; GEO puts a sample's name before each, several samples in one folder; kb-python
(``cells_x_genes.mtx``), alevin-fry (``quants_mat.mtx``) and Parse Biosciences (``DGE.mtx``) have
names of their own and cells in rows. Each file may be gzipped, whatever its name says.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from screader_lib.cells.formats.expression import (
    DEFAULTS,
    Expression,
    ReadOptions,
    Span,
    refuse_layer,
)
from screader_lib.cells.formats.transpose import MatrixMarket, matrix_market_header
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import LazyTable, Table, strings
from screader_lib.genes.text_files import GENE_EXPRESSION, held, lines_of, opened_text

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Matrices by name, best first, and the lists that belong to each.
STANDARD = ("features.tsv", "genes.tsv", "features.txt", "genes.txt"), (
    "barcodes.tsv", "barcodes.txt", "cells.tsv", "cells.txt",
)  # fmt: skip
KB_GENES = "cells_x_genes.genes.names.txt", "cells_x_genes.genes.txt"
KB = KB_GENES, ("cells_x_genes.barcodes.txt",)
PARSE = ("all_genes.csv", "genes.csv"), ("cell_metadata.csv",)
MATRICES = {
    "matrix.mtx": STANDARD,
    "counts.mtx": STANDARD,
    "cells_x_genes.total.mtx": KB,
    "cells_x_genes.mtx": KB,
    "quants_mat.mtx": (("quants_mat_cols.txt",), ("quants_mat_rows.txt",)),
    "DGE.mtx": PARSE,
    "count_matrix.mtx": PARSE,
}
SUBFOLDERS_DEEP = 5  # of Cell Ranger multi
HEADERS = {
    "", "x", "v1", "index", "id", "name", "barcode", "barcodes", "cell", "cells", "cell_id",
    "cellid", "gene", "genes", "gene_id", "gene_name", "gene_symbol", "symbol", "feature",
    "features", "ensembl_id", "bc_wells", "cell_barcode",
}  # fmt: skip
MAX_LISTED = 8


class MtxFiles(NamedTuple):
    """One sample's files; ``sample`` is what their names begin with, often nothing."""

    sample: str
    matrix: Path
    features: Path | None
    barcodes: Path | None


def samples_in(folder: Path) -> list[MtxFiles]:
    """The samples whose matrices lie in a folder itself, by name; one without a prefix alone."""
    entries = {entry.name: entry for entry in sorted(folder.iterdir()) if entry.is_file()}
    found: dict[str, MtxFiles] = {}
    for kind, (features, barcodes) in MATRICES.items():
        for name, path in entries.items():
            match = re.fullmatch(rf"(.*?){re.escape(kind)}(?:\.gz)?", name)
            if match and match[1] not in found and not match[1].endswith("cells_x_genes."):
                prefix = match[1]
                lists = (_list(entries, prefix, names) for names in (features, barcodes))
                found[prefix] = MtxFiles(prefix, path, *lists)
    return [found[""]] if "" in found else list(found.values())


def _list(entries: dict[str, Path], prefix: str, names: Sequence[str]) -> Path | None:
    """The list with the sample's prefix, without one, or the only one of the folder."""
    for name in names:
        for wanted in (f"{prefix}{name}", name):
            for spelt in (wanted, f"{wanted}.gz"):
                if spelt in entries:
                    return entries[spelt]
    others = [path for key, path in entries.items() if re.search(_ending(names), key)]
    return others[0] if len(others) == 1 else None


def _ending(names: Sequence[str]) -> str:
    """A pattern of names that end like one of ``names``, with any table's ending or none."""
    stems = "|".join(re.escape(name.rpartition(".")[0]) for name in names)
    return rf"(?:^|[._-])(?:{stems})(?:\.(?:tsv|txt|csv))?(?:\.gz)?$"


def folder_of_cells(folder: Path, name: str) -> Path:
    """The folder with a matrix: this, or the only such one below it, of filtered cells if need be.

    ScReaderError where there is none, or several.
    """
    if samples_in(folder) or _has_lists(folder):
        return folder
    below = [folder]
    found: list[Path] = []
    for _ in range(SUBFOLDERS_DEEP):
        below = [sub for one in below for sub in sorted(one.iterdir()) if sub.is_dir()]
        found += [one for one in below if samples_in(one)]
    filtered = [one for one in found if "filtered" in str(one.relative_to(folder))]
    chosen = filtered if len(found) > 1 else found
    if len(chosen) != 1:
        listed = ", ".join(str(one.relative_to(folder)) for one in found[:MAX_LISTED])
        raise ScReaderError(
            f"has {len(found)} folders with a matrix in it: {listed}."
            if found
            else f"has no {' or '.join(('matrix.mtx', 'features.tsv', 'genes.tsv'))} (.gz).",
            file=name,
            remedy="Give one of them." if found else "Give the folder or file with the counts.",
        )
    return chosen[0]


def _has_lists(folder: Path) -> bool:
    """Whether a folder has a list of genes, though no matrix."""
    return any(
        (folder / f"{name}{end}").is_file() for name in STANDARD[0][:2] for end in ("", ".gz")
    )


class MtxFolderExpression(Expression):
    """One sample of a folder; ``matrix`` is its file, None for the only one."""

    def __init__(
        self, folder: Path, name: str, wanted: ReadOptions = DEFAULTS, matrix: Path | None = None
    ) -> None:
        self.name = name
        refuse_layer(wanted.layer, name)
        files = _files(folder, name, matrix, wanted.genes_only)
        inner = files.matrix.parent
        is_inside = matrix is None and inner != folder
        self.format = f"10x folder {inner.relative_to(folder)}" if is_inside else "10x folder"
        if files.sample:
            self.format = f"10x files {files.sample}*"
        if files.features is None:
            raise _missing("features.tsv or genes.tsv", files, name)
        features = _rows(files.features)
        if wanted.genes_only and not files.matrix.is_file():
            self.set_features(*_genes(features))
            return
        if files.barcodes is None:
            raise _missing("barcodes.tsv", files, name)
        barcodes = _rows(files.barcodes)
        shape = matrix_market_header(files.matrix)[:2]
        features, barcodes, by_cells = _fitting(features, barcodes, shape, files)
        genes, kinds = _genes(features)
        self.obs = LazyTable.of(Table(strings(row[0] for row in barcodes)))
        self.rows = MatrixMarket(files.matrix, len(barcodes), len(features), by_cells)
        self.set_features(genes, kinds)

    def spans(self) -> Sequence[Span]:
        return self.rows.spans()

    def read_features(self, start: int, stop: int) -> csr_matrix:
        return self.rows.read(start, stop)


def _files(folder: Path, name: str, matrix: Path | None, genes_only: bool) -> MtxFiles:
    if matrix is not None:
        same = [one for one in samples_in(folder) if one.matrix == matrix]
        if same:
            return same[0]
        entries = {entry.name: entry for entry in folder.iterdir()}  # a name of the user's own
        lists = (_list(entries, "", names) for names in STANDARD)
        return MtxFiles("", matrix, *lists)
    place = folder_of_cells(folder, name)
    samples = samples_in(place)
    if not samples:
        entries = {entry.name: entry for entry in place.iterdir()}
        if not genes_only:
            raise ScReaderError("has no matrix.mtx (.gz).", file=name)
        return MtxFiles("", place / "matrix.mtx", _list(entries, "", STANDARD[0]), None)
    if len(samples) > 1:
        listed = ", ".join(one.matrix.name for one in samples[:MAX_LISTED])
        raise ScReaderError(
            f"holds {len(samples)} samples.", file=name, remedy=f"Give one of {listed}."
        )
    return samples[0]


def _missing(what: str, files: MtxFiles, name: str) -> ScReaderError:
    of = f" for {files.matrix.name}" if files.sample else ""
    return ScReaderError(f"has no {what} (.gz){of}.", file=name)


def _rows(path: Path) -> list[list[str]]:
    """Fields of each line, separated by tabs or, in a csv, by commas; quotes are taken off."""
    with opened_text(path) as stream:
        delimiter = "," if ".csv" in path.name else "\t"
        rows = csv.reader(lines_of(stream, path), delimiter=delimiter)
        try:
            return held((row for row in rows if row), path)
        except csv.Error as error:
            raise ScReaderError(f"is not a well-formed table ({error}).", file=path) from None


def _fitting(
    features: list[list[str]],
    barcodes: list[list[str]],
    shape: tuple[int, int],
    files: MtxFiles,
) -> tuple[list[list[str]], list[list[str]], bool]:
    """The lists without lines of headers, and whether cells are the matrix's rows.

    ScReaderError where they do not fit the matrix.
    """
    by_name = files.matrix.name.removeprefix(files.sample).startswith(("cells_x", "quants", "DGE"))
    for by_cells in (by_name, not by_name):
        genes, cells = shape[::-1] if by_cells else shape
        fitting = _without_header(features, genes), _without_header(barcodes, cells)
        if len(fitting[0]) == genes and len(fitting[1]) == cells:
            return *fitting, by_cells
    raise ScReaderError(
        f"is a matrix of {shape[0]:,} × {shape[1]:,}, but the lists beside it have "
        f"{len(features):,} genes and {len(barcodes):,} cells.",
        file=files.matrix,
    )


def _without_header(rows: list[list[str]], expected: int) -> list[list[str]]:
    is_header = len(rows) == expected + 1 and rows[0][0].strip().lower() in HEADERS
    return rows[1:] if is_header else rows


def _genes(features: list[list[str]]) -> tuple[Table, np.ndarray]:
    """Names and ids of features, and what kind each is.

    In alevin-fry's lists of spliced, unspliced and ambiguous counts, each gene comes three times,
    the others ending in ``-U`` and ``-A``: unspliced ones are a kind of their own, ambiguous ones
    get the gene's name, so that they are added to it.
    """
    ids = [row[0] for row in features]
    names = [row[1] if len(row) > 1 else row[0] for row in features]
    kinds = [row[2] if len(row) > 2 else GENE_EXPRESSION for row in features]
    third = len(ids) // 3
    genes = ids[:third]
    if third and ids[third:] == [f"{one}-{end}" for end in "UA" for one in genes]:
        ids = names = genes * 3
        kinds = [GENE_EXPRESSION] * third + ["unspliced"] * third + [GENE_EXPRESSION] * third
    return Table(strings(names), {"gene_ids": strings(ids)}), strings(kinds)
