"""The map of cells: what the page's script reads."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from figure_files import PANCREAS, Case, predictions, write_cells, write_predictions
from map_content import decoded

from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import Categorical, strings
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.report import cell_map
from screader_lib.figures.report.cell_map import MapInputs, encode

CELLS = 60
PLACES = np.random.default_rng(0).uniform(-3, 7, (CELLS, 2)).astype(np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_predictions(tmp_path / "p.h5ad", Case(cells=CELLS, unassigned=0.1))


def test_places_keep_their_proportions(file: Path) -> None:
    with predictions(file) as one:
        header, places, names, _ = decoded(encode(one, PLACES * (1, 0.5), PANCREAS).content)
    low, extent = PLACES.min(0), np.ptp(PLACES, axis=0).max()
    expected = (PLACES - low) / np.ptp(PLACES[:, 0]) * 65535 * (1, 0.5)
    assert extent >= np.ptp(PLACES[:, 0]) and np.abs(places - expected).max() < 1
    assert (header["width"], header["height"]) == tuple(places.max(0))
    assert names == [f"cell-{number}" for number in range(CELLS)]


def test_columns_of_predictions_say_what_the_file_says(file: Path) -> None:
    with predictions(file) as one:
        header, _, _, columns = decoded(encode(one, PLACES, PANCREAS).content)
        assert columns["call"] == one.final_label.tolist() and "" in columns["call"]
        assert columns["second type"] == one.second.tolist()
        assert columns["true type"] == one.true.tolist()
        assert columns["status"] == one.status.tolist()
        np.testing.assert_allclose(columns["confidence"], one.confidence, atol=0.002)
    assert [header["columns"][number]["name"] for number in header["hover"]] == [
        "call", "second type", "confidence",
    ]  # fmt: skip


def test_a_type_has_its_picture_s_colour_in_every_column_of_types(file: Path) -> None:
    labels = Categorical.of(["broader", *PANCREAS[1:3]] * (CELLS // 3))
    with predictions(file) as one:
        more = MapInputs(calls={"screader_label": labels})
        header, *_ = decoded(encode(one, PLACES, PANCREAS, more).content)
    expected = colours_of(PANCREAS)
    for column in header["columns"]:
        if column["name"] in ("call", "second type", "true type"):
            own = dict(zip(column["names"], column["colours"], strict=True))
            assert own.pop("broader", "") not in expected.values()
            assert own.items() <= expected.items()


def test_calls_and_the_user_s_columns_are_those_of_their_cells(file: Path) -> None:
    random = np.random.default_rng(1)
    depth = random.lognormal(8, 1, CELLS)
    depth[3] = np.nan
    batch = strings(["first", "", "third"] * (CELLS // 3))
    more = MapInputs(
        strings(f"mine {number}" for number in range(CELLS)),
        {"screader_consensus_label": Categorical.of(["alpha", "beta"] * (CELLS // 2)),
         "screader_ontology_id": strings(["CL:1"] * CELLS)},
        {"depth": depth, "batch": batch, "leiden": np.arange(CELLS) % 4,
         "constant": strings(["one"] * CELLS),
         "barcode": strings(range(CELLS)), "none": np.full(CELLS, np.nan)},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, predictions(file) as one:
        patch.setattr(cell_map, "MOST_VALUES", 20)
        header, _, names, columns = decoded(encode(one, PLACES, PANCREAS, more).content)
    assert names[:2] == ["mine 0", "mine 1"] and columns["batch"] == batch.tolist()
    assert columns["leiden"][:5] == ["0", "1", "2", "3", "0"]
    np.testing.assert_allclose(columns["depth"], depth, rtol=0, atol=np.nanmax(depth) / 65000)
    assert header["columns"][header["first"]]["name"] == "consensus"
    assert not {"constant", "barcode", "none", "screader_ontology_id"} & {*columns}


@pytest.mark.parametrize("order", [None, np.arange(CELLS)[::-1]])
def test_weights_of_genes(tmp_path: Path, file: Path, order: np.ndarray | None) -> None:
    path = write_cells(tmp_path / "c.h5ad", Case(cells=CELLS), order=order)
    wanted = ["GENE7", "no gene", "GENE3", "GENE7"]
    with predictions(file) as one, open_exchange(path, "cells") as opened:
        header, *_, columns = decoded(
            encode(one, PLACES, PANCREAS, cells=opened, genes=wanted).content
        )
        index, weight = opened.file["obsm/gene_index"][()], opened.file["obsm/gene_weight"][()]
    assert [one["name"] for one in header["columns"] if one["group"] == "genes"] == [
        "GENE7", "GENE3",
    ]  # fmt: skip
    expected = np.where(index == 3, weight, 0).max(1)[slice(None) if order is None else order]
    np.testing.assert_allclose(columns["GENE3"], expected, atol=expected.max() / 250)


def test_many_cells_are_drawn_as_a_sketch(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_map, "MOST_CELLS", 25)
    with predictions(file) as one:
        drawn = encode(one, PLACES, PANCREAS, seed=3)
        _, _, names, columns = decoded(drawn.content)
        rows = [int(name.removeprefix("cell-")) for name in names]
        assert (drawn.cells, drawn.total) == (25, CELLS) and rows == sorted({*rows})
        assert columns["true type"] == one.true[rows].tolist()
        assert drawn == encode(one, PLACES, PANCREAS, seed=3)


def test_columns_end_where_the_page_would_be_too_large(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_map, "MOST_BYTES", -1)
    with predictions(file) as one:
        header, _, names, _ = decoded(encode(one, PLACES, PANCREAS).content)
    assert [column["name"] for column in header["columns"]] == ["call"] and len(names) == CELLS


def test_one_cell_and_one_place(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "one.h5ad", Case(types=("alpha",), cells=1))
    with h5py.File(path, "r") as stored:
        name = stored["obs/id"][0].decode()
    with predictions(path) as one:
        _, places, names, _ = decoded(encode(one, np.ones((1, 2), np.float32), ["alpha"]).content)
    assert places.tolist() == [[0, 0]] and names == [name]
