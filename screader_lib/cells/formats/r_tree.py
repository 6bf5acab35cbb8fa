"""Objects of R in a file of ``saveRDS`` or ``save``, as rdata parses them; no R code is run.

rdata's own conversion stops at functions, which Seurat objects hold, so what is needed is taken
from the parsed tree: vectors, factors, data frames, matrices, and the slots of S4 objects.
"""

from __future__ import annotations

import mmap
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from screader_lib.cells.formats.packed import decompress
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Categorical, Column, Table, strings
from screader_lib.reporting import Reporter

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

SAVED = (b"RDX", b"RDA", b"RDB")  # by save(), not saveRDS()
TEXT, LIST, PAIRS, REFERENCE = "STR", "VEC", "LIST", "REF"  # names of rdata's types
SYMBOL, CHARACTERS = "SYM", "CHAR"
MAX_DEPTH = 20_000
NO_VALUE = np.iinfo(np.int32).min  # R's NA of whole numbers


class Node:
    """An object of R: its ``value``, ``attributes`` (slots of an S4 object) and ``classes``."""

    def __init__(self, parsed: Any) -> None:
        while parsed.info.type.name == REFERENCE:
            parsed = parsed.referenced_object
        self.kind: str = parsed.info.type.name
        self.value = parsed.value
        self._attributes = parsed.attributes

    @property
    def attributes(self) -> dict[str, Node]:
        """By name; the slots of an S4 object."""
        return {} if self._attributes is None else dict(_pairs(self._attributes))

    @property
    def classes(self) -> list[str]:
        """Its classes, the most special one first."""
        found = self.attributes.get("class")
        return [] if found is None else found.texts()

    @property
    def package(self) -> str:
        """The package that defines its class, "" where that is not told."""
        found = self.attributes.get("class")
        package = None if found is None else found.attributes.get("package")
        return (package.texts() or [""])[0] if package is not None else ""

    def slot(self, *names: str) -> Node:
        """The slot of a slot …; KeyError where there is none."""
        node = self
        for name in names:
            node = node.attributes[name]
        return node

    def texts(self) -> list[str]:
        """A character vector, "" for a missing value; empty for anything else."""
        return [_text(one) for one in self.value] if self.kind == TEXT else []

    def names(self) -> list[str]:
        """The names of a vector's or list's entries."""
        found = self.attributes.get("names")
        return [] if found is None else found.texts()

    def entries(self) -> list[Node]:
        """The entries of a list; none for anything else."""
        return [Node(one) for one in self.value] if self.kind == LIST else []

    def items(self) -> dict[str, Node]:
        """The entries of a list by name."""
        return dict(zip(self.names(), self.entries(), strict=False))

    def numbers(self) -> np.ndarray | None:
        """A vector of numbers or booleans; None for anything else."""
        if not isinstance(self.value, np.ndarray) or self.value.dtype.kind not in "biuf":
            return None
        if isinstance(self.value, np.ma.MaskedArray):  # whole numbers and booleans with NA
            return np.ma.filled(self.value.astype(np.float64), np.nan)
        return self.value

    def column(self) -> Column | None:
        """A column of a data frame: a factor, or a vector; None for a list and the like."""
        levels = self.attributes.get("levels")
        if levels is not None and isinstance(self.value, np.ndarray):
            codes = np.ma.filled(np.ma.asarray(self.value), NO_VALUE).astype(np.int64) - 1
            return Categorical(np.maximum(codes, -1).astype(np.int32), tuple(levels.texts()))
        return strings(self.texts()) if self.kind == TEXT else self.numbers()

    def frame(self) -> Table:
        """A data.frame, or a DFrame of Bioconductor; columns of lists and the like are left out."""
        if "listData" in self.attributes:
            entries, rows = self.slot("listData").items(), self.slot("rownames").texts()
            count = int(self.slot("nrows").value[0])
        else:
            entries, given = self.items(), self.attributes.get("row.names")
            rows = [] if given is None else given.texts()
            count = _rows(given)
        columns = {name: node.column() for name, node in entries.items()}
        fitting = {
            name: column
            for name, column in columns.items()
            if column is not None and len(column) == count
        }
        return Table(strings(rows or range(1, count + 1)), fitting)

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix, or a data frame of numbers alone."""
        own = self.attributes
        size = own.get("dim", own.get("Dim"))
        if size is not None:
            return len(size.value) == 2
        columns = [one.kind for one in self.entries()]
        is_frame = "data.frame" in self.classes and own["row.names"].kind == TEXT
        factors = any("levels" in one.attributes for one in self.entries())
        return is_frame and bool(columns) and not factors and set(columns) <= {"INT", "REAL"}

    def matrix(self) -> tuple[csc_matrix, list[str], list[str]] | None:
        """A matrix and the names of its rows and columns, empty for none; None for anything else.

        Sparse matrices of the package Matrix by columns, triplets or rows, and dense ones; a data
        frame of numbers.
        """
        from scipy.sparse import coo_matrix, csc_matrix, csr_matrix

        own = self.attributes
        if "Dim" in own:
            rows, columns = (int(size) for size in own["Dim"].value)
            values = own["x"].numbers() if "x" in own else None
            places = {key: own[key].value for key in ("i", "j", "p") if key in own}
            if values is None:  # a pattern
                values = np.ones(len(next(iter(places.values()), ())))
            if "p" in places and "i" in places:
                parts = (values, places["i"], places["p"])
                found = csc_matrix(parts, shape=(rows, columns))
            elif "p" in places and "j" in places:
                parts = (values, places["j"], places["p"])
                found = csr_matrix(parts, shape=(rows, columns)).tocsc()
            elif "i" in places:
                found = coo_matrix((values, (places["i"], places["j"])), (rows, columns)).tocsc()
            else:
                found = csc_matrix(values.reshape((rows, columns), order="F"))
            return found, *_dimnames(own.get("Dimnames"))
        if "dim" not in own and self.is_matrix:
            vectors = [np.asarray(one.numbers()) for one in self.entries()]
            found = csc_matrix(np.column_stack(vectors))
            return found, own["row.names"].texts(), self.names()
        values = self.numbers()
        if "dim" not in own or values is None or len(own["dim"].value) != 2:
            return None
        shape = tuple(int(size) for size in own["dim"].value)
        found = csc_matrix(values.reshape(shape, order="F"))
        return found, *_dimnames(own.get("dimnames"))


def _rows(names: Node | None) -> int:
    """How many rows a data.frame has; numbered ones are stored as c(NA, -rows)."""
    if names is None:
        return 0
    if names.kind == TEXT:
        return len(names.value)
    numbers = np.ma.asarray(names.value)
    if len(numbers) == 2 and (np.ma.getmaskarray(numbers)[0] or numbers[0] == NO_VALUE):
        return abs(int(numbers[1]))
    return len(numbers)


def _dimnames(names: Node | None) -> tuple[list[str], list[str]]:
    both = [Node(one).texts() for one in names.value] if names is not None and names.value else []
    return (both[0], both[1]) if len(both) == 2 else ([], [])


def _pairs(parsed: Any) -> Iterator[tuple[str, Node]]:
    """The entries of a pairlist with their tags."""
    while parsed is not None and parsed.info.type.name == PAIRS:
        yield _tag(parsed.tag), Node(parsed.value[0])
        parsed = parsed.value[1]


def _tag(parsed: Any) -> str:
    while parsed is not None and parsed.info.type.name == REFERENCE:
        parsed = parsed.referenced_object
    return _text(parsed.value) if parsed is not None and parsed.info.type.name == SYMBOL else ""


def _text(parsed: Any) -> str:
    if parsed.info.type.name != CHARACTERS or parsed.value is None:
        return ""
    latin = parsed.info.gp & 4
    return str(parsed.value.decode("latin-1" if latin else "utf-8", "replace"))


def read_r(path: Path, name: str, reporter: Reporter) -> dict[str, Node]:
    """The objects of a file by name, "" for the one of ``saveRDS``; they are in memory.

    ScReaderError, calling the file ``name``, where rdata is missing or the file is damaged.
    """
    try:
        import rdata.parser
    except ImportError:
        raise ScReaderError(
            "is a file of R, which needs the package rdata.",
            file=name,
            remedy="Run: pip install rdata",
        ) from None
    depth = sys.getrecursionlimit()
    with tempfile.TemporaryFile(prefix="screader-") as scratch:
        decompress(path, scratch, name)
        size = scratch.tell()
        reporter.info(
            f"{name}: files of R go through memory as a whole ({size / 1e6:,.1f} MB unpacked, "
            "about four times as much in memory)."
        )
        try:
            sys.setrecursionlimit(max(depth, MAX_DEPTH))  # long pairlists, such as arguments
            with (
                mmap.mmap(scratch.fileno(), 0, access=mmap.ACCESS_READ) as content,
                memoryview(content) as view,
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                saved = content[:3] in SAVED
                extension = ".rda" if saved else ".rds"
                parsed = rdata.parser.parse_data(cast(bytes, view), extension=extension).object
            return dict(_pairs(parsed)) if saved else {"": Node(parsed)}
        except MemoryError:
            problem = "does not fit into memory."
            raise ScReaderError(problem, file=name, remedy="In R, save the counts alone.") from None
        except Exception as error:
            problem = f"is damaged, or a kind of R's files that is not read ({error!r})."
            raise ScReaderError(problem, file=name) from error
        finally:
            sys.setrecursionlimit(depth)
