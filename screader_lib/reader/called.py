"""What a reader says of a block of cells: all that is worth keeping of hours on a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from screader_lib.cells.reading import CellSequences
from screader_lib.reader.calibration import softmax
from screader_lib.reader.explaining import Explained, explain
from screader_lib.reader.task import Trained

ARRAYS = ("probability", "vectors", "evidence", "readable")


@dataclass(frozen=True)
class Called:
    """``probability`` float32 (cells, labels), ``vectors`` float32 (cells, hidden), ``evidence``
    float32 (cells,), and whether any gene is known, ``readable`` bool (cells,)."""

    probability: np.ndarray
    vectors: np.ndarray
    evidence: np.ndarray
    readable: np.ndarray
    explained: Explained | None = None


def call(
    cells: CellSequences,
    rows: np.ndarray,
    trained: Trained,
    temperature: float,
    genes_explained: int = 0,
) -> Called:
    """Let ``trained`` call the cells at ``rows``."""
    logits, vectors = trained.outputs(cells, rows)
    probability = softmax(logits, temperature)
    evidence = trained.evidence(cells, rows, logits)
    found = None
    if genes_explained:
        best, labels = probability.argmax(1), probability.shape[1]
        found = explain(cells, rows, trained, best, labels, genes_explained)
    return Called(probability, vectors, evidence, trained.readable(cells, rows), found)


def write(file: h5py.File, called: Called) -> None:
    """Into an empty HDF5 file of its own."""
    for name in ARRAYS:
        file.create_dataset(name, data=getattr(called, name))
    if called.explained is not None:
        group = file.create_group("explained")
        for name in ("genes", "parts"):
            group.create_dataset(name, data=getattr(called.explained, name))
        group.create_dataset("sums", data=called.explained.sums, compression="gzip")


def read(file: h5py.File) -> Called:
    """As it was written; KeyError where something is missing."""
    found = {name: file[name][()] for name in ARRAYS}
    if "explained" not in file:
        return Called(**found)
    group = file["explained"]
    return Called(**found, explained=Explained(*(group[n][()] for n in ("genes", "parts", "sums"))))
