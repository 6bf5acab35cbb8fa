"""The cells to annotate, built by the genes that a reader has learnt.

The reader names its genes and holds their vectors, so a sample's genes are found by id, symbol,
Ensembl id or alias without any other file. Where few are, upper and lower case are ignored: human
and mouse write most orthologs alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from screader_lib.cells.cell_builder import CellBuilder
from screader_lib.cells.formats.expression import Expression
from screader_lib.cells.gene_names import ABSENT, best_match, named_by_column, named_by_orthologs
from screader_lib.cells.input_file import InputFile, prepare_input
from screader_lib.cells.obs.columns import ObsColumns, unknown_column
from screader_lib.cells.obs.labels import MISSING_VALUES
from screader_lib.cells.obs.selection import CellSelection, select_cells
from screader_lib.cells.vocabulary import Embeddings, ReferenceGenes
from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Table, as_strings, strings
from screader_lib.reporting import SILENT, Reporter

FEW_BY_NAME = 0.3  # of the reader's genes, below which case is ignored
GAIN = 2  # how many times as many genes that has to find
NO_LABELS = ObsColumns(None, None, None)


@dataclass(frozen=True)
class SampleOptions:
    """How the inputs are read; as the options of ``build-cells`` of the same names.

    ``orthologs`` is a table whose first two columns name the genes of two species.
    """

    values: str = "auto"
    normalise: str | None = None
    min_counts: int = 0
    min_genes: int = 0
    orthologs: Path | None = None
    threads: int | None = None
    gene_column: str | None = None


class Sample:
    """The selected cells of some inputs, with the genes of a reader."""

    def __init__(
        self,
        sources: Sequence[Expression],
        reader: ExchangeFile,
        options: SampleOptions,
        reporter: Reporter = SILENT,
    ) -> None:
        """ScReaderError where no cell is left, no gene is one of the reader's, or the values are
        no expression."""
        selection = CellSelection(min_counts=options.min_counts, min_genes=options.min_genes)
        masks = select_cells(sources, selection, NO_LABELS, reporter)
        self.selected = np.concatenate(masks)
        self.sources = sources
        self.reference = ReferenceGenes.of(reader)
        self.genes = Embeddings.of_reader(reader)
        inputs = [
            self._input(source, mask, options, reporter, f"{source.name}: " * (len(sources) > 1))
            for source, mask in zip(sources, masks, strict=True)
        ]
        self.builder = CellBuilder(
            inputs,
            self.genes,
            self.reference.construction,
            threads=options.threads,
            reporter=reporter,
        )
        self.vocabulary = self.builder.like(self.reference)
        rows = np.unique(np.concatenate([source.rows for source in inputs]))
        self.share_of_genes = float((rows != ABSENT).sum() / len(self.reference.ids))

    def _input(
        self,
        source: Expression,
        mask: np.ndarray,
        options: SampleOptions,
        reporter: Reporter,
        prefix: str,
    ) -> InputFile:
        return prepare_input(
            named_like(source, self.genes.genes, options, reporter, prefix),
            self.genes.genes,
            mask,
            options.values,
            options.normalise or self.reference.normalise(),
            0.0,
            reporter,
            prefix,
            self.reference.means,
            of_reader=True,
        )

    def named_genes(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of the genes of the ``cells`` file, and which of them an input has, bool."""
        ids = self.genes.genes.index[self.vocabulary.rows]
        return ids, np.asarray(self.builder.presence(self.vocabulary).any(0))

    def write(self, file: h5py.File) -> None:
        """Fill a new ``cells`` file with the selected cells."""
        self.builder.write(file, self.vocabulary, NO_LABELS)


def obs_column(sources: Sequence[Expression], selected: np.ndarray, name: str) -> Categorical:
    """A column of the one input's obs, as categories, for the cells ``selected``, bool (cells,).

    ScReaderError as from :func:`check_clusters`.
    """
    check_clusters(sources, name)
    column = sources[0].obs.columns[name].load()
    names = as_strings(column)[selected]
    return Categorical.with_missing(np.where(np.isin(names, MISSING_VALUES), "", names))


def check_clusters(sources: Sequence[Expression], name: str) -> None:
    """ScReaderError where there are several inputs, or the one has no such column of obs."""
    if len(sources) > 1:
        raise ScReaderError(
            f"column {name!r} may mean something else in each input.",
            remedy="Give --clusters auto, or one input.",
        )
    check_columns(sources, name)


def check_columns(sources: Sequence[Expression], *names: str | None) -> None:
    """ScReaderError, with near misses, where the obs of an input lacks a column that is named."""
    for source in sources:
        for name in names:
            if name is not None and name not in source.obs.columns:
                raise unknown_column(source.name, name, source.obs)


def named_like(
    source: Expression,
    genes: Table,
    options: SampleOptions,
    reporter: Reporter = SILENT,
    prefix: str = "",
) -> Expression:
    """The same cells with names of genes that can be found among ``genes``.

    ``source`` itself, by which a file is written, keeps its own. ScReaderError where a column or
    orthologs that ``options`` name are not there.
    """
    source = copy(source)
    if options.gene_column is not None:
        source.genes = named_by_column(source.genes, options.gene_column, source.name)
    if options.orthologs is not None:
        from screader_lib.genes.missing_texts import pairs_by_name  # which needs all sources

        pairs = pairs_by_name(options.orthologs, source.genes.index)
        source.genes = named_by_orthologs(source, pairs, reporter)
    else:
        _ignore_case(source, genes, reporter, prefix)
    return source


def _ignore_case(source: Expression, genes: Table, reporter: Reporter, prefix: str) -> None:
    """Name the input's genes as the reader does where they differ in upper and lower case only."""
    enough = FEW_BY_NAME * len(genes)
    if len({*source.genes.index} & {*genes.index, *genes.strings("symbol")}) >= enough:
        return
    match, column = best_match(source.genes, genes)
    found = len(np.unique(match.rows[match.rows != ABSENT]))
    if found >= enough:
        return
    names = source.genes.strings(column) if column else source.genes.index
    own: dict[str, str] = {}
    for key in ("symbol", ""):
        for name, gene in zip(genes.strings(key) if key else genes.index, genes.index, strict=True):
            if name:
                own[name.lower()] = gene
    renamed = strings(own.get(name.lower(), name) for name in names)
    shared = len(set(renamed) & set(genes.index))
    if shared >= GAIN * max(1, found):
        source.genes = Table(renamed, {}, "name, ignoring case")
        reporter.info(
            f"{prefix}genes are matched ignoring upper and lower case, as those of another "
            f"species: {shared:,} instead of {found:,}."
        )
