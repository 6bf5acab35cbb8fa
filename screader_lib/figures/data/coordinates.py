"""Coordinates of panels, kept in a file so that the same picture comes again.

Two formats by the file's name: ``.npz`` (numpy, without pickled objects), else tab-separated
text with the columns panel, cell, umap_1, umap_2, as ``--data`` writes it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.figures.plots.umap_plot import Panel

COLUMNS = ("panel", "cell", "umap_1", "umap_2")
GENES = ("panel", "gene", "umap_1", "umap_2")  # --data of the map of genes


@dataclass(frozen=True)
class Placed:
    """Cells of one panel: ``ids`` objects (cells,), ``coordinates`` float32 (cells, 2)."""

    ids: np.ndarray
    coordinates: np.ndarray


def write(panels: Sequence[Panel], path: Path, form: str) -> None:
    """Write the panels' coordinates; ``form`` is ``npz`` or ``tsv``."""
    if form == "npz":
        _write_npz(panels, path)
        return
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        for panel in panels:
            for cell, (x, y) in zip(panel.ids, panel.coordinates.tolist(), strict=True):
                stream.write(f"{_plain(panel.title)}\t{_plain(cell)}\t{x:.9g}\t{y:.9g}\n")


def _plain(name: str) -> str:
    """A name as a table can hold it."""
    return " ".join(name.split())


def _write_npz(panels: Sequence[Panel], path: Path) -> None:
    arrays = {"panels": np.array([_plain(panel.title) for panel in panels], dtype=np.str_)}
    for number, panel in enumerate(panels):
        arrays[f"cells_{number}"] = panel.ids.astype(np.str_)
        arrays[f"coordinates_{number}"] = panel.coordinates.astype(np.float32)
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read(path: Path, name: str) -> Given:
    """Coordinates by panel title; ScReaderError where the file is neither format or unsound."""
    stored = _read_npz(path, name) if zipfile.is_zipfile(path) else _read_text(path, name)
    for placed in stored.values():
        _check(placed, name)
    return Given(name, stored)


def _read_npz(path: Path, name: str) -> dict[str, Placed]:
    result = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for number, title in enumerate(arrays["panels"].tolist()):
                ids = arrays[f"cells_{number}"].astype(object)
                result[str(title)] = Placed(ids, arrays[f"coordinates_{number}"])
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ScReaderError("is not a file of coordinates.", file=name) from error
    return result


def _check(placed: Placed, name: str) -> None:
    points = placed.coordinates
    if points.dtype.kind != "f" or points.shape != (len(placed.ids), 2):
        raise ScReaderError("has no two coordinates for each cell.", file=name)
    if not np.isfinite(points).all():
        raise ScReaderError("holds a coordinate that is not finite.", file=name)


def _read_text(path: Path, name: str) -> dict[str, Placed]:
    cells: dict[str, list[str]] = {}
    points: dict[str, list[tuple[str, str]]] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            head = stream.readline().rstrip("\n").split("\t")
            if tuple(head[:4]) not in (COLUMNS, GENES):
                wanted = ", ".join(COLUMNS)
                raise ScReaderError(f"does not begin with the columns {wanted}.", file=name)
            for line in stream:
                panel, cell, x, y = line.rstrip("\n").split("\t")[:4]
                cells.setdefault(panel, []).append(cell)
                points.setdefault(panel, []).append((x, y))
        return {
            panel: Placed(np.array(ids, dtype=object), np.array(points[panel], np.float32))
            for panel, ids in cells.items()
        }
    except UnicodeDecodeError:
        raise ScReaderError("is not a text file in UTF-8.", file=name) from None
    except OSError as error:
        raise ScReaderError(f"{error.strerror}.", file=name) from error
    except ValueError:
        raise ScReaderError(
            "has a line that is not a panel, a cell and two numbers.", file=name
        ) from None


@dataclass(frozen=True)
class Given:
    """Coordinates that a user brings; ``name`` is what messages call their file."""

    name: str
    stored: Mapping[str, Placed]

    def of_panel(self, title: str, ids: np.ndarray, *, only: bool) -> np.ndarray:
        """Coordinates float32 (cells, 2) of the cells ``ids`` in the panel ``title``.

        Where ``only`` one panel is drawn and one is stored, its title does not matter.
        ScReaderError where the panel or a cell is not there.
        """
        placed = self.stored.get(_plain(title))
        if placed is None and only and len(self.stored) == 1:
            placed = next(iter(self.stored.values()))
        if placed is None:
            raise ScReaderError(
                f"has no panel {title!r}.",
                file=self.name,
                remedy=f"It has: {', '.join(self.stored) or 'none'}.",
            )
        if np.array_equal(placed.ids, ids):
            return placed.coordinates.astype(np.float32)
        return placed.coordinates[self._rows(placed, title, ids)].astype(np.float32)

    def _rows(self, placed: Placed, title: str, ids: np.ndarray) -> list[int]:
        place = {_plain(cell): number for number, cell in enumerate(placed.ids)}
        missing = [cell for cell in ids if _plain(cell) not in place]
        if missing:
            raise ScReaderError(
                f"panel {title!r} lacks {len(missing):,} of the {len(ids):,} cells, "
                f"such as {missing[0]!r}.",
                file=self.name,
            )
        return [place[_plain(cell)] for cell in ids]
