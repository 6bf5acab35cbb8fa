"""The files that ``build-cells`` reads, open as long as it runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from screader_lib.command_line.run import ToolRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from screader_lib.cells.formats.expression import Expression
    from screader_lib.cells.vocabulary import Embeddings, ReferenceGenes
    from screader_lib.exchange.opening import ExchangeFile
    from screader_lib.exchange.table import Table


class Files:
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

    def open(self, role: str, name: str, *kinds: str) -> ExchangeFile:
        """An exchange file of one of ``kinds``."""
        opened = self.stack.enter_context(self.run.open(name, *kinds))
        self.inputs[role] = opened
        return opened

    def expression(
        self, names: Sequence[str], layer: str | None, gene_column: str | None
    ) -> list[Expression]:
        """The sources of expression; hashing them begins."""
        from screader_lib.cells.formats.open_expression import open_expression

        sources = []
        for number, name in enumerate(names):
            path = self.path(f"expression_{number}" if number else "expression", name)
            shown = "standard input" if name == "-" else name
            opened = open_expression(
                path, shown, layer=layer, gene_column=gene_column, reporter=self.run.reporter
            )
            sources.append(self.stack.enter_context(opened))
            self.run.hash_ahead(path)
        return sources

    def check_species(
        self,
        sources: Sequence[Expression],
        chosen: Sequence[np.ndarray],
        genes: Table,
        orthologs: str | None,
    ) -> None:
        """The sources are of the embeddings' species, or get the names of their orthologs."""
        from screader_lib.cells.gene_names import by_orthologs
        from screader_lib.cells.organisms import check_organism
        from screader_lib.genes.missing_texts.from_orthologs import pairs_by_name

        if orthologs is None:
            for source, wanted in zip(sources, chosen, strict=True):
                check_organism(source, wanted, genes)
            return
        table = self.path("orthologs", orthologs)
        for source in sources:
            pairs = pairs_by_name(table, source.genes.index)
            source.genes = by_orthologs(source, pairs, self.run.reporter)


def embeddings_of(opened: ExchangeFile) -> Embeddings:
    """The genes, vectors and identity of an open gene-embeddings file."""
    from screader_lib.cells.vocabulary import Embeddings
    from screader_lib.exchange import encoding

    uns = opened.file["uns"]
    identity = {
        "model": encoding.read_text(uns, "model"),
        "provider": encoding.read_text(uns, "provider"),
        "dim": int(uns["dim"][()]),
        "sha256": opened.sha256,
    }
    genes = encoding.read_table(opened.file["obs"])
    return Embeddings(opened.name, genes, opened.file["X"], identity)


def known_of(opened: ExchangeFile) -> ReferenceGenes:
    """The gene choice and construction of open cells or an open reader."""
    from screader_lib.cells.organisms import species_in
    from screader_lib.cells.sequences import Construction
    from screader_lib.cells.vocabulary import ReferenceGenes
    from screader_lib.exchange import encoding

    file = opened.file
    if opened.kind == "reader":
        group, uns, vectors = file["genes"], file, file["genes/embedding"]
    else:
        group, uns, vectors = file["var"], file["uns"], file["varm/embedding"]
    return ReferenceGenes(
        opened.name,
        encoding.read_strings(group["id"]),
        group["median"][()],
        Construction.from_json(encoding.read_json(uns, "construction"), opened.name),
        vectors,
        encoding.read_json(uns, "embedding"),
        species_in(opened.steps),
    )
