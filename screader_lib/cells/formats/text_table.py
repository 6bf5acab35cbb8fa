"""Expression from tables of text: csv or tsv, genes in the rows or in the columns.

The first column names the rows, the first line the columns. Columns that hold no numbers are those
of the table of genes or cells, such as a gene's other name or a cell's label.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from screader_lib.cells.formats.expression import Expression, ReadOptions, Span, refuse_layer
from screader_lib.cells.formats.packed import UNPACKING, opener_of
from screader_lib.cells.formats.transpose import ENTRIES_PER_PIECE, ParsedEntries
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Column, LazyTable, Table, strings
from screader_lib.genes.records import ENSEMBL
from screader_lib.genes.spelling import dotted, name_within
from screader_lib.genes.text_files import lines_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

DELIMITERS = "\t,; "
LONGEST = 1 << 26  # characters of a line
ROWS_TO_JUDGE = 20
NAMES_TO_JUDGE = 2_000
WIDE = 20  # columns of numbers, from which a table is no list of genes with numbers of them
MIN_NUMBERS = 2  # columns of numbers that a table of counts has
BARCODE = re.compile(r"[ACGTN]{8,}")
OF_CELLS = re.compile(  # columns of numbers that are no genes, as scanpy and Seurat call them
    r"(n_?(counts?|genes?|features?|umis?)(_\w+)?|total_counts.*|log1p_.*|(percent|pct)[._].*|"
    r"(seurat_)?clusters?|leiden.*|louvain.*|umap_?\d|tsne_?\d|pc_?\d+|(s|g2m)[._]score)$",
    re.IGNORECASE,
)
OF_GENES = re.compile(  # columns of numbers that are no cells, as of featureCounts and biomaRt
    r"((gene_?|exon_?|effective_?)?length|chr(om(osome)?)?|start|end|strand|width|(gc|percentage_gc)"
    r"[._]?(content)?|(ncbi|entrez)[._ ]?(gene)?[._ ]?(id)?)$",
    re.IGNORECASE,
)


class Layout:
    """What the beginning of a table says: ``delimiter``, ``columns`` and which hold ``numbers``.

    ``columns`` are the names of all columns but the first, ``rows`` the fields of some rows.
    ScReaderError where it is no table with numbers.
    """

    def __init__(self, path: Path, name: str) -> None:
        with opened_table(path, name) as stream:
            filled = (line for line in lines_of(stream, name, LONGEST) if line.strip())
            lines = [line.rstrip("\r\n") for line in islice(filled, ROWS_TO_JUDGE + 1)]
        if len(lines) < 2:
            raise no_table(name)
        self.delimiter = max(DELIMITERS, key=lambda mark: (lines[1].count(mark), mark == "\t"))
        header, *self.rows = csv.reader(lines, delimiter=self.delimiter)
        width = len(self.rows[0])
        if len(header) not in (width, width - 1) or any(len(row) != width for row in self.rows):
            raise no_table(name)
        self.columns = header[1:] if len(header) == width else header  # R writes no corner
        fields = zip(*(row[1:] for row in self.rows), strict=True)
        self.numbers = np.array([all(map(is_number, column)) for column in fields], bool)
        if not self.numbers.any() or all(is_number(one) for one in self._named(self.numbers)):
            raise no_table(name)

    @property
    def is_wide(self) -> bool:
        """Whether it has the columns of a table of counts rather than of facts of genes."""
        return int(self.numbers.sum()) >= WIDE

    def _named(self, which: np.ndarray) -> list[str]:
        return [name for name, wanted in zip(self.columns, which, strict=True) if wanted]


def is_number(field: str) -> bool:
    """Whether a field of a table is a number, or missing."""
    try:
        float(field or "nan")
    except ValueError:
        return field.upper() == "NA"
    return True


def no_table(name: str) -> ScReaderError:
    """The error for a text that is no table of counts."""
    return ScReaderError(
        "is text, but not a table of counts.",
        file=name,
        remedy="Expected names in the first line and the first column, and numbers.",
    )


@contextmanager
def opened_table(path: Path, name: str) -> Iterator[TextIO]:
    """The lines of a text, compressed or not, from the first that is no remark; UTF-8.

    ScReaderError, calling it ``name``, where it is damaged; also where damage shows later.
    """
    opener = opener_of(path, name)
    try:
        with opener(path, "rt", encoding="utf-8-sig") as stream:
            remarks = _remarks(lines_of(stream, name, LONGEST))
        with opener(path, "rt", encoding="utf-8-sig") as stream:
            for _ in range(remarks):
                stream.readline()
            yield stream
    except (*UNPACKING, UnicodeDecodeError) as error:
        if getattr(error, "strerror", None):
            raise
        raise ScReaderError("is not text, or it is damaged or cut off.", file=name) from error


def _remarks(lines: Iterator[str]) -> int:
    """How many lines come before the table; the last one that begins with # may be its header."""
    before: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            if before and any(1 < line.count(mark) == before[-1].count(mark) for mark in "\t,;"):
                before.pop()
            break
        before.append(line)
    return len(before)


class TableExpression(Expression):
    """Counts in a table of text."""

    def __init__(self, path: Path, name: str, wanted: ReadOptions) -> None:
        self.name = name
        refuse_layer(wanted.layer, name)
        layout = Layout(path, name)
        if layout.numbers.sum() < MIN_NUMBERS:
            raise no_table(name)
        rows = _row_names(path, name, layout.delimiter)
        self.by_cells = has_cells_in_rows(rows, layout.columns)
        self.format = f"table, {'cells' if self.by_cells else 'genes'} in rows"
        others = OF_CELLS if self.by_cells else OF_GENES
        numbers = layout.numbers & ~np.array([bool(others.match(one)) for one in layout.columns])
        names = strings(np.array(layout.columns, object)[numbers])
        own = _other_columns(path, name, layout, ~numbers)
        cells, genes = (rows, names) if self.by_cells else (names, rows)
        self.obs = LazyTable.of(Table(cells, own if self.by_cells else {}))
        self.set_features(Table(genes, {} if self.by_cells else own))
        self.rows = _TableEntries(path, name, layout.delimiter, numbers, self.by_cells, len(rows))

    def spans(self) -> Sequence[Span]:
        return self.rows.spans()

    def read_features(self, start: int, stop: int) -> csr_matrix:
        return self.rows.read(start, stop)


@contextmanager
def _parsed(path: Path, name: str, delimiter: str, places: list[int], **more: Any) -> Iterator[Any]:
    """Columns of a table as pandas reads them: always with the same rows, none for blank lines.

    ScReaderError where they cannot be read, also where that shows later.
    """
    import pandas

    try:
        with opened_table(path, name) as stream:
            yield pandas.read_csv(
                stream, sep=delimiter, header=None, index_col=False, skiprows=1, usecols=places,
                **more,
            )  # fmt: skip
    except ValueError as error:
        problem = f"holds something other than numbers ({error})."
        raise ScReaderError(problem, file=name) from error


def _row_names(path: Path, name: str, delimiter: str) -> np.ndarray:
    with _parsed(path, name, delimiter, [0], dtype=str, keep_default_na=False) as frame:
        return strings(text.strip() for text in frame[0])


def _other_columns(path: Path, name: str, layout: Layout, which: np.ndarray) -> dict[str, Column]:
    """The columns that are no genes or cells, as texts or numbers."""
    if not which.any():
        return {}
    places = (np.flatnonzero(which) + 1).tolist()
    columns: dict[str, Column] = {}
    with _parsed(path, name, layout.delimiter, places) as frame:
        for place in places:
            values = frame[place]
            kept = values.to_numpy() if values.dtype.kind in "biuf" else strings(values.fillna(""))
            columns[layout.columns[place - 1]] = kept
    return columns


def has_cells_in_rows(rows: Sequence[str] | np.ndarray, columns: Sequence[str]) -> bool:
    """Whether the names of the columns are genes rather than those of the rows."""
    of_rows, of_columns = _share_of_genes(rows), _share_of_genes(columns)
    if of_rows != of_columns:
        return of_columns > of_rows
    barcodes = [sum(bool(BARCODE.search(one)) for one in names) for names in (rows, columns)]
    return barcodes[0] / max(1, len(rows)) > barcodes[1] / max(1, len(columns))


def _share_of_genes(names: Sequence[str] | np.ndarray) -> float:
    """The share of names that are genes, as far as Ensembl ids and human symbols tell."""
    some = list(names[:: max(1, len(names) // NAMES_TO_JUDGE)])
    known = _symbols()
    inner = [name_within(name) or name for name in some]
    genes = [ENSEMBL.match(name) or dotted(name).lower() in known for name in inner]
    return sum(map(bool, genes)) / max(1, len(some))


@cache
def _symbols() -> frozenset[str]:
    """The packaged symbols of human genes in lower case, as R writes them: mouse's are alike."""
    from screader_lib.genes.records import organism_of
    from screader_lib.genes.sources.tables import PackagedFacts

    return frozenset(
        dotted(gene.symbol).lower() for gene in PackagedFacts(organism_of("human")).genes()
    )


class _TableEntries(ParsedEntries):
    """The numbers of a table, of its columns ``numbers``, bool; ``rows`` is how many it has."""

    def __init__(
        self,
        path: Path,
        name: str,
        delimiter: str,
        numbers: np.ndarray,
        by_cells: bool,
        rows: int,
    ) -> None:
        sizes = (rows, int(numbers.sum()))
        super().__init__(*(sizes if by_cells else sizes[::-1]), np.dtype("<f8"))
        self.path, self.name, self.delimiter, self.by_cells = path, name, delimiter, by_cells
        self.rows = rows
        self.places = (np.flatnonzero(numbers) + 1).tolist()

    def parse(self) -> Iterator[np.ndarray]:
        first, at_once = 0, max(1, ENTRIES_PER_PIECE // len(self.places))
        with _parsed(
            self.path, self.name, self.delimiter, self.places, dtype=np.float64, chunksize=at_once
        ) as tables:
            for table in tables:
                values = table.to_numpy()
                rows, columns = np.nonzero(values)  # also of NaN, which is refused later
                found = values[rows, columns]
                rows += first
                cells, genes = (rows, columns) if self.by_cells else (columns, rows)
                first += len(values)
                if first > self.rows:
                    break
                yield self.entries(cells, genes, found)
        if first != self.rows:
            problem = f"has numbers in {first:,} rows or more, but names of {self.rows:,}."
            raise ScReaderError(
                problem, file=self.name, remedy="Was it changed during the run? Run it again."
            )
