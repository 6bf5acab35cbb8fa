"""Expression from AnnData's zarr folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader_lib.cells.annotated import AnnotatedMatrix
from screader_lib.cells.organisms import KEY
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MARKS = (".zgroup", "zarr.json")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return any((path / mark).is_file() for mark in MARKS)


class ZarrExpression(AnnotatedMatrix):
    """X, ``raw/X`` or a layer of an AnnData zarr store."""

    def __init__(self, path: Path, name: str, layer: str | None = None) -> None:
        import zarr

        with _damage_in_words(name):
            root = zarr.open_group(path, mode="r")
            for part in ("obs", "var"):
                if part not in root:
                    raise ScReaderError(f"has no {part}, so it is no AnnData.", file=name)
            super().__init__(root, name, layer)
            uns: Any = root.get("uns", {})
            self.facts = {KEY: str(uns[KEY][()])} if KEY in uns else {}

    def read(self, start: int, stop: int) -> csr_matrix:
        with _damage_in_words(self.name):
            return super().read(start, stop)


@contextmanager
def _damage_in_words(name: str) -> Iterator[None]:
    """Any failure of the zarr library as one line."""
    try:
        yield
    except ScReaderError:
        raise
    except Exception as error:
        raise ScReaderError(f"cannot be read as a zarr store ({error}).", file=name) from error
