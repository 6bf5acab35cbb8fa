"""Expression and gene embeddings to a ``cells`` file, block by block, by several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np

from screader_lib.cells.fold_sequences import CHUNK, INT16_GENES, FoldBlock, FoldGenes, FoldWriter
from screader_lib.cells.folds import FOLD_COLUMN, FoldPlan, plan_folds
from screader_lib.cells.formats.expression import Span
from screader_lib.cells.gene_names import ABSENT, GENE_NAMES
from screader_lib.cells.gene_statistics import (
    MAX_SAMPLED,
    ExpressionCoverage,
    GeneStatistics,
    sampled_cells,
    sums_of,
)
from screader_lib.cells.input_file import ExpressionBlock, InputFile
from screader_lib.cells.normalisation import KIND_NAMES
from screader_lib.cells.obs.columns import (
    ObsColumns,
    annotated,
    concatenated,
    duplicate_names,
    hashes_of,
    may_repeat,
    renamed_cells,
    unknown_column,
)
from screader_lib.cells.obs.labels import Labels
from screader_lib.cells.sequences import NO_GENE, Construction, rank_genes, sequence_weights
from screader_lib.cells.vocabulary import (
    FEW_GENES,
    Embeddings,
    ReferenceGenes,
    Vocabulary,
)
from screader_lib.errors import ScReaderError
from screader_lib.exchange import chunks, encoding
from screader_lib.exchange.table import LazyColumn, LazyTable, Table, constant_column
from screader_lib.reporting import SILENT, Reporter
from screader_lib.threads import default_threads, map_in_order

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

EMPTY_BARCODE = 50  # counts, below which a barcode is hardly a cell
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
        self.plan: FoldPlan | None = None
        self.fold_of = np.zeros(0, np.int32)
        if may_repeat(self.obs.index) and (
            new_names := duplicate_names(self.obs.index, self.hashes)
        ):
            reporter.info(f"{len(new_names):,} repeated cell names get a suffix: -1, -2, …")
            self.obs = replace(self.obs, index=renamed_cells(self.obs.index, new_names))

    @cached_property
    def hashes(self) -> np.ndarray:
        """Of the cells' names as their inputs have them, uint64 (cells,)."""
        return hashes_of(self.obs.index)

    @property
    def rows(self) -> np.ndarray:
        """Rows of the embeddings, ascending, that are genes of an input; int32."""
        matched = np.unique(np.concatenate([source.rows for source in self.inputs]))
        return matched[matched != ABSENT]

    def plan_folds(self, columns: ObsColumns, count: int, group_by: str, seed: int) -> None:
        """Hold cells out in folds, so that the vocabulary has genes of each fold's training cells.

        See :func:`folds.plan_folds`. ScReaderError where there is no column ``group_by``.
        """
        obs = self._annotated(columns)
        if group_by and group_by not in obs.columns:
            raise unknown_column(f"--group-by {group_by}", group_by, obs)
        read = {
            name: obs.columns[name].load() for name in ("label", group_by) if name in obs.columns
        }
        table = Table(np.arange(len(obs)), read)
        self.plan, self.fold_of = plan_folds(table, count, group_by, seed, self.name)
        self.reporter.info(f"{self.plan}: genes are also selected for each, without its cells.")

    def _annotated(self, columns: ObsColumns) -> LazyTable:
        return annotated(self.obs, columns.resolved(self.obs, self.name))

    def _samples(self) -> list[np.ndarray]:
        """Cells that genes are learnt from, int64: of all cells, and of those outside each fold."""
        folds = range(1, self.plan.count + 1) if self.plan else ()
        training = (np.flatnonzero(self.fold_of != fold) for fold in folds)
        return [
            cells[sampled_cells(self.hashes[cells], MAX_SAMPLED)]
            for cells in (np.arange(len(self.hashes)), *training)
        ]

    def learn_vocabulary(self, min_mapped: float = 0.0) -> Vocabulary:
        """Select genes and take medians, by the cells or a sample of them (one pass).

        ScReaderError where the embedded genes carry less than ``min_mapped`` of an input's
        counts, or none varies.
        """
        rows, samples = self.rows, self._samples()
        read = np.unique(np.concatenate(samples))
        mask = np.zeros(len(self.hashes), bool)
        mask[read] = True
        members = np.stack([np.isin(read, sample) for sample in samples]) if self.plan else None
        statistics = GeneStatistics(len(rows), members)
        coverage = ExpressionCoverage(self.names)

        def sums(block: ExpressionBlock, cells: slice) -> tuple[ExpressionBlock, np.ndarray, list]:
            return block, *sums_of(block.values, None if members is None else members[:, cells])

        for number, (block, total, of_others) in self._blocks("Reading genes", mask, rows, sums):
            statistics.add(block.values, total, of_others)
            coverage.add(number, block.covered, block.total)
        self.reporter.info(f"embedded genes carry {coverage}.")
        coverage.check(min_mapped)
        selected = [np.arange(len(rows))] * len(samples)
        if self.construction.select == "variable":
            count = self.construction.variable_genes
            selected = [statistics.most_variable(count, number) for number in range(len(samples))]
            for number, genes in enumerate(selected):
                if not len(genes):
                    raise ScReaderError(
                        "no gene varies between its cells"
                        + (f" without those of fold {number}." if number else "."),
                        file=self.name,
                        remedy="Give more cells, --like, or --select all.",
                    )
        every = np.unique(np.concatenate(selected))
        medians = statistics.medians(every)
        whole, *folds = (
            Vocabulary(
                rows[genes],
                medians[number, np.searchsorted(every, genes)],
                means=statistics.means(number)[genes],
            )
            for number, genes in enumerate(selected)
        )
        return replace(whole, folds=tuple(folds))

    def like(self, reference: ReferenceGenes, min_mapped: float = 0.0) -> Vocabulary:
        """The genes of a reference of the same species.

        ScReaderError where one has no embedding, or an input has less than ``min_mapped`` of them.
        """
        vocabulary, total = reference.vocabulary(self.embeddings), len(reference.ids)
        counts = self.presence(vocabulary).sum(1).tolist()
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

    def presence(self, vocabulary: Vocabulary) -> np.ndarray:
        """Which genes of the vocabulary each input has, bool (inputs, genes)."""
        present = np.zeros((len(self.inputs), len(vocabulary.rows)), bool)
        for of_input, source in zip(present, self.inputs, strict=True):
            columns = source.columns_of(vocabulary.rows, len(self.embeddings.genes))
            of_input[columns[columns != ABSENT]] = True
        return present

    def gene_table(self, vocabulary: Vocabulary) -> Table:
        """The vocabulary's table, with how many inputs have each gene; no gene carries counts."""
        genes = self.embeddings.genes.take(vocabulary.rows)
        names = (*GENE_NAMES, "text")
        var = {name: genes.columns[name] for name in names if name in genes.columns}
        var["median"] = vocabulary.medians
        if vocabulary.means is not None:
            var["mean"] = vocabulary.means
        var["inputs"] = self.presence(vocabulary).sum(0).astype(np.int32)
        var["share_of_counts"] = np.zeros(len(vocabulary.rows), np.float32)
        return Table(genes.index, var)

    def gene_vectors(self, vocabulary: Vocabulary) -> np.ndarray:
        """The embedding of the vocabulary, float32 (genes, dim)."""
        rows = vocabulary.rows
        vectors = np.empty((len(rows), self.embeddings.vectors.shape[1]), np.float32)
        order = np.argsort(rows)
        vectors[order] = self.embeddings.vectors[rows[order]] if len(rows) else vectors
        return vectors

    def map_weights(
        self, vocabulary: Vocabulary, process: Callable[[slice, csr_matrix], Result]
    ) -> Iterator[Result]:
        """``process`` of each block of cells and their weights, in order, without a file.

        Weights are those that :meth:`write` would store, CSR float32 (cells, genes); several
        threads process at a time. Reports and raises as :meth:`write` does.
        """
        self._check_presence(vocabulary)
        summary = _Summary(self, vocabulary)

        def weigh(block: ExpressionBlock, cells: slice) -> tuple[Result, tuple[Any, ...]]:
            weights = sequence_weights(
                block.values, vocabulary.medians, self.construction, block.counts
            )
            weights.data.setflags(write=False)
            lengths = np.diff(weights.indptr)
            return process(cells, weights), (block.totals, lengths, block.covered, block.total)

        blocks = self._blocks(
            "Reading cells",
            np.ones(len(self.obs), bool),
            vocabulary.rows,
            weigh,
            counts=self.construction.needs_counts,
        )
        for number, (result, sums) in blocks:
            summary.add(number, *sums)
            yield result
        summary.report()

    def _check_presence(self, vocabulary: Vocabulary) -> None:
        if not self.presence(vocabulary).any():
            raise ScReaderError("has none of the genes of --like.", file=self.name)

    def write(self, file: h5py.File, vocabulary: Vocabulary, columns: ObsColumns) -> None:
        """Fill a new ``cells`` file, cells in the inputs' order (one pass)."""
        self._check_presence(vocabulary)
        obs = self._annotated(columns)
        if columns.label is not None:
            labels = Labels.of(self.obs.column(columns.label))
            labels.report(columns.label, columns.merge_labels, self.reporter)
            if not labels.known:
                self.reporter.warning("no cell has a known label.")
        obs.columns |= {
            "total_counts": constant_column(0, np.float32, len(obs)),
            "genes_in_sequence": constant_column(0, np.int32, len(obs)),
        }
        if self.plan:
            obs.columns[FOLD_COLUMN] = LazyColumn.of(self.fold_of)
        encoding.begin_anndata(file, obs, self.gene_table(vocabulary))
        encoding.write_array(file["varm"], "embedding", self.gene_vectors(vocabulary))
        encoding.write_json(file["uns"], "embedding", self.embeddings.identity)
        encoding.write_json(file["uns"], "construction", asdict(self.construction))
        if self.plan:
            encoding.write_json(file["uns"], "folds", self.plan.to_json())
        self._write_sequences(file, vocabulary)

    def _write_sequences(self, file: h5py.File, vocabulary: Vocabulary) -> None:
        """The matrices of obsm, and the totals and lengths of obs."""
        cells, genes = len(self.obs), len(vocabulary.rows)
        width = min(self.construction.genes_per_cell, genes)
        index_type = np.int16 if genes <= INT16_GENES else np.int32
        weight_type = np.float16 if self.construction.weight == "none" else np.float32
        summary, carried = _Summary(self, vocabulary), np.zeros(genes)
        folds = FoldGenes.of(vocabulary.folds) if vocabulary.folds else None
        rows = vocabulary.rows if folds is None else np.union1d(vocabulary.rows, folds.rows)
        fold_writer: FoldWriter | None = None

        def build(
            block: ExpressionBlock, _: slice
        ) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, float], FoldBlock | None]:
            of_folds = None
            if folds is not None and fold_writer is not None:
                of_folds = fold_writer.prepare(block.take_genes(np.searchsorted(rows, folds.rows)))
                block = block.take_genes(np.searchsorted(rows, vocabulary.rows))
            index, weight = rank_genes(
                block.values, vocabulary.medians, self.construction, block.counts
            )
            sums = np.bincount(block.values.indices, block.values.data, minlength=genes)
            whole = sums, block.total
            return index.astype(index_type), weight, block.totals, whole, of_folds

        blocks = self._blocks(
            "Writing cells",
            np.ones(cells, bool),
            rows,
            build,
            counts=self.construction.needs_counts,
        )
        with ThreadPoolExecutor(self.threads) as pool:
            if folds is not None:
                fold_writer = FoldWriter(
                    file, folds, self.embeddings, self.construction, cells, pool
                )

            def writer(name: str, dtype: type, fill: int) -> chunks.RowWriter:
                shape = (cells, width)
                dataset = encoding.create_filled(file["obsm"], name, shape, dtype, fill, CHUNK)
                return chunks.RowWriter(dataset, pool)

            index = writer("gene_index", index_type, NO_GENE)
            weight = writer("gene_weight", weight_type, 0)
            for number, (genes_of, weights, total, (sums, whole), of_folds) in blocks:
                index.add(genes_of)
                weight.add(weights)
                if fold_writer is not None and of_folds is not None:
                    fold_writer.add(of_folds)
                summary.add(number, total, (genes_of >= 0).sum(axis=1), float(sums.sum()), whole)
                carried += sums
            index.finish()
            weight.finish()
            if fold_writer is not None:
                fold_writer.finish()
        file["obs/total_counts"][...] = summary.totals
        file["obs/genes_in_sequence"][...] = summary.lengths
        file["var/share_of_counts"][...] = carried / max(summary.coverage.total, 1e-9)
        summary.report()

    def _blocks(
        self,
        title: str,
        mask: np.ndarray,
        rows: np.ndarray,
        process: Callable[[ExpressionBlock, slice], Result],
        *,
        counts: bool = False,
    ) -> Iterator[tuple[int, Result]]:
        """Number of the input and ``process`` of each block and its cells, in order.

        ``mask``, boolean (selected cells,), are the cells to read, numbered as they are read.
        Genes are those of ``rows`` of the embeddings, in their order; ``counts`` asks for these.
        """

        def tasks() -> Iterator[tuple[int, InputFile, Span, slice, np.ndarray, np.ndarray]]:
            first = read = 0
            for number, source in enumerate(self.inputs):
                own = source.mask.copy()
                own[own] = mask[first : first + source.cells]
                first += source.cells
                columns = source.columns_of(rows, len(self.embeddings.genes))
                for span in source.spans(own):
                    cells = slice(read, read + int(own[slice(*span)].sum()))
                    read = cells.stop
                    yield number, source, span, cells, own, columns

        def run(
            number: int,
            source: InputFile,
            span: Span,
            cells: slice,
            own: np.ndarray,
            columns: np.ndarray,
        ) -> tuple[int, Result, int]:
            block = source.read(span, own, columns, len(rows), counts)
            return number, process(block, cells), len(block.totals)

        with (
            ThreadPoolExecutor(self.threads) as pool,
            self.reporter.progress(title, int(mask.sum()), "cells") as advance,
        ):
            for number, result, cells in map_in_order(run, tasks(), pool, self.threads + 1):
                yield number, result
                advance(cells)


class _Summary:
    """What is said of the cells once they are built, which come block by block."""

    def __init__(self, builder: CellBuilder, vocabulary: Vocabulary) -> None:
        self.vocabulary, self.reporter = vocabulary, builder.reporter
        self.of_counts = all(source.kind == "counts" for source in builder.inputs)
        self.totals = np.empty(len(builder.obs), np.float32)
        self.lengths = np.empty(len(builder.obs), np.int32)
        self.coverage = ExpressionCoverage(builder.names)
        self._cells = 0

    def add(
        self, number: int, totals: np.ndarray, lengths: np.ndarray, covered: float, whole: float
    ) -> None:
        """The next cells, of input ``number``: their totals and how many genes each has."""
        stop = self._cells + len(totals)
        self.totals[self._cells : stop], self.lengths[self._cells : stop] = totals, lengths
        self.coverage.add(number, covered, whole)
        self._cells = stop

    def report(self) -> None:
        """Tell how many genes the cells have, and which have none or next to no counts."""
        lengths = self.lengths
        report = self.reporter.warning if self.vocabulary.few else self.reporter.info
        report(f"{self.vocabulary.summary} {self.coverage}.")
        self.reporter.info(
            f"{len(lengths):,} cells, {lengths.mean():.0f} genes per cell on average "
            f"(range {lengths.min()} to {lengths.max()})."
        )
        if self.of_counts:
            self._warn_of_empty_barcodes()
        empty = int((lengths == 0).sum())
        if empty:
            self.reporter.warning(
                f"cells without an embedded gene, to be left unassigned: {empty:,}."
            )

    def _warn_of_empty_barcodes(self) -> None:
        """Warn where most cells hold next to nothing."""
        empty = int((self.totals < EMPTY_BARCODE).sum())
        if empty > len(self.totals) / 2:
            self.reporter.warning(
                f"{empty:,} of {len(self.totals):,} cells have fewer than {EMPTY_BARCODE} counts: "
                "is the matrix unfiltered? Such barcodes are not cells; leave them out with "
                "--min-counts or --min-genes, or give the filtered matrix."
            )
