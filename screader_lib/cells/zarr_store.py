"""Expression from AnnData's zarr folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader_lib.cells.expression import (
    CompressedRows,
    Expression,
    Span,
    check_compressed,
    even_spans,
    usual_numbers,
)
from screader_lib.cells.frames import table_of
from screader_lib.cells.turning import TurnedColumns
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MARKS = (".zgroup", "zarr.json")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return any((path / mark).is_file() for mark in MARKS)


@contextmanager
def damage_in_words(name: str) -> Iterator[None]:
    """Any failure of the zarr library as one line."""
    try:
        yield
    except ScReaderError:
        raise
    except Exception as error:
        raise ScReaderError(f"cannot be read as a zarr store ({error}).", file=name) from error


class ZarrExpression(Expression):
    """X, ``raw/X`` or a layer of an AnnData zarr store: CSR, CSC or dense."""

    def __init__(self, path: Path, name: str, layer: str | None = None) -> None:
        import zarr

        self.name = name
        place = {None: "X", "X": "X", "raw": "raw/X"}.get(layer, f"layers/{layer}")
        with damage_in_words(name):
            store: Any = zarr.open_group(path, mode="r")
            if place not in store or "obs" not in store or "var" not in store:
                raise ScReaderError(f"has no obs, var or {place}.", file=name)
            self.matrix = store[place]
            self.obs = table_of(store["obs"], name)
            self.genes = table_of(store["raw/var" if layer == "raw" else "var"], name)
            self.kind = str(self.matrix.attrs.get("encoding-type", "array"))
            self.rows = self._rows()

    def _rows(self) -> CompressedRows | TurnedColumns | None:
        """The reader of a sparse matrix, None for a dense one."""
        cells, genes = len(self.obs), len(self.genes)
        dense = self.kind == "array"
        shape = tuple(self.matrix.shape if dense else self.matrix.attrs.get("shape", ()))
        if shape != (cells, genes):
            raise ScReaderError(
                f"its matrix is {' × '.join(map(str, shape))}, but obs and var have {cells:,} and "
                f"{genes:,} rows.",
                file=self.name,
            )
        if dense:
            return None
        if self.kind == "csr_matrix":
            check_compressed(self.matrix, cells, genes, self.name)
            return CompressedRows(self.matrix, genes, self.name)
        check_compressed(self.matrix, genes, cells, self.name)
        return TurnedColumns(self.matrix, cells, genes, self.name)

    def spans(self) -> Sequence[Span]:
        return (
            even_spans(len(self.obs), len(self.genes)) if self.rows is None else (self.rows.spans())
        )

    def read(self, start: int, stop: int) -> csr_matrix:
        from scipy.sparse import csr_matrix

        with damage_in_words(self.name):
            if self.rows is None:
                return csr_matrix(usual_numbers(self.matrix[start:stop]))
            return self.rows.read(start, stop)
