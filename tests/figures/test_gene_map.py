"""The map of genes by their texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from figure_files import write_descriptions, write_embeddings

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.figures.plots import gene_map
from screader_lib.figures.plots.umap_plot import picture


@pytest.fixture
def embeddings(tmp_path: Path) -> Iterator[ExchangeFile]:
    with open_exchange(write_embeddings(tmp_path / "g.h5ad", 8), "gene-embeddings") as opened:
        yield opened


@pytest.fixture
def descriptions(tmp_path: Path) -> Iterator[ExchangeFile]:
    with open_exchange(write_descriptions(tmp_path / "d.h5ad", 10), "descriptions") as opened:
        yield opened


def test_genes_are_coloured_by_where_their_text_came_from(embeddings: ExchangeFile) -> None:
    panel, column = gene_map.panel(embeddings)
    assert column == "source"
    assert panel.values.tolist() == ["ncbi", "none"] * 4
    assert panel.coordinates.shape == (8, 2)


def test_descriptions_in_another_order_tell_the_type(
    embeddings: ExchangeFile, descriptions: ExchangeFile
) -> None:
    panel, column = gene_map.panel(embeddings, descriptions=descriptions)
    assert column == "gene_type"
    assert panel.values.tolist() == [f"type {number % 3}" for number in range(8)]


def test_named_genes_are_written_into_the_picture(embeddings: ExchangeFile) -> None:
    panel, column = gene_map.panel(embeddings)
    made = picture(
        [gene_map.with_names(panel, embeddings, ["SYMBOL2", "gene-5"])], what=column, points="gene"
    )
    written = [text.get_text() for text in made.figure.axes[0].texts]
    assert written == ["SYMBOL2", "gene-5"]
    assert made.numbers.columns[1] == "gene"
    assert "8 genes" in made.alt


def test_a_gene_that_is_not_there_is_named(embeddings: ExchangeFile) -> None:
    panel, _ = gene_map.panel(embeddings)
    with pytest.raises(ScReaderError, match="no gene 'nothing'"):
        gene_map.with_names(panel, embeddings, ["nothing"])


def test_a_column_that_is_not_there_is_named(
    embeddings: ExchangeFile, descriptions: ExchangeFile
) -> None:
    with pytest.raises(ScReaderError, match=r"no column 'x'.*--descriptions has more"):
        gene_map.panel(embeddings, color="x")
    with pytest.raises(ScReaderError, match=r"no column 'x'.*gene_type"):
        gene_map.panel(embeddings, descriptions=descriptions, color="x")


def test_descriptions_of_other_genes_are_refused(tmp_path: Path, embeddings: ExchangeFile) -> None:
    path = write_descriptions(tmp_path / "few.h5ad", 5)
    with (
        open_exchange(path, "descriptions") as few,
        pytest.raises(ScReaderError, match=r"lacks 3 of the 8 genes.*'gene-5'"),
    ):
        gene_map.panel(embeddings, descriptions=few)


def test_a_column_of_texts_is_no_colour(tmp_path: Path) -> None:
    path = write_embeddings(tmp_path / "many.h5ad", 301)
    with (
        open_exchange(path, "gene-embeddings") as many,
        pytest.raises(ScReaderError, match="301 different values"),
    ):
        gene_map.panel(many, color="symbol")
