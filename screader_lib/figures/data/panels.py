"""Scatter panels, and files of their coordinates, so that the same figure can be made again.

Two formats by the file's name: ``.npz`` (numpy, without pickled objects), else tab-separated
text with the columns panel, cell, umap_1, umap_2, as ``--data`` writes it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.figures.data.cell_vectors import indices_of
from screader_lib.figures.data.projection import Separation
from screader_lib.figures.drawing.canvas import DataTable

COLUMNS = ("panel", "cell", "umap_1", "umap_2")
GENE_COLUMNS = ("panel", "gene", "umap_1", "umap_2")  # --data of the map of genes


@dataclass(frozen=True)
class Panel:
    """A scatter plot: ``ids`` objects (cells,), ``coordinates`` float32 (cells, 2), ``values``.

    ``values`` colours the cells: objects (cells,) of labels, empty = none, or floats (cells,).
    ``named`` are rows to be labelled, by name. ``behind``, float32 (points, 2), are drawn in grey.
    ``sketch``: the cells whose UMAP was computed, where all others were placed among them.
    """

    title: str
    ids: np.ndarray
    coordinates: np.ndarray
    values: np.ndarray
    separation: Separation | None = None
    named: Mapping[str, int] = field(default_factory=dict)
    behind: np.ndarray | None = None
    sketch: int | None = None


@dataclass(frozen=True)
class PanelRows:
    """A row per cell and panel, made while it is iterated over."""

    panels: Sequence[Panel]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for panel in self.panels:
            for cell, (x, y), value in zip(
                panel.ids, panel.coordinates.tolist(), panel.values.tolist(), strict=True
            ):
                # Nine digits give the same float32 again.
                yield (panel.title, cell, f"{x:.9g}", f"{y:.9g}", value)


@dataclass(frozen=True)
class SavedCoordinates:
    """Coordinates from a file that messages call ``name``: panel title → ids and points."""

    name: str
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def of_panel(self, title: str, ids: np.ndarray, *, single: bool) -> np.ndarray:
        """Coordinates float32 (cells, 2) of the cells ``ids`` in the panel ``title``.

        Where a ``single`` panel is drawn and the file has one, its title does not matter.
        ScReaderError where the panel or a cell is missing.
        """
        if single and len(self.panels) == 1:
            [(stored, points)] = self.panels.values()
        elif _one_line(title) in self.panels:
            stored, points = self.panels[_one_line(title)]
        else:
            titles = ", ".join(self.panels) or "none"
            raise ScReaderError(
                f"has no panel {title!r}.", file=self.name, remedy=f"It has: {titles}."
            )
        if not np.array_equal(stored, ids):
            names, available = (np.array([*map(_one_line, some)], object) for some in (ids, stored))
            what = f"cells of panel {title!r}"
            points = points[indices_of(names, available, file=self.name, what=what)]
        return points.astype(np.float32)


def _one_line(name: str) -> str:
    """A name as the table holds it."""
    return " ".join(name.split())


def write_coordinates(panels: Sequence[Panel], path: Path, form: str) -> None:
    """Write the panels' coordinates; ``form`` is ``npz`` or ``tsv``."""
    if form == "tsv":
        DataTable(COLUMNS, (row[:4] for row in PanelRows(panels))).write(path)
        return
    arrays = {"panels": np.array([_one_line(panel.title) for panel in panels], dtype=np.str_)}
    for number, panel in enumerate(panels):
        arrays[f"cells_{number}"] = panel.ids.astype(np.str_)
        arrays[f"coordinates_{number}"] = panel.coordinates.astype(np.float32)
    with path.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_coordinates(path: Path, name: str) -> SavedCoordinates:
    """Coordinates by panel title; ScReaderError where the file is damaged or of neither format."""
    panels = _read_npz(path, name) if zipfile.is_zipfile(path) else _read_text(path, name)
    for ids, points in panels.values():
        if points.dtype.kind != "f" or points.shape != (len(ids), 2):
            raise ScReaderError("does not have two coordinates for each cell.", file=name)
        if not np.isfinite(points).all():
            raise ScReaderError("has a coordinate that is not finite.", file=name)
    return SavedCoordinates(name, panels)


def _read_npz(path: Path, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {
                str(title): (arrays[f"cells_{i}"].astype(object), arrays[f"coordinates_{i}"])
                for i, title in enumerate(arrays["panels"].tolist())
            }
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ScReaderError("is not a file of coordinates.", file=name) from error


def _read_text(path: Path, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rows: dict[str, list[list[str]]] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            header = tuple(stream.readline().rstrip("\n").split("\t")[:4])
            if header not in (COLUMNS, GENE_COLUMNS):
                message = f"does not begin with the columns {', '.join(COLUMNS)}."
                raise ScReaderError(message, file=name)
            for line in stream:
                panel, cell, x, y = line.rstrip("\n").split("\t")[:4]
                rows.setdefault(panel, []).append([cell, x, y])
        return {
            panel: (
                np.array([row[0] for row in cells], dtype=object),
                np.array([row[1:] for row in cells], dtype=np.float32),
            )
            for panel, cells in rows.items()
        }
    except UnicodeDecodeError:
        raise ScReaderError("is not a text file in UTF-8.", file=name) from None
    except OSError as error:
        raise ScReaderError(f"{error.strerror}.", file=name) from error
    except ValueError:
        message = "has a line that is not a panel, a cell and two numbers."
        raise ScReaderError(message, file=name) from None
