"""What a reader and the methods beside it answer for each of a sample's cells.

Where the reader is linear and nothing else asks for the cells' sequences, one pass over the inputs
does: a block is read, normalised and called while it is in memory. Else the sequences are written
to a ``cells`` file first, which the reader then predicts. Both give the same answers but for
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from screader_lib.annotation.by_reader.consensus import (
    Answers,
    FittedMethods,
    OtherMethods,
    gene_weights,
)
from screader_lib.annotation.by_reader.sample_checks import MeanExpression
from screader_lib.annotation.sample import Sample
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.cells_in_blocks import CellsInBlocks, StoredWeights
from screader_lib.exchange import writing
from screader_lib.exchange.chunks import RowAppender, RowReader
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.provenance import LaterProvenance
from screader_lib.reader.llm.machine import ON_CPU, Machine
from screader_lib.reader.methods import methods
from screader_lib.reader.methods.places import Neighbours, PlacedCells, own_components
from screader_lib.reader.prediction.predictions import PredictionBlock, Predictions, predict_block
from screader_lib.reader.prediction.write_predictions import (
    PredictionOptions,
    row_appender,
    write_predictions,
)
from screader_lib.reader.reader_file import StoredReader, read_reader
from screader_lib.reader.task import TrainedMethod
from screader_lib.reporting import SILENT, Reporter, WithoutInfo

CELLS, PREDICTIONS = "cells.h5ad", "predictions.h5ad"
VECTORS_FILE = "vectors.h5"  # of the cells of one pass
X_SCREADER = "obsm/X_screader"


class LoadedReader:
    """A reader in memory, which may call any number of samples, one after the other.

    What was loaded or fitted for one serves the next: an LLM, and the other methods as long as
    samples have the same genes. ``llm`` says where the LLM is, if not where it was.
    """

    def __init__(
        self, file: ExchangeFile, machine: Machine = ON_CPU, llm: str | None = None
    ) -> None:
        self.file, self.machine, self.llm = file, machine, llm
        self.stored = read_reader(file)
        self._fitted: tuple[bytes, FittedMethods] | None = None

    @cached_property
    def trained(self) -> TrainedMethod:
        """The method that calls cells."""
        return methods.restore(self.stored, self.machine, self.llm)

    def others(self, sample: Sample) -> OtherMethods:
        """The methods beside it, fitted for the genes of a sample."""
        genes, in_input = sample.named_genes()
        key = " ".join(genes).encode() + in_input.tobytes()
        if self.stored.profiles is not None and (self._fitted is None or self._fitted[0] != key):
            self._fitted = key, FittedMethods.fit(self.stored.profiles, genes, in_input)
        fitted = None if self._fitted is None else self._fitted[1]
        return OtherMethods(fitted, int(sample.selected.sum()), len(self.stored.labels.names))


@dataclass(frozen=True)
class AnsweredCells:
    """``answers`` by method, float32 (cells, labels) each; their ``familiarity`` float32 (cells,).

    ``known``, bool (cells,): which have a gene of the reader. ``neighbours`` are None where they
    were not asked for, ``vectors`` where there are none. ``mean`` is the cells' mean expression.
    """

    answers: Answers
    familiarity: np.ndarray
    known: np.ndarray
    mean: MeanExpression
    neighbours: Neighbours | None = None
    vectors: StoredVectors | None = None


def answer_in_one_pass(
    sample: Sample, reader: LoadedReader, folder: Path, with_neighbours: bool, with_vectors: bool
) -> AnsweredCells:
    """Of the cells of a ``sample``, by a linear reader.

    ``folder`` gets what does not fit in memory. ScReaderError where an input is damaged.
    """
    stored, trained = reader.stored, reader.trained
    cells = CellsInBlocks(sample.builder, sample.vocabulary)
    others, mean, read = (
        reader.others(sample),
        MeanExpression(stored, cells),
        gene_weights(cells),
    )
    trained.logits(cells, np.zeros(0, np.int64))  # what all threads need is made here

    def answer(rows: np.ndarray) -> _AnsweredBlock:
        block = predict_block(
            cells, rows, trained, stored.temperatures, 0, stored.type_distance, with_vectors
        )
        others.answer(cells, rows)
        return _AnsweredBlock(rows, block, mean.part(rows), read(rows) if with_neighbours else None)

    called, weights = _CalledBlocks(len(cells), stored), StoredWeights()
    with (
        threadpool_limits(1, "blas"),
        writing.new_file(folder / VECTORS_FILE) as file,
    ):
        vectors: RowAppender | None = None
        for rows, block, part, own_weights in cells.map(answer):
            called.add(rows, block)
            mean.add(part)
            if own_weights is not None:
                weights.add(own_weights)
            if with_vectors and vectors is None:
                shape = (len(cells), block.vectors.shape[1])
                vectors = row_appender(file.create_group("obsm"), "X_screader", shape, 64)
            if vectors is not None:
                vectors.add(block.vectors)
        if vectors is not None:
            vectors.finish()
        neighbours = None
        if with_neighbours:
            neighbours = Neighbours.of(*own_components(weights.read, len(weights)))
    return AnsweredCells(
        {"reader": called.probability, **others.answers},
        called.familiarity,
        cells.lengths > 0,
        mean,
        neighbours,
        StoredVectors(folder / VECTORS_FILE) if vectors is not None else None,
    )


class _AnsweredBlock(NamedTuple):
    """``part`` is of the mean expression, as :meth:`MeanExpression.part`; ``weights``, CSR float32
    (cells, genes), are those that neighbours are found by, where they are asked for."""

    rows: np.ndarray
    block: PredictionBlock
    part: np.ndarray | None
    weights: sparse.csr_matrix | None


class _CalledBlocks:
    """What a reader says of all cells, block by block."""

    def __init__(self, cells: int, stored: StoredReader) -> None:
        self.stored, self.predictions = stored, Predictions.empty(cells)
        self.probability = np.empty((cells, len(stored.labels.names)), np.float32)

    def add(self, rows: np.ndarray, block: PredictionBlock) -> None:
        block.check()
        self.predictions.fill(slice(int(rows[0]), int(rows[-1]) + 1), block)
        self.probability[rows] = block.probability

    @property
    def familiarity(self) -> np.ndarray:
        found = self.predictions
        return self.stored.calibration_set.familiarity(
            found.confidence, found.evidence, found.distance
        )


def write_cells(
    sample: Sample, reader: LoadedReader, made: LaterProvenance, folder: Path
) -> OtherMethods:
    """Write the ``cells`` file, and meanwhile fit the other methods, which need no cell."""
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(1) as pool:
        others = pool.submit(reader.others, sample)
        with writing.create("cells", folder / CELLS, made) as file:
            sample.write(file)
        return others.result()


def answer_from_file(
    cells: CellSequences,
    reader: LoadedReader,
    others: OtherMethods,
    check: Callable[[MeanExpression], None],
    made: LaterProvenance,
    folder: Path,
    with_neighbours: bool,
    reporter: Reporter = SILENT,
) -> AnsweredCells:
    """Of the cells of a ``cells`` file, by any reader; ``folder`` gets its ``predictions``.

    Before the work, the cells' mean expression is checked.
    """
    stored, trained = reader.stored, reader.trained
    mean = MeanExpression(stored, cells)
    mean.add_all()
    check(mean)
    trained.plan_memory(cells, reader.machine, False, reporter)
    placed = PlacedCells(gene_weights(cells), len(cells)) if with_neighbours else None
    with writing.create("predictions", folder / PREDICTIONS, made) as file:
        write_predictions(
            file, cells, stored, trained, PredictionOptions(warns_of_unfamiliar=False),
            WithoutInfo(reporter),
            beside=partial(_answer_and_place, cells, others, placed),
        )  # fmt: skip
        probability, familiarity = file["obsm/probability"][()], file["obs/familiarity"][()]
    return AnsweredCells(
        {"reader": probability, **others.answers},
        familiarity,
        cells.lengths > 0,
        mean,
        None if placed is None else placed.neighbours(),
        StoredVectors(folder / PREDICTIONS),
    )


def _answer_and_place(
    cells: CellSequences, others: OtherMethods, placed: PlacedCells | None, rows: np.ndarray
) -> None:
    others.answer(cells, rows)
    if placed is not None:
        placed.fill(rows)


class StoredVectors:
    """The cells' latent vectors in a file, in blocks of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def copy_to(self, group: h5py.Group, name: str) -> None:
        """All rows as a new array of ``group``, the chunks as they are."""
        with h5py.File(self.path, "r", locking=False) as file:
            file.copy(X_SCREADER, group, name)

    def __iter__(self) -> Iterator[np.ndarray]:
        with h5py.File(self.path, "r", locking=False) as file:
            vectors = file[X_SCREADER]
            reader, width = RowReader(vectors), vectors.shape[1]
            for start in range(0, len(vectors), 4096):
                yield reader.read(start, min(len(vectors), start + 4096), width)
