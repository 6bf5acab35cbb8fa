"""A sample's cells by their own genes: no reader, and no texts, say which these are."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import h5py
import numpy as np

from screader_lib.annotation.sample import NO_LABELS, SampleOptions
from screader_lib.cells.cell_builder import CellBuilder
from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.gene_names import GENE_NAMES, NAME_COLUMNS, named_by_column
from screader_lib.cells.input_file import prepare_input
from screader_lib.cells.obs.selection import CellSelection, select_cells
from screader_lib.cells.sequences import Construction
from screader_lib.cells.vocabulary import Embeddings
from screader_lib.exchange.table import Column, Table, strings
from screader_lib.reporting import SILENT, Reporter, WithoutInfo


class OwnCells:
    """The selected cells of some inputs, with the genes that vary most among them."""

    def __init__(
        self, sources: Sequence[Expression], options: SampleOptions, reporter: Reporter = SILENT
    ) -> None:
        """ScReaderError where no cell is left, or the values are no expression."""
        selection = CellSelection(min_counts=options.min_counts, min_genes=options.min_genes)
        masks = select_cells(sources, selection, NO_LABELS, reporter)
        self.selected, self.sources = np.concatenate(masks), sources
        named = [_named(source, options.gene_column) for source in sources]
        genes = _genes_of(named)
        quiet = WithoutInfo(reporter)  # of embeddings, which there are none of
        inputs = [
            prepare_input(
                source, genes, mask, options.values, options.normalise or "auto", 0.0, quiet
            )
            for source, mask in zip(named, masks, strict=True)
        ]
        no_vectors = np.zeros((len(genes), 1), np.float32)
        identity = {"model": "none", "provider": "none", "dim": 1, "sha256": ""}
        self.builder = CellBuilder(
            inputs,
            Embeddings("its genes", genes, no_vectors, identity),
            Construction(),
            threads=options.threads,
            reporter=quiet,
        )

    def write(self, file: h5py.File) -> None:
        """Fill a new ``cells`` file; ScReaderError where no gene varies between the cells."""
        self.builder.write(file, self.builder.learn_vocabulary(), NO_LABELS)


def _named(source: Expression, column: str | None) -> Expression:
    if column is None:
        return source
    source = copy(source)  # the file that is written keeps its own names
    source.genes = named_by_column(source.genes, column, source.name)
    return source


def _genes_of(sources: Sequence[Expression]) -> Table:
    """All inputs' genes by name, each once, with the symbols that a file has beside them."""
    symbols: dict[str, str] = {}
    for source in sources:
        column = next((name for name in NAME_COLUMNS if name in source.genes.columns), "")
        others = source.genes.strings(column) if column else source.genes.index
        for name, symbol in zip(source.genes.index, others, strict=True):
            symbols.setdefault(name, symbol)
    unknown = np.full(len(symbols), "", dtype=object)
    names: dict[str, Column] = dict.fromkeys(GENE_NAMES, unknown)
    names["symbol"] = strings(symbols.values())
    return Table(strings(symbols), names)
