"""Expression and gene embeddings to a ``cells`` file, block by block, by several threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import TypeVar

import h5py
import numpy as np

from screader_lib.cells.formats.expression import Span
from screader_lib.cells.gene_names import ABSENT
from screader_lib.cells.gene_statistics import (
    MAX_SAMPLED,
    ExpressionCoverage,
    GeneStatistics,
    sampled_cells,
    sums_of,
)
from screader_lib.cells.input_file import ExpressionBlock, InputFile
from screader_lib.cells.normalisation import KIND_NAMES
from screader_lib.cells.obs_columns import (
    ObsColumns,
    annotated,
    concatenated,
    duplicate_names,
    hashes_of,
    renamed_cells,
)
from screader_lib.cells.sequences import NO_GENE, Construction, rank_genes
from screader_lib.cells.vocabulary import (
    FEW_GENES,
    Embeddings,
    ReferenceGenes,
    Vocabulary,
)
from screader_lib.errors import ScReaderError
from screader_lib.exchange import chunks, encoding
from screader_lib.exchange.table import Table, constant_column
from screader_lib.reporting import SILENT, Reporter

CHUNK = (64, 512)  # cells × genes: a random cell is in few and small chunks
INT16_GENES = 2**15
EMPTY_BARCODE = 50  # counts, below which a barcode is hardly a cell
MAX_THREADS = 8  # each holds a block of cells in memory
Result = TypeVar("Result")


class CellBuilder:
    """Builds the sequences of the selected cells of one or several inputs."""

    def __init__(
        self,
        inputs: Sequence[InputFile],
        embeddings: Embeddings,
        construction: Construction,
        *,
        threads: int | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        self.inputs = inputs
        self.embeddings = embeddings
        self.threads = threads or default_threads()
        self.reporter = reporter
        kept = "none" in (construction.normalise, *(source.normalise for source in inputs))
        normalised = "none" if kept else inputs[0].normalise
        self.construction = replace(construction, normalise=normalised)
        self.names = [source.expression.name for source in inputs]
        self.name = self.names[0] if len(inputs) == 1 else "the inputs"
        for source in inputs:
            if construction.needs_counts and source.kind != "counts":
                raise ScReaderError(
                    f"its values are {KIND_NAMES[source.kind]}, but the weight 'expression' needs "
                    "counts.",
                    file=source.expression.name,
                    remedy="Name the matrix of counts with --layer, or use --weight normalised.",
                )
        self.obs = concatenated(
            [(name, source.obs) for name, source in zip(self.names, inputs, strict=True)]
        )
        hashes = hashes_of(self.obs.index)
        self.sample = sampled_cells(hashes, MAX_SAMPLED)
        new_names = duplicate_names(self.obs.index, hashes)
        if new_names:
            reporter.info(f"{len(new_names):,} repeated cell names get a suffix: -1, -2, …")
            self.obs = replace(self.obs, index=renamed_cells(self.obs.index, new_names))

    @property
    def rows(self) -> np.ndarray:
        """Rows of the embeddings, ascending, that are genes of an input; int32."""
        matched = np.unique(np.concatenate([source.rows for source in self.inputs]))
        return matched[matched != ABSENT]

    def learn_vocabulary(self, min_mapped: float = 0.0) -> Vocabulary:
        """Select genes and take medians, by the cells or a sample of them (one pass).

        ScReaderError where the embedded genes carry less than ``min_mapped`` of an input's
        counts, or none varies.
        """
        rows = self.rows
        statistics = GeneStatistics(len(rows))
        coverage = ExpressionCoverage(self.names)

        def sums(
            block: ExpressionBlock,
        ) -> tuple[ExpressionBlock, np.ndarray, np.ndarray, np.ndarray]:
            return block, *sums_of(block.values)

        for number, (block, *terms) in self._blocks("Reading genes", self.sample, rows, sums):
            statistics.add(block.values, *terms)
            coverage.add(number, block.covered, block.total)
        self.reporter.info(f"embedded genes carry {coverage}.")
        coverage.check(min_mapped)
        selected = np.arange(len(rows))
        if self.construction.select == "variable":
            selected = statistics.most_variable(self.construction.variable_genes)
            if not len(selected):
                raise ScReaderError(
                    "no gene varies between its cells.",
                    file=self.name,
                    remedy="Give more cells, --like, or --select all.",
                )
        medians, means = statistics.medians(selected), statistics.means[selected]
        return Vocabulary(rows[selected], medians, means=means)

    def like(self, reference: ReferenceGenes, min_mapped: float = 0.0) -> Vocabulary:
        """The genes of a reference of the same species.

        ScReaderError where one has no embedding, or an input has less than ``min_mapped`` of them.
        """
        vocabulary, total = reference.vocabulary(self.embeddings), len(reference.ids)
        counts = self._presence(vocabulary).sum(1).tolist()
        for name, count in zip(self.names, counts, strict=True):
            if count < min_mapped * total:
                raise ScReaderError(
                    f"has only {count:,} of the {total:,} genes of {reference.name} (--min-mapped "
                    f"requires {min_mapped:.0%}).",
                    file=name,
                    remedy="Is it of this species, and is --gene-column right?",
                )
        counted = f"{counts[0]:,}"
        if len(counts) > 1:
            pairs = zip(self.names, counts, strict=True)
            counted = " and ".join(f"{count:,} ({name})" for name, count in pairs)
        vocabulary.summary = (
            f"{counted} of the {total:,} genes of {reference.name} are in this sample and carry"
        )
        vocabulary.few = min(counts) < FEW_GENES * total
        return vocabulary

    def _presence(self, vocabulary: Vocabulary) -> np.ndarray:
        """Which genes of the vocabulary each input has, bool (inputs, genes)."""
        present = np.zeros((len(self.inputs), len(vocabulary.rows)), bool)
        for of_input, source in zip(present, self.inputs, strict=True):
            columns = source.columns_of(vocabulary.rows, len(self.embeddings.genes))
            of_input[columns[columns != ABSENT]] = True
        return present

    def write(self, file: h5py.File, vocabulary: Vocabulary, columns: ObsColumns) -> None:
        """Fill a new ``cells`` file, cells in the inputs' order (one pass)."""
        inputs = self._presence(vocabulary).sum(0)
        if not inputs.any():
            raise ScReaderError("has none of the genes of --like.", file=self.name)
        obs = annotated(self.obs, columns.resolved(self.obs, self.name))
        if "label" in obs.columns and not obs.columns["label"].categories:
            self.reporter.warning("no cell has a known label.")
        obs.columns |= {
            "total_counts": constant_column(0, np.float32, len(obs)),
            "genes_in_sequence": constant_column(0, np.int32, len(obs)),
        }
        genes = self.embeddings.genes.take(vocabulary.rows)
        names = ("symbol", "gene_id", "ensembl_id", "text")
        var = {name: genes.columns[name] for name in names if name in genes.columns}
        var["median"] = vocabulary.medians
        if vocabulary.means is not None:
            var["mean"] = vocabulary.means
        var["inputs"] = inputs.astype(np.int32)
        var["share_of_counts"] = np.zeros(len(inputs), np.float32)
        encoding.begin_anndata(file, obs, Table(genes.index, var))
        rows = vocabulary.rows
        vectors = np.empty((len(rows), self.embeddings.vectors.shape[1]), np.float32)
        order = np.argsort(rows)
        vectors[order] = self.embeddings.vectors[rows[order]] if len(rows) else vectors
        encoding.write_array(file["varm"], "embedding", vectors)
        encoding.write_json(file["uns"], "embedding", self.embeddings.identity)
        encoding.write_json(file["uns"], "construction", asdict(self.construction))
        self._write_sequences(file, vocabulary)

    def _write_sequences(self, file: h5py.File, vocabulary: Vocabulary) -> None:
        """Both matrices of obsm, and the totals and lengths of obs."""
        cells, genes = len(self.obs), len(vocabulary.rows)
        width = min(self.construction.genes_per_cell, genes)
        index_type = np.int16 if genes <= INT16_GENES else np.int32
        weight_type = np.float16 if self.construction.weight == "none" else np.float32
        totals, lengths = np.empty(cells, np.float32), np.empty(cells, np.int32)
        coverage, carried = ExpressionCoverage(self.names), np.zeros(genes)

        def build(
            block: ExpressionBlock,
        ) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, float]]:
            index, weight = rank_genes(
                block.values, vocabulary.medians, self.construction, block.counts
            )
            sums = np.bincount(block.values.indices, block.values.data, minlength=genes)
            return index.astype(index_type), weight, block.totals, (sums, block.total)

        blocks = self._blocks(
            "Writing cells",
            np.ones(cells, bool),
            vocabulary.rows,
            build,
            counts=self.construction.needs_counts,
        )
        start = 0
        with ThreadPoolExecutor(self.threads) as pool:

            def writer(name: str, dtype: type, fill: int) -> chunks.RowWriter:
                shape = (cells, width)
                dataset = encoding.create_filled(file["obsm"], name, shape, dtype, fill, CHUNK)
                return chunks.RowWriter(dataset, pool)

            index = writer("gene_index", index_type, NO_GENE)
            weight = writer("gene_weight", weight_type, 0)
            for number, (genes_of, weights, total, (sums, whole)) in blocks:
                index.add(genes_of)
                weight.add(weights)
                stop = start + len(total)
                totals[start:stop], lengths[start:stop] = total, (genes_of >= 0).sum(axis=1)
                coverage.add(number, float(sums.sum()), whole)
                carried += sums
                start = stop
            index.finish()
            weight.finish()
        file["obs/total_counts"][...] = totals
        file["obs/genes_in_sequence"][...] = lengths
        file["var/share_of_counts"][...] = carried / max(coverage.total, 1e-9)
        report = self.reporter.warning if vocabulary.few else self.reporter.info
        report(f"{vocabulary.summary} {coverage}.")
        self.reporter.info(
            f"{len(lengths):,} cells, {lengths.mean():.0f} genes per cell on average "
            f"(range {lengths.min()} to {lengths.max()})."
        )
        if all(source.kind == "counts" for source in self.inputs):
            self._warn_of_empty_barcodes(totals)
        empty = int((lengths == 0).sum())
        if empty:
            self.reporter.warning(
                f"cells without an embedded gene, to be left unassigned: {empty:,}."
            )

    def _warn_of_empty_barcodes(self, totals: np.ndarray) -> None:
        """Warn where most cells, with ``totals`` of counts (cells,), hold next to nothing."""
        empty = int((totals < EMPTY_BARCODE).sum())
        if empty > len(totals) / 2:
            self.reporter.warning(
                f"{empty:,} of {len(totals):,} cells have fewer than {EMPTY_BARCODE} counts: is "
                "the matrix unfiltered? Such barcodes are no cells; leave them out with "
                "--min-counts or --min-genes, or give the filtered matrix."
            )

    def _blocks(
        self,
        title: str,
        mask: np.ndarray,
        rows: np.ndarray,
        process: Callable[[ExpressionBlock], Result],
        *,
        counts: bool = False,
    ) -> Iterator[tuple[int, Result]]:
        """Number of the input and ``process`` of each block, in order.

        ``mask``, boolean (selected cells,), are the cells to read. Genes are those of ``rows`` of
        the embeddings, in their order; ``counts`` asks for these.
        """

        def tasks() -> Iterator[tuple[int, InputFile, Span, np.ndarray, np.ndarray]]:
            first = 0
            for number, source in enumerate(self.inputs):
                own = source.mask.copy()
                own[own] = mask[first : first + source.cells]
                first += source.cells
                columns = source.columns_of(rows, len(self.embeddings.genes))
                for span in source.spans(own):
                    yield number, source, span, own, columns

        def run(
            number: int, source: InputFile, span: Span, own: np.ndarray, columns: np.ndarray
        ) -> tuple[int, Result, int]:
            block = source.read(span, own, columns, len(rows), counts)
            return number, process(block), len(block.totals)

        with (
            ThreadPoolExecutor(self.threads) as pool,
            self.reporter.progress(title, int(mask.sum()), "cells") as advance,
        ):
            for number, result, cells in map_in_order(run, tasks(), pool, self.threads + 1):
                yield number, result
                advance(cells)


def default_threads() -> int:
    """The processors that this process may use, ``MAX_THREADS`` at most."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        allowed = os.cpu_count() or 1
    return max(1, min(MAX_THREADS, allowed))


def map_in_order(
    function: Callable[..., Result], tasks: Iterable[tuple], pool: Executor, ahead: int
) -> Iterator[Result]:
    """``starmap(function, tasks)`` by the threads of ``pool``, at most ``ahead`` tasks in advance.

    What a task raises is raised where its result would come.
    """
    running: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            running.append(pool.submit(function, *task))
            if len(running) > ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
