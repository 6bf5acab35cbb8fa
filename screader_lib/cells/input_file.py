"""One input of ``build-cells``: its selected cells, its genes' embeddings, its kind of values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from screader_lib.cells import normalisation
from screader_lib.cells.formats.expression import Expression, Span
from screader_lib.cells.gene_names import ABSENT, NameMatch, best_match, likely_reason
from screader_lib.cells.sequences import map_genes
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import LazyTable, Table
from screader_lib.reporting import SILENT, Reporter, counted

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

COUNTS = "counts"  # the usual name of a layer with these
FEW_MATCHED = 0.5  # of the genes, below which it is warned of
HOW_NORMALISED = {
    "totals": f"normalised to {normalisation.TARGET_SUM:,.0f} over all genes of the file",
    "reader": "normalised so that the genes shared with --like add up to what they do there",
    "none": "kept as given, not normalised again",
}


class ExpressionBlock(NamedTuple):
    """Some cells: normalised values float32 (cells, genes) and totals float64 (cells,).

    ``total`` is the sum of the normalised values of all genes of the file; ``counts`` (values,),
    where asked for, are the same values as stored.
    """

    values: csr_matrix
    totals: np.ndarray
    total: float
    counts: np.ndarray | None = None

    def take_values(self, kept: np.ndarray) -> ExpressionBlock:
        """With only the values of ``kept``, bool (values,)."""
        from scipy.sparse import csr_matrix as rows

        ends = np.concatenate([[0], np.cumsum(kept)])[self.values.indptr]
        parts = self.values.data[kept], self.values.indices[kept], ends
        counts = None if self.counts is None else self.counts[kept]
        return self._replace(values=rows(parts, self.values.shape), counts=counts)

    def take_genes(self, genes: np.ndarray) -> ExpressionBlock:
        """With only these genes, int (genes,), ascending."""
        from scipy.sparse import csr_matrix as rows

        index_of = np.full(self.values.shape[1], ABSENT, np.int32)
        index_of[genes] = np.arange(len(genes), dtype=np.int32)
        part = self.take_values(index_of[self.values.indices] != ABSENT)
        indices, shape = index_of[part.values.indices], (self.values.shape[0], len(genes))
        values = rows((part.values.data, indices, part.values.indptr), shape)
        return part._replace(values=values)

    @property
    def covered(self) -> float:
        """Sum of the normalised values."""
        return float(self.values.data.sum(dtype=np.float64))


@dataclass
class InputFile:
    """``expression`` of which ``mask``, boolean (cells,), selects the cells.

    ``rows`` int32 (its genes,) are those of their embeddings, −1 for none; ``kind`` is what its
    values are, ``requested_kind`` that of ``--values``; ``normalise`` is ``totals``,
    ``reader`` or ``none``; ``means`` float32 (genes of --like,) are those that ``reader`` needs.
    """

    expression: Expression
    rows: np.ndarray
    mask: np.ndarray
    kind: str
    requested_kind: str
    normalise: str = "totals"
    means: np.ndarray | None = None

    @property
    def cells(self) -> int:
        """How many cells are selected."""
        return int(self.mask.sum())

    @property
    def obs(self) -> LazyTable:
        """The table of the selected cells."""
        obs = self.expression.obs
        return obs if self.mask.all() else obs.take(np.flatnonzero(self.mask))

    def columns_of(self, rows: np.ndarray, embedded: int) -> np.ndarray:
        """For each gene its index among ``rows`` of the ``embedded`` genes, or −1; int32."""
        index_of = np.full(embedded + 1, ABSENT, np.int32)  # the last is for −1
        index_of[rows] = np.arange(len(rows), dtype=np.int32)
        return index_of[self.rows]

    def spans(self, mask: np.ndarray) -> Iterator[Span]:
        """The spans that hold a cell of ``mask``, boolean (cells of the file,)."""
        return (span for span in self.expression.spans() if mask[slice(*span)].any())

    def read(
        self, span: Span, mask: np.ndarray, columns: np.ndarray, genes: int, counts: bool = False
    ) -> ExpressionBlock:
        """A span's cells of ``mask``; each gene of the file becomes one of ``columns``."""
        block = self.expression.read(*span)
        selected = mask[slice(*span)]
        if not selected.all():
            block = block[np.flatnonzero(selected)]
        with naming_layers(self.expression):
            name = self.expression.name
            normalisation.check_kind(block.data, self.kind, self.requested_kind, name)
        totals = normalisation.totals_of(block, self.kind)
        scales = self._scales(block, totals, columns)

        def rescale(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
            return normalisation.rescaled(values, cells, scales, self.kind)

        values = map_genes(block, columns, genes, rescale)
        raw = map_genes(block, columns, genes).data if counts else None
        return ExpressionBlock(values, totals, float(totals @ scales), raw)

    def _scales(self, block: csr_matrix, totals: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What each cell's values are multiplied by, float64 (cells,)."""
        if self.normalise == "none":
            return normalisation.scales(totals, None)
        if self.normalise == "totals":
            return normalisation.scales(totals, normalisation.TARGET_SUM)
        assert self.means is not None
        shared = columns != ABSENT
        expected = float(self.means[np.unique(columns[shared])].sum(dtype=np.float64))
        return normalisation.scales(normalisation.totals_of(block[:, shared], self.kind), expected)


def prepare_input(
    expression: Expression,
    genes: Table,
    mask: np.ndarray | None = None,
    value_kind: str = "auto",
    normalise: str = "auto",
    min_mapped: float = 0.1,
    reporter: Reporter = SILENT,
    prefix: str = "",
    means: np.ndarray | None = None,
    of_reader: bool = False,
) -> InputFile:
    """An input matched to the embedded ``genes``; messages begin with ``prefix``.

    ``means`` are those of ``--like``, where it has some; ``of_reader`` says that ``genes`` are
    only some of the species' genes, those of a reader.
    ScReaderError where it holds no gene, too few of its genes are embedded, or its values are no
    expression. An input without a selected cell is empty, and no error.
    """
    mask = np.ones(len(expression.obs), bool) if mask is None else mask
    if not len(mask) or not len(expression.genes):
        raise ScReaderError("holds no cells or no genes.", file=expression.name)
    reporter.info(f"{prefix}{expression.summary}.")
    match = _match_genes(expression, genes, min_mapped, reporter, prefix, of_reader)
    result = InputFile(expression, match.rows, mask, "counts", value_kind)
    block = normalisation.first_values(
        expression.read(start, stop)[np.flatnonzero(mask[start:stop])]
        for start, stop in result.spans(mask)
    )
    name = expression.name
    if block is None and mask.any():
        others = ", ".join(expression.layers)
        raise ScReaderError(
            "all values of the selected cells are 0.",
            file=name,
            remedy=f"Name another matrix with --layer: {others}." if others else "",
        )
    with naming_layers(expression):
        kind = normalisation.detect_kind(block, value_kind, name, expression.log_base)
    result.kind = kind
    result.normalise = normalisation.choose_normalisation(block, kind, normalise)
    result.means = means
    reporter.info(
        f"{prefix}values are read as {normalisation.KIND_NAMES[kind]}, "
        f"{HOW_NORMALISED[result.normalise]}."
    )
    if kind != "counts" and COUNTS in expression.layers:
        reporter.info(f"{prefix}there is also a matrix {COUNTS} (--layer {COUNTS}).")
    return result


@contextmanager
def naming_layers(expression: Expression) -> Iterator[None]:
    """Add to an error of wrong values which other matrices there are."""
    try:
        yield
    except normalisation.WrongValues as error:
        if not expression.layers:
            raise
        others = ", ".join(expression.layers)
        raise ScReaderError(f"{error} Other matrices, for --layer: {others}.") from error


def _match_genes(
    expression: Expression,
    genes: Table,
    min_mapped: float,
    reporter: Reporter,
    prefix: str,
    of_reader: bool,
) -> NameMatch:
    match, column = best_match(expression.genes, genes)
    match = match.without_aliases() if of_reader else match
    known_as = "are genes of the reader" if of_reader else "have an embedding"
    matched, total = match.matched, len(match.rows)
    ways = ", ".join(f"{count:,} by {way}" for way, count in match.counts.most_common())
    source = f" of {column}" if column else ""
    said = f"{prefix}{matched:,} of {total:,} genes {known_as} ({ways or 'none'}{source})."
    few = not of_reader and matched < total * FEW_MATCHED
    reason = likely_reason(expression.genes.index, genes) if few else ""
    if few and matched >= min_mapped * total:
        reporter.warning(f"{said} {reason}")
    else:
        reporter.info(said)
    shared = matched - len(np.unique(match.rows[match.rows != ABSENT]))
    if shared:
        reporter.info(
            f"{prefix}{counted(shared, 'gene')} with the embedding of another, to whose values "
            "theirs are added."
        )
    if not matched or matched < min_mapped * total:
        raise ScReaderError(
            f"only {matched:,} of {total:,} genes {known_as}"
            + (f" (--min-mapped requires {min_mapped:.0%})." if min_mapped else "."),
            file=expression.name,
            remedy=reason or likely_reason(expression.genes.index, genes),
        )
    return match
