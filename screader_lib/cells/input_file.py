"""One input of cells, ready to be read: which of its cells, what its values are, which genes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from screader_lib.cells import normalisation as value_scale
from screader_lib.cells.formats.expression import Expression, Span
from screader_lib.cells.gene_names import (
    ABSENT,
    GeneMatch,
    likely_reason,
    match_genes,
    usual_columns,
)
from screader_lib.cells.sequences import mapped
from screader_lib.errors import ScReaderError
from screader_lib.exchange.lazy_table import LazyTable
from screader_lib.exchange.table import Table
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Block(NamedTuple):
    """Some cells: normalised values float32 (cells, genes) and totals float64 (cells,).

    ``counts`` (values,), where asked for, are the same values as they were.
    """

    values: csr_matrix
    totals: np.ndarray
    counts: np.ndarray | None = None


@dataclass
class InputFile:
    """``chosen`` boolean (cells,) of one ``expression``; ``rows`` int32 (its genes,), −1 unknown.

    ``kind`` is what its values are, ``asked`` what they were said to be.
    """

    expression: Expression
    rows: np.ndarray
    chosen: np.ndarray
    kind: str
    asked: str

    @property
    def cells(self) -> int:
        """How many cells are chosen."""
        return int(self.chosen.sum())

    @property
    def obs(self) -> LazyTable:
        """The table of the chosen cells."""
        obs = self.expression.obs
        return obs if self.chosen.all() else obs.take(np.flatnonzero(self.chosen))

    def place_of(self, rows: np.ndarray, known: int) -> np.ndarray:
        """For each gene of the input its place among ``rows`` of ``known`` embeddings, or −1."""
        place = np.full(known + 1, ABSENT, np.int32)  # the last is where −1 leads
        place[rows] = np.arange(len(rows), dtype=np.int32)
        return place[self.rows]

    def spans(self, cells: np.ndarray) -> Iterator[Span]:
        """The spans in which one of ``cells``, boolean (cells of the input,), lies."""
        for start, stop in self.expression.spans():
            if cells[start:stop].any():
                yield start, stop

    def reader(
        self, cells: np.ndarray, place: np.ndarray, genes: int, *, counts: bool = False
    ) -> Callable[[Span], Block]:
        """What reads a span's ``cells``, with their genes at ``place`` among ``genes``."""
        return partial(self._read, cells, place, genes, counts)

    def _read(
        self, cells: np.ndarray, place: np.ndarray, genes: int, counts: bool, span: Span
    ) -> Block:
        block = self.expression.read(*span)
        wanted = cells[slice(*span)]
        if not wanted.all():
            block = block[np.flatnonzero(wanted)]
        kind = self.kind
        value_scale.check_kind(block.data, kind, self.asked, self.expression.name)
        totals = value_scale.totals_of(block, kind)

        def rescaled(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
            return value_scale.scaled(values, owner, totals, kind)

        values = mapped(block, place, genes, rescaled)
        return Block(values, totals, mapped(block, place, genes).data if counts else None)


def prepare_input(
    expression: Expression,
    genes: Table,
    chosen: np.ndarray | None = None,
    value_kind: str = "auto",
    min_mapped: float = 0.1,
    reporter: Reporter = SILENT,
    told_as: str = "",
) -> InputFile:
    """An input matched to the embedded ``genes``; messages begin with ``told_as``.

    ScReaderError where it holds no gene, too few of its genes are embedded, or its values are no
    expression. An input none of whose cells is chosen is kept, empty.
    """
    wanted = np.ones(len(expression.obs), bool) if chosen is None else chosen
    if not len(wanted) or not len(expression.genes):
        raise ScReaderError("holds no cells or no genes.", file=expression.name)
    match = _matched(expression, genes, min_mapped, reporter, told_as)
    part = InputFile(expression, match.rows, wanted, "counts", value_kind)
    blocks = (
        expression.read(start, stop)[np.flatnonzero(wanted[start:stop])]
        for start, stop in part.spans(wanted)
    )
    part.kind = value_scale.kind_of(blocks, value_kind, expression.name)
    reporter.info(f"{told_as}values are taken as {part.kind}.")
    return part


def _matched(
    expression: Expression, genes: Table, min_mapped: float, reporter: Reporter, told_as: str
) -> GeneMatch:
    match, by = best_match(expression.genes, genes)
    total = len(match.rows)
    ways = ", ".join(f"{count:,} by {way}" for way, count in match.how.most_common())
    named = f" of {by}" if by else ""
    reporter.info(
        f"{told_as}{match.matched:,} of {total:,} genes have an embedding "
        f"({ways or 'none'}{named})."
    )
    shared = match.matched - len(np.unique(match.rows[match.rows != ABSENT]))
    if shared:
        reporter.info(
            f"{told_as}{shared:,} genes share the embedding of another; their values are added up."
        )
    if not match.matched or match.matched < min_mapped * total:
        raise ScReaderError(
            f"only {match.matched:,} of {total:,} genes have an embedding "
            f"(--min-mapped wants {min_mapped:.0%}).",
            file=expression.name,
            remedy=likely_reason(expression.genes.index, genes),
        )
    return match


def best_match(own: Table, genes: Table) -> tuple[GeneMatch, str]:
    """The match by the index, or by the column of names that matches most genes, and that column.

    A column is taken only where the index matches fewer than half of the genes.
    """
    match, by = match_genes(own.index, genes), ""
    if match.matched * 2 >= len(own):
        return match, by
    for column in usual_columns(own):
        other = match_genes(own.strings(column), genes)
        if other.matched > match.matched:
            match, by = other, column
    return match, by
