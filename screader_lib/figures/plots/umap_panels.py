"""What the UMAP picture shows: which vectors, which colours, which cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.figures.data.cell_vectors import StoredVectors, Vectors, before_reading
from screader_lib.figures.data.coordinates import Given
from screader_lib.figures.data.prediction_data import PredictionData, distinct_titles
from screader_lib.figures.data.projection import NEIGHBOURS, project
from screader_lib.figures.data.separation import separation
from screader_lib.figures.plots.umap_plot import Panel, colour_values
from screader_lib.reporting import SILENT, Reporter

MOST_COLOURS = 300
BEFORE = "before reading (mean gene embedding)"


@dataclass(frozen=True)
class Colouring:
    """The column that colours the cells, and all its values, sorted."""

    column: str
    types: list[str]


def colouring(calls: Sequence[PredictionData], column: str | None) -> Colouring:
    """The asked-for column; else the true labels where known, else the predicted ones.

    ScReaderError where a file lacks the column or it holds numbers in one and labels in
    another.
    """
    if column is None:
        known = all(one.known.any() for one in calls)
        column = "true_label" if known else "predicted_label"
    values = [_values(one, column) for one in calls]
    if len({found.dtype.kind for found in values}) > 1:
        raise ScReaderError(f"column {column!r} holds labels in one file and numbers in another.")
    check_number_of_colours(np.concatenate(values), column)
    if values[0].dtype.kind == "f":
        return Colouring(column, [])
    types = {str(value) for found in values for value in np.unique(found.astype(str))} - {""}
    if column in ("true_label", "predicted_label"):
        types.update(label for one in calls for label in one.all_labels)
    return Colouring(column, sorted(types))


def check_number_of_colours(values: np.ndarray, column: str) -> None:
    """ScReaderError where a column holds more different labels than a picture can show."""
    if values.dtype.kind == "f":
        return
    found = len(set(values.tolist()))
    if found > MOST_COLOURS:
        raise ScReaderError(
            f"column {column!r} holds {found:,} different values, wanted at most "
            f"{MOST_COLOURS} to colour by.",
            remedy="Choose a column of groups or of numbers.",
        )


def _values(calls: PredictionData, column: str) -> np.ndarray:
    return calls.true if column == "true_label" else colour_values(calls.column(column))


def _labels(calls: PredictionData, values: np.ndarray) -> np.ndarray:
    """What separation is measured by: the colours where they are labels, else the types."""
    if values.dtype.kind != "f":
        return values
    return calls.true if calls.known.any() else calls.predicted


def panels(
    calls: Sequence[PredictionData],
    chosen: Colouring,
    *,
    cells: ExchangeFile | None = None,
    seed: int = 0,
    neighbours: int = NEIGHBOURS,
    given: Given | None = None,
    reporter: Reporter = SILENT,
) -> list[Panel]:
    """One panel per file, with ``cells`` before them one of the first file's cells unread.

    ``given`` coordinates are taken as they are instead of being computed.
    """
    spaces: list[tuple[str, PredictionData, Vectors]] = []
    if cells is not None:
        unread = before_reading(cells, calls[0].ids, calls[0].name)
        spaces.append((BEFORE, calls[0], unread))
    for one, title in zip(calls, distinct_titles(calls), strict=True):
        spaces.append((f"after {title}", one, StoredVectors(one.vectors)))
    result = []
    with reporter.progress("UMAP", len(spaces), "panels") as done:
        for title, one, vectors in spaces:
            values = _values(one, chosen.column)
            apart = separation(vectors, _labels(one, values), seed)
            if given is None:
                coordinates = project(vectors, seed, neighbours)
            else:
                coordinates = given.of_panel(title, one.ids, only=len(spaces) == 1)
            result.append(Panel(title, one.ids, coordinates, values, apart))
            done(1)
    return result
