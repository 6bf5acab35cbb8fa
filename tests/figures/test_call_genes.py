"""Which genes made the calls, as a picture and in the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from figure_files import Case, write_predictions
from matplotlib.colors import to_hex

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import strings
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.plots import gene_bars
from screader_lib.figures.report import report
from screader_tools.plot import main

GENES = 12
HOSTILE = "<b>INS</b> & \x07co"


@pytest.fixture
def explained(tmp_path: Path) -> Path:
    """Predictions with genes; gene number n speaks for type number n only, all for the last."""
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=60))
    with h5py.File(path, "r+") as file:
        labels = len(file["uns/labels"])
        part = np.zeros((labels, GENES), np.float32)
        part[np.arange(labels), np.arange(labels)] = 3.0
        part[-1] = np.arange(GENES, dtype=np.float32) - 4
        group = encoding.write_group(file["uns"], "explanation")
        encoding.write_array(group, "part", part)
        encoding.write_strings(group, "id", strings(f"ID{n}" for n in range(GENES)))
        encoding.write_strings(
            group, "symbol", strings([HOSTILE, *(f"S{n}" for n in range(1, GENES))])
        )
        encoding.write_strings(group, "text", strings([HOSTILE] * GENES))
    return path


@pytest.fixture
def calls(explained: Path) -> Iterator[PredictionData]:
    with open_exchange(explained, "predictions") as opened:
        yield PredictionData(opened)


def test_the_genes_that_speak_most_come_first_and_none_that_speaks_against(
    calls: PredictionData,
) -> None:
    found = {one.type: one for one in gene_bars.read(calls, 8)}
    last = calls.labels[-1]
    assert [gene.id for gene in found[last].genes] == [f"ID{n}" for n in range(11, 4, -1)]
    assert found[calls.labels[2]].genes[0].symbol == "S2"
    assert len(found[calls.labels[2]].genes) == 1
    assert {one.type: one.cells for one in found.values()} == {
        label: int((calls.predicted == label).sum())
        for label in calls.labels
        if (calls.predicted == label).any()
    }


def test_the_picture_has_a_panel_a_type_and_its_numbers(calls: PredictionData) -> None:
    found = gene_bars.read(calls, 5)
    made = gene_bars.picture(found)
    shown = [axis for axis in made.figure.axes if axis.get_visible()]
    assert len(shown) == len(found)
    assert len(list(made.numbers.rows)) == sum(len(one.genes) for one in found)
    assert f"{found[1].type}: S1" in made.alt


def test_a_type_has_the_colour_that_the_other_pictures_give_it(calls: PredictionData) -> None:
    found = gene_bars.read(calls, 5)[1:]
    made = gene_bars.picture(found, types=calls.all_labels)
    colours = colours_of(calls.all_labels)
    for one, axis in zip(found, made.figure.axes, strict=False):
        assert to_hex(axis.patches[0].get_facecolor()).upper() == colours[one.type]


def test_only_the_types_that_were_asked_for(calls: PredictionData) -> None:
    (one,) = gene_bars.read(calls, 5, [calls.labels[1]])
    assert one.type == calls.labels[1]
    with pytest.raises(ScReaderError, match="calls no cell 'neuron'"):
        gene_bars.read(calls, 5, ["neuron"])


def test_the_report_has_the_genes_and_escapes_their_texts(calls: PredictionData) -> None:
    page = report.build(report.Inputs(calls))
    assert '<h2 id="genes">' in page and "<b>INS" not in page
    assert "&lt;b&gt;INS&lt;/b&gt; &amp; co" in page


def test_the_command_draws_twice_alike(explained: Path, tmp_path: Path) -> None:
    seen = set()
    for name in ("a.svg", "b.svg"):
        words = ["genes", str(explained), "--genes", "4", "-o", str(tmp_path / name)]
        assert CliRunner().invoke(main, words).exit_code == 0
        seen.add((tmp_path / name).read_bytes())
    assert len(seen) == 1


def test_predictions_without_an_explanation_say_what_to_do(tmp_path: Path) -> None:
    plain = write_predictions(tmp_path / "plain.h5ad", Case(cells=30))
    result = CliRunner().invoke(main, ["genes", str(plain), "-o", str(tmp_path / "x.png")])
    assert result.exit_code == 1 and "predict --explain" in result.stderr
    assert not (tmp_path / "x.png").exists()
