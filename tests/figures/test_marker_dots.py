"""Dots of the genes that mark the types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figure_files import PANCREAS, Case, predictions, write_cells, write_predictions

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data import type_genes
from screader_lib.figures.data.type_genes import TypeGenes
from screader_lib.figures.drawing.canvas import Style
from screader_lib.figures.plots.marker_dots import picture

SYMBOLS = np.array(["a", "b", "c", "d"], object)
FOUND = TypeGenes(
    ["one", "three", "two"],
    np.array([9, 2, 7]),
    SYMBOLS,
    np.array([[5.0, 1, 2, 0], [9, 9, 9, 9], [1, 4, 2, 3]]),
    np.array([[1.0, 0.5, 1, 0], [1, 1, 1, 1], [0.2, 1, 0.9, 1]]),
)


@pytest.mark.parametrize("order", [None, np.arange(50)[::-1]])
def test_means_and_shares_are_over_all_cells_of_a_type(
    tmp_path: Path, order: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type_genes, "BLOCK", 7)
    case = Case(cells=50)
    path = write_predictions(tmp_path / "p.h5ad", case)
    cells = write_cells(tmp_path / "c.h5ad", case, order=order)
    with predictions(path) as one, open_exchange(cells, "cells") as opened:
        labels = one.true.copy()
        labels[:3] = ""  # do not count
        found = type_genes.read(one, opened, labels)
        index, weight = opened.file["obsm/gene_index"][()], opened.file["obsm/gene_weight"][()]
    dense = np.zeros((50, 61))
    np.put_along_axis(dense, index.astype(int), weight, 1)  # padding, of weight 0, is the last
    dense = dense[:, :60] if order is None else dense[order, :60]
    assert found.types == sorted(PANCREAS) and found.cells.sum() == 47
    for row, name in enumerate(found.types):
        np.testing.assert_allclose(found.mean[row], dense[labels == name].mean(0), atol=1e-6)
        np.testing.assert_allclose(found.share[row], (dense[labels == name] > 0).mean(0))


def test_markers_are_above_all_other_types_of_enough_cells() -> None:
    assert FOUND.marking(1) == [0, 1]  # "three" has too few cells to count
    assert FOUND.marking(3) == [0, 1, 3]  # c is as high in both
    assert FOUND.named(["d", "a"], "x") == [3, 0]
    with pytest.raises(ScReaderError, match="no gene 'e'"):
        FOUND.named(["e"], "x")


def test_area_is_the_share_and_colour_the_mean_over_the_largest() -> None:
    made = picture(FOUND.of_genes([3, 0]))
    [dots] = [part for part in made.figure.axes[0].collections if len(part.get_offsets())]
    assert dots.get_offsets().tolist() == [[x, y] for y in range(3) for x in range(2)]
    shares = np.array([0, 1, 1, 1, 1, 0.2])
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().max(), shares)
    np.testing.assert_allclose(dots.get_array(), [0, 5 / 9, 1, 1, 3 / 9, 1 / 9])
    assert [*made.data.rows][1] == ("one", 9, "a", 1.0, 5.0)


def test_genes_stand_in_rows_where_their_names_would_not_fit_the_width() -> None:
    many = FOUND.of_genes([0, 1, 2, 3] * 10)
    texts = {
        width: [
            text.get_text()
            for text in picture(many, Style(width=width)).figure.axes[0].get_yticklabels()
        ]
        for width in (3.3, 9.0)
    }
    assert len(texts[3.3]) == 40 and texts[9.0] == ["one (9)", "three (2)", "two (7)"]


def test_nothing_to_draw_is_told() -> None:
    with pytest.raises(ScReaderError, match="no gene to draw"):
        picture(FOUND.of_genes([]))
