"""The map of genes by their texts: which genes the reader takes to be alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Table
from screader_lib.figures.data.cell_vectors import StoredVectors
from screader_lib.figures.data.coordinates import Given
from screader_lib.figures.data.projection import NEIGHBOURS, project
from screader_lib.figures.plots.umap_panels import check_number_of_colours
from screader_lib.figures.plots.umap_plot import Panel, colour_values

TITLE = "genes by the embedding of their texts"


def panel(
    embeddings: ExchangeFile,
    *,
    descriptions: ExchangeFile | None = None,
    color: str | None = None,
    given: Given | None = None,
    seed: int = 0,
    neighbours: int = NEIGHBOURS,
) -> tuple[Panel, str]:
    """The genes' panel and the column that colours it.

    The column is of the embeddings or, where given, of the descriptions; by default the type of
    gene where descriptions tell it, else where the text came from. ScReaderError where there is
    no such column.
    """
    genes = encoding.read_table(embeddings.file["obs"])
    column = color or ("source" if descriptions is None else "gene_type")
    values = _values(genes, embeddings.name, descriptions, column)
    check_number_of_colours(values, column)
    if given is None:
        coordinates = project(StoredVectors(embeddings.file["X"]), seed, neighbours)
    else:
        coordinates = given.of_panel(TITLE, genes.index, only=True)
    return Panel(TITLE, genes.index, coordinates, values), column


def _values(genes: Table, name: str, descriptions: ExchangeFile | None, column: str) -> np.ndarray:
    if column in genes.columns:
        return colour_values(genes.columns[column])
    if descriptions is None:
        raise ScReaderError(
            f"has no column {column!r} for its genes.",
            file=name,
            remedy=f"It has: {', '.join(genes.columns)}; --descriptions has more.",
        )
    described = encoding.read_table(descriptions.file["obs"])
    if column not in described.columns:
        raise ScReaderError(
            f"has no column {column!r} for its genes.",
            file=descriptions.name,
            remedy=f"It has: {', '.join(described.columns)}.",
        )
    place = {gene: number for number, gene in enumerate(described.index)}
    missing = [gene for gene in genes.index if gene not in place]
    if missing:
        raise ScReaderError(
            f"lacks {len(missing):,} of the {len(genes):,} genes of {name}, "
            f"such as {missing[0]!r}.",
            file=descriptions.name,
        )
    rows = np.array([place[gene] for gene in genes.index], np.int64)
    return colour_values(described.take(rows).columns[column])


def with_names(shown: Panel, embeddings: ExchangeFile, wanted: Sequence[str]) -> Panel:
    """The panel with the genes ``wanted`` (as asked for, or by symbol) named in it.

    ScReaderError for a gene that is not there.
    """
    symbols = encoding.read_strings(embeddings.file["obs/symbol"])
    place = {str(symbol): number for number, symbol in reversed(list(enumerate(symbols)))}
    place.update({str(gene): number for number, gene in enumerate(shown.ids)})
    missing = [gene for gene in wanted if gene not in place]
    if missing:
        raise ScReaderError(f"has no gene {missing[0]!r}.", file=embeddings.name)
    return replace(shown, named={gene: place[gene] for gene in wanted})
