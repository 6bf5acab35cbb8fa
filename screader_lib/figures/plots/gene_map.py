"""The map of genes: genes with similar texts lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.figures.data.cell_vectors import indices_of, stored_vectors
from screader_lib.figures.data.panels import Panel, SavedCoordinates
from screader_lib.figures.data.prediction_data import column_values
from screader_lib.figures.data.projection import NEIGHBOURS, project, sketch_of
from screader_lib.figures.plots.umap_plot import check_number_of_colours

TITLE = "genes by the embedding of their texts"


def panel(
    embeddings: ExchangeFile,
    *,
    descriptions: ExchangeFile | None = None,
    color: str | None = None,
    saved: SavedCoordinates | None = None,
    seed: int = 0,
    neighbours: int = NEIGHBOURS,
) -> tuple[Panel, str]:
    """The genes' panel and the column that colours it.

    The column is one of the embeddings or of the descriptions; by default the gene type where
    there are descriptions, else the source of the text. ScReaderError where it is missing.
    """
    genes = encoding.read_table(embeddings.file["obs"])
    column = color or ("source" if descriptions is None else "gene_type")
    table, file, remedy = genes, embeddings.name, "; --descriptions has more"
    if column not in genes.columns and descriptions is not None:
        described = encoding.read_table(descriptions.file["obs"])
        table, file, remedy = described, descriptions.name, ""
    if column not in table.columns:
        raise ScReaderError(
            f"has no column {column!r} for its genes.",
            file=file,
            remedy=f"It has: {', '.join(table.columns)}{remedy}.",
        )
    what = f"genes of {embeddings.name}"
    rows = indices_of(genes.index, table.index, file=file, what=what)
    values = column_values(table.take(rows).columns[column])
    check_number_of_colours(values, column)
    sketch = None
    if saved is None:
        sketch = sketch_of(len(genes))
        coordinates = project(stored_vectors(embeddings.file["X"]), seed, neighbours)
    else:
        coordinates = saved.of_panel(TITLE, genes.index, single=True)
    return Panel(TITLE, genes.index, coordinates, values, sketch=sketch), column


def with_names(genes: Panel, embeddings: ExchangeFile, names: Sequence[str]) -> Panel:
    """The panel with the genes ``names`` (identifiers or symbols) labelled in it.

    ScReaderError for a gene that is not there.
    """
    symbols = encoding.read_strings(embeddings.file["obs/symbol"])
    row_of: dict[str, int] = {}
    for row, name in enumerate([*genes.ids, *symbols]):  # identifiers first, the first of a symbol
        row_of.setdefault(str(name), row % len(symbols))
    missing = [name for name in names if name not in row_of]
    if missing:
        raise ScReaderError(f"has no gene {missing[0]!r}.", file=embeddings.name)
    return replace(genes, named={name: row_of[name] for name in names})
