"""Expression and gene embeddings to a ``cells`` file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from screader_lib.cells import values as value_scale
from screader_lib.cells.annotation import Columns, annotated
from screader_lib.cells.expression import Expression
from screader_lib.cells.matching import ABSENT, GeneMatch, likely_reason, match_genes
from screader_lib.cells.sequences import Construction, mapped, sequences
from screader_lib.cells.statistics import GeneStatistics, median_cells
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.table import Table
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ROWS_PER_CHUNK = 16


@dataclass
class Embeddings:
    """An open gene-embeddings file: its genes, its vectors on disk, its identity."""

    name: str
    genes: Table
    vectors: h5py.Dataset
    identity: dict[str, Any]


@dataclass
class Vocabulary:
    """The genes that cells may have: rows of the embeddings, and medians float32 (genes,)."""

    rows: np.ndarray
    medians: np.ndarray


@dataclass
class Known:
    """Gene choice taken from other cells or a reader: ids, their medians, its construction."""

    name: str
    ids: np.ndarray
    medians: np.ndarray
    construction: Construction

    def vocabulary(self, embeddings: Embeddings) -> Vocabulary:
        """Its genes as rows of the embeddings; ScReaderError where one has no embedding."""
        place = {gene: row for row, gene in enumerate(embeddings.genes.index)}
        missing = [gene for gene in self.ids if gene not in place]
        if missing:
            raise ScReaderError(
                f"{len(missing):,} of the {len(self.ids):,} genes of {self.name} have no "
                f"embedding, such as {missing[0]!r}.",
                file=embeddings.name,
                remedy="Use the embeddings that it was built with.",
            )
        return Vocabulary(np.array([place[gene] for gene in self.ids], np.int64), self.medians)


class CellBuilder:
    """Builds the sequences of the chosen cells of one expression source."""

    def __init__(
        self,
        expression: Expression,
        embeddings: Embeddings,
        construction: Construction,
        *,
        chosen: np.ndarray | None = None,
        value_kind: str = "auto",
        min_mapped: float = 0.1,
        reporter: Reporter = SILENT,
    ) -> None:
        self.expression = expression
        self.embeddings = embeddings
        self.construction = construction
        self.reporter = reporter
        everyone = np.ones(len(expression.obs), bool)
        self.chosen = everyone if chosen is None else chosen
        self.values = value_scale.ValueKind(value_kind, expression.name)
        if not self.chosen.any() or not len(expression.genes):
            raise ScReaderError("holds no cells or no genes.", file=expression.name)
        self.match = self._matched(min_mapped)

    def _matched(self, min_mapped: float) -> GeneMatch:
        names, genes = self.expression.genes.index, self.embeddings.genes
        match = match_genes(names, genes)
        share = match.matched / len(names)
        ways = ", ".join(f"{count:,} by {way}" for way, count in match.how.most_common())
        self.reporter.say(f"{match.matched:,} of {len(names):,} genes have an embedding ({ways}).")
        if not match.matched or share < min_mapped:
            raise ScReaderError(
                f"only {match.matched:,} of {len(names):,} genes have an embedding "
                f"(--min-mapped wants {min_mapped:.0%}).",
                file=self.expression.name,
                remedy=likely_reason(names, genes),
            )
        return match

    def _blocks(self, task: str) -> Iterator[tuple[slice, csr_matrix, np.ndarray]]:
        """Chosen cells block by block: place in the output, normalised values, totals."""
        start = place = 0
        total = int(self.chosen.sum())
        with self.reporter.progress(task, total, "cells") as advance:
            for whole in self.expression.blocks():
                chosen = self.chosen[start : start + whole.shape[0]]
                start += whole.shape[0]
                block = whole if chosen.all() else whole[chosen]
                known = self.values.known
                normalised, totals = value_scale.normalised(block, self.values.of(block))
                if self.values.known != known:
                    self.reporter.say(f"values are taken as {self.values.known}.")
                size = block.shape[0]
                yield slice(place, place + size), normalised, totals
                place += size
                advance(size)

    def learn_vocabulary(self) -> Vocabulary:
        """Choose genes and take medians from the chosen cells themselves (one pass)."""
        rows, place = self._columns_of(np.unique(self.match.rows[self.match.rows != ABSENT]))
        statistics = GeneStatistics(len(rows))
        for_median = median_cells(self.expression.obs.index[self.chosen])
        everything = matched_total = 0.0
        for where, block, totals in self._blocks("Reading genes"):
            genes = mapped(block, place, len(rows))
            statistics.add(genes, for_median[where])
            everything += float(np.count_nonzero(totals)) * value_scale.TARGET_SUM
            matched_total += float(genes.data.sum(dtype=np.float64))
        share = matched_total / max(everything, 1e-9)
        self.reporter.say(f"these genes hold {share:.1%} of the expression.")
        picked = np.arange(len(rows))
        if self.construction.select == "variable":
            picked = statistics.most_variable(self.construction.variable_genes)
            if not len(picked):
                raise ScReaderError(
                    "no gene varies between its cells.",
                    file=self.expression.name,
                    remedy="Use --select all.",
                )
        return Vocabulary(rows[picked], statistics.medians()[picked])

    def _columns_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embedding rows, and for each input gene its place among them or −1."""
        place_of_row = np.full(len(self.embeddings.genes), ABSENT, np.int32)
        place_of_row[rows] = np.arange(len(rows))
        return rows, np.where(
            self.match.rows == ABSENT, ABSENT, place_of_row[self.match.rows]
        ).astype(np.int32)

    def write(self, file: h5py.File, vocabulary: Vocabulary, columns: Columns) -> None:
        """Fill a new ``cells`` file, cells in the input's order (one pass)."""
        rows, place = self._columns_of(vocabulary.rows)
        if not (place != ABSENT).any():
            raise ScReaderError("none of its genes is wanted.", file=self.expression.name)
        obs = self.expression.obs.take(np.flatnonzero(self.chosen))
        obs = annotated(obs, columns.found_in(obs, self.expression.name))
        total_counts = np.zeros(len(obs), np.float32)
        lengths = np.zeros(len(obs), np.int32)
        obs.columns |= {"total_counts": total_counts, "genes_in_sequence": lengths}
        encoding.begin_anndata(file, obs, self._var(vocabulary))
        self._write_embedding(file, rows)
        width = min(self.construction.genes_per_cell, len(rows))
        shape = (len(obs), width)
        index = encoding.create_rows(file["obsm"], "gene_index", shape, np.int32, ROWS_PER_CHUNK)
        weight = encoding.create_rows(
            file["obsm"], "gene_weight", shape, np.float32, ROWS_PER_CHUNK
        )
        for where, block, totals in self._blocks("Writing cells"):
            genes = mapped(block, place, len(rows))
            index[where], weight[where] = sequences(genes, vocabulary.medians, self.construction)
            total_counts[where] = totals
            lengths[where] = np.minimum(np.diff(genes.indptr), width)
        file["obs/total_counts"][...] = total_counts
        file["obs/genes_in_sequence"][...] = lengths
        self._report(lengths)

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

    def _report(self, lengths: np.ndarray) -> None:
        empty = int((lengths == 0).sum())
        self.reporter.say(
            f"{len(lengths):,} cells with {lengths.mean():.0f} genes on average "
            f"({lengths.min()} to {lengths.max()})."
        )
        if empty:
            self.reporter.warn(f"{empty:,} cells have no known gene and stay unassigned.")
