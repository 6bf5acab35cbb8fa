"""The files that ``build-cells`` reads, open as long as it runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from screader_lib.command_line.run import ToolRun
from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from screader_lib.cells.formats.expression import Expression, ReadOptions
    from screader_lib.cells.obs.columns import ObsColumns
    from screader_lib.cells.obs.selection import CellSelection
    from screader_lib.cells.vocabulary import Embeddings, ReferenceGenes
    from screader_lib.exchange.opening import ExchangeFile
    from screader_lib.exchange.table import Table


class InputFiles:
    """The files that a run reads, open until ``stack`` ends; ``inputs`` for the provenance."""

    def __init__(self, run: ToolRun, stack: ExitStack) -> None:
        self.run = run
        self.stack = stack
        self.inputs: dict[str, ExchangeFile | Path] = {}

    def path(self, role: str, name: str) -> Path:
        """A file to read by seeking."""
        path = self.stack.enter_context(self.run.path(name))
        self.inputs[role] = path
        return path

    def listed_cells(self, name: str | None) -> tuple[str, ...] | None:
        """The names of cells in a text file; None where none is given."""
        from screader_lib.cells.obs.selection import read_names

        return None if name is None else tuple(read_names(self.path("cells", name), name))

    def expression(
        self, names: Sequence[str], wanted: ReadOptions | None = None, role: str = "expression"
    ) -> list[Expression]:
        """The files of expression, opened; hashing them begins.

        A folder of several samples is several.
        """
        from screader_lib.cells.formats.expression import DEFAULTS
        from screader_lib.cells.formats.open_expression import open_expression, samples_of

        sources = []
        for number, name in enumerate(names):
            path = self.path(f"{role}_{number}" if number else role, name)
            for part, shown in samples_of(path, "standard input" if name == "-" else name):
                opened = open_expression(part, shown, wanted or DEFAULTS, self.run.reporter)
                sources.append(self.stack.enter_context(opened))
            self.run.start_hashing(path)
        return sources

    def check(
        self,
        names: Sequence[str],
        wanted: ReadOptions,
        asked: tuple[ObsColumns, CellSelection, str, str],
    ) -> None:
        """Say of each file what it is and what is wrong with it; ScReaderError for any fault.

        ``asked`` are the columns, the selection of cells, the kind of values and the organism.
        """
        from screader_lib.cells.formats.open_expression import open_expression
        from screader_lib.preparation.cells_summary import check_sample

        unusable = 0
        for name in names:
            try:
                path = self.path("expression", name)
                with open_expression(path, name, wanted) as source:
                    summary, faults = check_sample(source, *asked)
            except ScReaderError as error:
                summary, faults = "", [str(error)]
            unusable += bool(faults)
            lines = [f"bad: {fault}" for fault in faults] or [f"ok: {name}: {summary}"]
            click.echo("\n".join(lines))
        if unusable:
            raise ScReaderError(f"{unusable} of {len(names)} inputs cannot be used.")

    def embeddings(self, name: str) -> Embeddings:
        """The gene embeddings."""
        from screader_lib.cells.vocabulary import Embeddings

        return Embeddings.of(self._open("embeddings", name, "gene-embeddings"))

    def reference(self, name: str) -> ReferenceGenes:
        """Cells or a reader, or the name of one, for ``--like``."""
        from screader_lib.cells.vocabulary import ReferenceGenes
        from screader_lib.readers.fetching import find_reader

        path = str(find_reader(name, reporter=self.run.reporter))
        return ReferenceGenes.of(self._open("like", path, "cells", "reader"))

    def _open(self, role: str, name: str, *kinds: str) -> ExchangeFile:
        opened = self.stack.enter_context(self.run.open(name, *kinds))
        self.inputs[role] = opened
        return opened

    def match_genes(
        self,
        sources: Sequence[Expression],
        masks: Sequence[np.ndarray],
        genes: Table,
        orthologs: str | None,
        genes_of: str | None,
    ) -> None:
        """Name the genes by ``orthologs``, and leave out those that ``genes_of`` lacks.

        Without orthologs, ScReaderError where cells and embeddings are of different species.
        """
        self._match_species(sources, masks, genes, orthologs)
        if genes_of is not None:
            self._keep_genes_of(genes_of, sources, genes)

    def _match_species(
        self,
        sources: Sequence[Expression],
        masks: Sequence[np.ndarray],
        genes: Table,
        orthologs: str | None,
    ) -> None:
        from screader_lib.cells.across_species import check_organism
        from screader_lib.cells.gene_names import named_by_orthologs
        from screader_lib.genes.missing_texts import pairs_by_name

        if orthologs is None:
            for source, mask in zip(sources, masks, strict=True):
                check_organism(source, mask, genes)
            return
        table = self.path("orthologs", orthologs)
        for source in sources:
            pairs = pairs_by_name(table, source.genes.index)
            source.genes = named_by_orthologs(source, pairs, self.run.reporter)

    def _keep_genes_of(self, name: str, sources: Sequence[Expression], genes: Table) -> None:
        from screader_lib.cells.formats.expression import ReadOptions
        from screader_lib.cells.formats.open_expression import open_expression
        from screader_lib.cells.gene_names import keep_genes_of

        opened = open_expression(self.path("genes_of", name), name, ReadOptions(genes_only=True))
        with opened as query:
            keep_genes_of([query], sources, genes)
