"""Expression and gene embeddings to a ``cells`` file.

Work on blocks of cells by several threads, results in order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import h5py
import numpy as np

from screader_lib.cells.cell_names import hashes_of, new_names, renamed
from screader_lib.cells.expression_coverage import ExpressionCoverage
from screader_lib.cells.formats.expression import Span
from screader_lib.cells.gene_names import ABSENT
from screader_lib.cells.gene_statistics import GeneStatistics, GeneSums, sampled_cells, sums_of
from screader_lib.cells.input_file import Block, InputFile
from screader_lib.cells.obs_columns import ObsColumns, annotated, concatenated
from screader_lib.cells.sequences import NO_GENE, Construction, sequences
from screader_lib.cells.vocabulary import Embeddings, Vocabulary
from screader_lib.errors import ScReaderError
from screader_lib.exchange import chunks, encoding
from screader_lib.exchange.lazy_table import LazyTable, constant_column
from screader_lib.exchange.table import Table
from screader_lib.reporting import SILENT, Reporter

CHUNK = (64, 512)  # cells × genes: a random cell is in few and small chunks
SIXTEEN_BIT_GENES = 2**15
Result = TypeVar("Result")


class Sequences(NamedTuple):
    """Gene indices and weights (cells, width), totals and lengths (cells,) of a block.

    ``held`` is the sum of all normalised values that these genes have.
    """

    genes: np.ndarray
    weights: np.ndarray
    totals: np.ndarray
    lengths: np.ndarray
    held: float


@dataclass
class Lengths:
    """How many genes the sequences have."""

    cells: int = 0
    genes: int = 0
    fewest: int | None = None
    most: int = 0
    empty: int = 0

    def add(self, some: np.ndarray) -> None:
        """Take in the lengths of some cells, (cells,)."""
        self.cells += len(some)
        self.genes += int(some.sum())
        self.empty += int((some == 0).sum())
        fewest = int(some.min())
        self.fewest = fewest if self.fewest is None else min(self.fewest, fewest)
        self.most = max(self.most, int(some.max()))

    def tell(self, reporter: Reporter) -> None:
        """Say it."""
        reporter.info(
            f"{self.cells:,} cells with {self.genes / self.cells:.0f} genes on average "
            f"({self.fewest} to {self.most})."
        )
        if self.empty:
            reporter.warning(f"{self.empty:,} cells have no known gene and stay unassigned.")


class CellBuilder:
    """Builds the sequences of the chosen cells of one or several inputs."""

    def __init__(
        self,
        parts: Sequence[InputFile],
        embeddings: Embeddings,
        construction: Construction,
        *,
        threads: int | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        self.parts = parts
        self.embeddings = embeddings
        self.construction = construction
        self.threads = threads or usual_threads()
        self.reporter = reporter
        logs = [part.expression.name for part in parts if part.kind != "counts"]
        if construction.needs_counts and logs:
            raise ScReaderError(
                "its values are log-normalised; weight expression wants counts.",
                file=logs[0],
                remedy="Name the counts with --layer, or use weight normalised.",
            )
        self.obs = concatenated([(part.expression.name, part.obs) for part in parts])
        hashes = hashes_of(self.obs.index)
        self.sample = sampled_cells(hashes)
        self._rename(new_names(self.obs.index, hashes))

    @property
    def name(self) -> str:
        """What messages call the input."""
        return self.parts[0].expression.name if len(self.parts) == 1 else "the inputs"

    @property
    def rows(self) -> np.ndarray:
        """Rows of the embeddings, rising, that are genes of an input; int32."""
        matched = np.unique(np.concatenate([part.rows for part in self.parts]))
        return matched[matched != ABSENT]

    def learn_vocabulary(self, min_mapped: float = 0.0) -> Vocabulary:
        """Choose genes and take medians from the chosen cells, or a sample of them (one pass).

        ScReaderError where the embedded genes hold less than ``min_mapped`` of an input's
        expression, or none varies.
        """
        rows = self.rows
        statistics = GeneStatistics(len(rows))
        shares = ExpressionCoverage([part.expression.name for part in self.parts])
        for number, (sums, totals) in self._blocks("Reading genes", self.sample, rows, _sums):
            statistics.add(sums)
            shares.add(number, float(sums.block.data.sum(dtype=np.float64)), totals)
        self.reporter.info(f"these genes hold {shares} of the expression.")
        shares.check(min_mapped)
        picked = np.arange(len(rows))
        if self.construction.select == "variable":
            picked = statistics.most_variable(self.construction.variable_genes)
            if not len(picked):
                raise ScReaderError(
                    "no gene varies between its cells.",
                    file=self.name,
                    remedy="Give more cells, --like, or --select all.",
                )
        return Vocabulary(rows[picked], statistics.medians(picked))

    def _blocks(
        self,
        task: str,
        cells: np.ndarray,
        rows: np.ndarray,
        work: Callable[[Block], Result],
        *,
        counts: bool = False,
    ) -> Iterator[tuple[int, Result]]:
        """Number of the input and ``work`` on each block, in order.

        ``cells`` are boolean (chosen cells,): those to read. Genes are those of ``rows`` of the
        embeddings, in their order; ``counts`` asks for these.
        """

        def tasks() -> Iterator[tuple[int, Callable[[Span], Block], Span]]:
            first = 0
            for number, part in enumerate(self.parts):
                wanted = part.chosen.copy()
                wanted[wanted] = cells[first : first + part.cells]
                first += part.cells
                place = part.place_of(rows, len(self.embeddings.genes))
                read = part.reader(wanted, place, len(rows), counts=counts)
                yield from ((number, read, span) for span in part.spans(wanted))

        def done(asked: tuple[int, Callable[[Span], Block], Span]) -> tuple[int, Result, int]:
            number, read, span = asked
            block = read(span)
            return number, work(block), len(block.totals)

        total = int(cells.sum())
        with (
            ThreadPoolExecutor(self.threads) as pool,
            self.reporter.progress(task, total, "cells") as advance,
        ):
            for number, result, size in in_order(done, tasks(), pool, self.threads + 1):
                yield number, result
                advance(size)

    def write(self, file: h5py.File, vocabulary: Vocabulary, columns: ObsColumns) -> None:
        """Fill a new ``cells`` file, cells in the inputs' order (one pass)."""
        rows = vocabulary.rows
        wanted = (part.place_of(rows, len(self.embeddings.genes)) for part in self.parts)
        if not any((place != ABSENT).any() for place in wanted):
            raise ScReaderError("none of its genes is wanted.", file=self.name)
        obs = annotated(self.obs, columns.resolved(self.obs, self.name))
        self._tell_of(obs)
        obs.columns |= {
            "total_counts": constant_column(0, np.float32, len(obs)),
            "genes_in_sequence": constant_column(0, np.int32, len(obs)),
        }
        encoding.begin_anndata(file, obs, self._var(vocabulary))
        self._write_embedding(file, rows)
        self._write_sequences(file, vocabulary)

    def _rename(self, new: dict[int, str]) -> None:
        """Give cells that have another's name one of their own."""
        if new:
            self.reporter.info(f"{len(new):,} cell names come again and get -1, -2, …")
            self.obs = replace(self.obs, index=renamed(self.obs.index, new))

    def _tell_of(self, obs: LazyTable) -> None:
        """What the labels lack."""
        if "label" in obs.columns and not obs.columns["label"].categories:
            self.reporter.warning("no cell has a label.")

    def _write_sequences(self, file: h5py.File, vocabulary: Vocabulary) -> None:
        """Both matrices, and what is counted on the way."""

        def work(block: Block) -> Sequences:
            index, weight = sequences(
                block.values, vocabulary.medians, self.construction, block.counts
            )
            most = np.minimum(np.diff(block.values.indptr), width)
            held = float(block.values.data.sum(dtype=np.float64))
            return Sequences(index.astype(index_type), weight, block.totals, most, held)

        cells = len(self.obs)
        width = min(self.construction.genes_per_cell, len(vocabulary.rows))
        shape, lengths = (cells, width), Lengths()
        index_type = np.int16 if len(vocabulary.rows) <= SIXTEEN_BIT_GENES else np.int32
        weight_type = np.float16 if self.construction.weight == "none" else np.float32
        shares = ExpressionCoverage([part.expression.name for part in self.parts])
        everyone, start = np.ones(cells, bool), 0
        with ThreadPoolExecutor(self.threads) as pool:

            def writer(name: str, dtype: type, fill: int) -> chunks.RowWriter:
                stored = encoding.create_filled(file["obsm"], name, shape, dtype, fill, CHUNK)
                return chunks.RowWriter(stored, pool)

            index = writer("gene_index", index_type, NO_GENE)
            weight = writer("gene_weight", weight_type, 0)
            blocks = self._blocks(
                "Writing cells",
                everyone,
                vocabulary.rows,
                work,
                counts=self.construction.needs_counts,
            )
            for number, block in blocks:
                stop = start + len(block.totals)
                file["obs/total_counts"][start:stop] = block.totals
                file["obs/genes_in_sequence"][start:stop] = block.lengths
                lengths.add(block.lengths)
                shares.add(number, block.held, block.totals)
                index.add(block.genes)
                weight.add(block.weights)
                start = stop
            index.finish()
            weight.finish()
        self.reporter.info(f"{vocabulary.told} {shares}.")
        lengths.tell(self.reporter)

    def _var(self, vocabulary: Vocabulary) -> Table:
        genes = self.embeddings.genes.take(vocabulary.rows)
        kept = {
            name: genes.columns[name]
            for name in ("symbol", "gene_id", "ensembl_id", "text")
            if name in genes.columns
        }
        return Table(genes.index, kept | {"median": vocabulary.medians})

    def _write_embedding(self, file: h5py.File, rows: np.ndarray) -> None:
        width = self.embeddings.vectors.shape[1]
        vectors = np.empty((len(rows), width), np.float32)
        order = np.argsort(rows)
        vectors[order] = self.embeddings.vectors[rows[order]] if len(rows) else vectors
        encoding.write_array(file["varm"], "embedding", vectors)
        encoding.write_json(file["uns"], "embedding", self.embeddings.identity)
        encoding.write_json(file["uns"], "construction", self.construction.to_json())


def _sums(block: Block) -> tuple[GeneSums, np.ndarray]:
    """A block's sums over its cells, and their totals."""
    return sums_of(block.values), block.totals


Task = TypeVar("Task")
MOST_THREADS = 8  # each holds a block of cells in memory


def usual_threads() -> int:
    """The processors that this process may use, ``MOST_THREADS`` at most."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        allowed = os.cpu_count() or 1
    return max(1, min(MOST_THREADS, allowed))


def in_order(
    work: Callable[[Task], Result], tasks: Iterable[Task], pool: Executor, ahead: int
) -> Iterator[Result]:
    """``map(work, tasks)`` by the threads of ``pool``, at most ``ahead`` tasks before it is used.

    What a task raises is raised where its result would come.
    """
    running: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            running.append(pool.submit(work, task))
            if len(running) > ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
