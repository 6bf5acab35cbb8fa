"""Confusion matrices, calibration, metrics of methods, training curves, and genes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from figure_files import Case, predictions, write_labels, write_predictions, write_reader
from matplotlib.colors import to_hex
from matplotlib.text import Text

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import strings
from screader_lib.figures.data.prediction_data import BACKED_OFF, UNASSIGNED, PredictionData
from screader_lib.figures.drawing.canvas import Style
from screader_lib.figures.drawing.palettes import colours_of
from screader_lib.figures.plots import (
    calibration_plot,
    confusion_matrix,
    gene_bars,
    method_comparison,
    training_curves,
    umap_plot,
)
from screader_lib.figures.plots.confusion_matrix import most_confused, tabulate
from screader_lib.figures.report.report import ReportInputs, build
from screader_tools.plot import main

ROWS: list[tuple[str, str, bool | str]] = [  # true, predicted, assigned
    ("a", "a", True),
    ("a", "a", True),
    ("a", "b", True),
    ("a", "b", False),
    ("b", "b", True),
    ("c", "a", True),
    ("", "a", True),
]
BACKED: list[tuple[str, str, bool | str]] = [  # … or the term that it was backed off to
    ("a", "a", True),
    ("a", "b", "cell of a kind"),
    ("a", "a", "cell of a kind"),
    ("b", "b", False),
    ("b", "b", True),
]


@pytest.fixture
def known(tmp_path: Path) -> Iterator[PredictionData]:
    with predictions(write_labels(tmp_path / "p.h5ad", ROWS, ["a", "b"])) as one:
        yield one


@pytest.fixture
def backed_off(tmp_path: Path) -> Iterator[PredictionData]:
    with predictions(write_labels(tmp_path / "b.h5ad", BACKED, ["a", "b"])) as one:
        yield one


@pytest.mark.parametrize(
    ("unassigned", "expected"),
    [
        ("column", [[2, 1, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]),
        ("call", [[2, 2, 0], [0, 1, 0], [1, 0, 0]]),
        ("omit", [[2, 1, 0], [0, 1, 0], [1, 0, 0]]),
    ],
)
def test_counts(known: PredictionData, unassigned: str, expected: list[list[int]]) -> None:
    [matrix] = tabulate([known], unassigned=unassigned, order="name")
    assert matrix.types == ["a", "b", "c"]
    assert matrix.counts.tolist() == expected
    assert matrix.columns == ["a", "b", "c", UNASSIGNED][: len(expected[0])]
    assert matrix.fractions.sum(axis=1) == pytest.approx(1)
    assert tabulate([known], unassigned=unassigned, order="size")[0].types == ["a", "b", "c"]


def test_most_confused_pairs_leave_out_the_unassigned(known: PredictionData) -> None:
    [matrix] = tabulate([known], order="name")
    assert most_confused(matrix) == [("a", "b", 1, 0.25), ("c", "a", 1, 1.0)]
    assert most_confused(matrix, 1) == [("a", "b", 1, 0.25)]


def test_similar_types_become_neighbours(tmp_path: Path) -> None:
    """Errors of the case go to the next type, within pairs."""
    types = ["p", "z", "q", "y", "r", "x", "s", "w"]
    path = write_predictions(tmp_path / "p.h5ad", Case(types=types, cells=800, unassigned=0))
    with predictions(path) as one:
        [matrix] = tabulate([one])
    for left, right in zip(types[::2], types[1::2], strict=True):
        assert abs(matrix.types.index(left) - matrix.types.index(right)) == 1


def test_several_files_share_types_and_order(tmp_path: Path, known: PredictionData) -> None:
    path = write_labels(tmp_path / "o.h5ad", [("d", "d", True)], ["d"])
    with predictions(path) as other:
        first, second = tabulate([known, other])
    assert first.types == second.types
    assert set(first.types) == {"a", "b", "c", "d"}
    assert (first.title, second.title) == ("scReader (1)", "scReader (2)")
    index = second.types.index("d")
    assert second.counts[index, index] == second.counts.sum() == 1


def test_type_named_unassigned_is_a_type_like_others(tmp_path: Path) -> None:
    rows = [(UNASSIGNED, UNASSIGNED, True), ("a", "a", False)]
    with predictions(write_labels(tmp_path / "p.h5ad", rows, ["a", UNASSIGNED])) as one:
        [matrix] = tabulate([one], order="name")
    assert matrix.counts.tolist() == [[0, 0, 1], [0, 1, 0]]


def test_backed_off_cells_are_neither_assigned_nor_unassigned(backed_off: PredictionData) -> None:
    assert backed_off.assigned.tolist() == [True, False, False, False, True]
    assert backed_off.backed_off.tolist() == [False, True, True, False, False]
    assert backed_off.unassigned.tolist() == [False, False, False, True, False]
    assert backed_off.final_label.tolist() == ["a", "cell of a kind", "cell of a kind", "", "b"]


def test_matrix_has_a_column_of_each_status(
    backed_off: PredictionData, known: PredictionData
) -> None:
    matrices = tabulate([backed_off, known], order="name")
    assert [one.columns for one in matrices] == [["a", "b", "c", UNASSIGNED, BACKED_OFF]] * 2
    assert matrices[0].counts.tolist() == [[1, 0, 0, 0, 2], [0, 1, 0, 1, 0], [0] * 5]
    assert most_confused(matrices[0]) == []
    assert known.final_label.tolist() == ["a", "a", "b", "", "b", "a", "a"]
    for unassigned, expected in (("call", [[2, 1], [0, 2]]), ("omit", [[1, 0], [0, 1]])):
        [matrix] = tabulate([backed_off], unassigned=unassigned, order="name")
        assert matrix.counts.tolist() == expected and matrix.columns == ["a", "b"]


def test_confusion_picture_has_data_and_alternative_text(known: PredictionData) -> None:
    made = confusion_matrix.picture(tabulate([known], order="name"), Style(title="$x_{"))
    rows = list(made.data.rows)
    assert len(rows) == 3 * 4
    assert rows[1] == ("scReader", "a", "b", 1, 0.25)
    assert "3 types" in made.alt
    assert "50.0% of 6 cells correct" in made.alt


def test_61_long_names_do_not_overlap(tmp_path: Path) -> None:
    types = [f"CD4-positive, alpha-beta memory T cell {n}" for n in range(61)]
    with predictions(write_predictions(tmp_path / "p.h5ad", Case(types=types, cells=400))) as one:
        figure = confusion_matrix.picture(tabulate([one])).figure
    assert max(figure.get_size_inches()) < 16
    figure.draw_without_rendering()
    axis, edges = figure.axes[0], figure.bbox
    for labels, low, high in (
        (axis.get_xticklabels(), "x0", "x1"),
        (axis.get_yticklabels()[::-1], "y0", "y1"),
    ):
        boxes = [label.get_window_extent() for label in labels]
        assert all(edges.x0 <= box.x0 and edges.y0 <= box.y0 for box in boxes)
        for one_box, next_box in itertools.pairwise(boxes):
            assert getattr(one_box, high) <= getattr(next_box, low) + 0.5


def test_a_title_beside_long_names_is_drawn_whole(tmp_path: Path) -> None:
    types = [f"CD4-positive, alpha-beta memory T cell {n}" for n in range(6)]
    with predictions(write_predictions(tmp_path / "p.h5ad", Case(types=types, cells=400))) as one:
        matrix = replace(tabulate([one])[0], title="logistic regression on counts")
    figure = confusion_matrix.picture([matrix]).figure
    figure.draw_without_rendering()
    (text,) = [one for one in figure.findobj(Text) if one.get_text().startswith(matrix.title)]
    title = text.get_window_extent()
    assert figure.bbox.x0 <= title.x0 and title.x1 <= figure.bbox.x1
    assert title.y1 <= figure.bbox.y1


def test_calibration_by_hand(tmp_path: Path) -> None:
    """Ten predictions of confidence 0.8, six of them correct: the error is 0.2."""
    rows = [("a", "a", True)] * 6 + [("b", "a", False)] * 4 + [("", "a", True)]
    with predictions(write_labels(tmp_path / "p.h5ad", rows, ["a", "b"])) as one:
        [method] = calibration_plot.measure([one])
    found = {name: values.tolist() for name, values in method.curve.items()}
    assert (found["cells"], found["accuracy"]) == ([10], [0.6])
    assert found["confidence"] == pytest.approx([0.8])
    assert method.error == pytest.approx(0.2)
    made = calibration_plot.picture([method])
    assert "overconfident" in made.alt
    assert next(iter(made.data.rows))[:2] == ("scReader", 10)


@pytest.mark.parametrize(("correct", "expected"), [(0, (0, 0.2775)), (8, (0.4902, 0.9433))])
def test_intervals_against_published_values(correct: int, expected: tuple[float, float]) -> None:
    found = calibration_plot.wilson_interval(np.array(correct / 10), np.array(10))
    assert found == pytest.approx(expected, abs=1e-4)


def test_files_of_one_title_are_folds(tmp_path: Path) -> None:
    good = write_labels(tmp_path / "1.h5ad", [("a", "a", True), ("b", "b", True)], ["a", "b"])
    bad = write_labels(tmp_path / "2.h5ad", [("a", "b", True), ("b", "b", True)], ["a", "b"])
    with predictions(good) as one, predictions(bad) as two, predictions(bad, "other") as three:
        methods = method_comparison.measure([one, two, three])
    assert [(method.title, method.folds) for method in methods] == [("scReader", 2), ("other", 1)]
    assert methods[0].metrics["accuracy"] == [1, 0.5]
    made = method_comparison.picture(methods)
    row = next(row for row in made.data.rows if row[:2] == ("scReader", "accuracy"))
    assert row[4:] == (0.75, pytest.approx(np.std([1, 0.5], ddof=1)), 2)
    assert "(mean ± s.d., 2 folds)" in made.figure.axes[0].get_title(loc="left")


def test_file_of_all_folds_counts_as_its_folds(tmp_path: Path) -> None:
    case = Case(cells=90, extra={"fold": np.repeat(np.arange(1, 4, dtype=np.int32), 30)})
    with predictions(write_predictions(tmp_path / "p.h5ad", case)) as one:
        [method] = method_comparison.measure([one])
        accuracy = (one.predicted == one.true).reshape(3, 30).mean(axis=1)
    assert method.folds == 3
    assert method.metrics["accuracy"] == pytest.approx(accuracy)


def test_names_of_types_hide_no_point_and_no_name(tmp_path: Path) -> None:
    types = [f"a rather long name of a type {n}" for n in range(61)]
    case = Case(types=types, cells=3000, accuracy=0.7)
    with predictions(write_predictions(tmp_path / "p.h5ad", case)) as one:
        axis = method_comparison.picture(method_comparison.measure([one])).figure.axes[1]
    axis.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.texts]
    points = axis.transData.transform(axis.collections[0].get_offsets())
    assert boxes
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert not any(box.contains(*point) for point in points)


def test_no_true_labels_is_an_error(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=9, labelled=False))
    with predictions(path) as one:
        for measure in (tabulate, calibration_plot.measure, method_comparison.measure):
            with pytest.raises(ScReaderError, match=r"no cell has a true label.*--label"):
                measure([one])


def test_training_data_are_the_history(tmp_path: Path) -> None:
    with open_exchange(write_reader(tmp_path / "r.h5", epochs=6), "reader") as opened:
        made = training_curves.picture(training_curves.read(opened))
        loss = opened.file["history/loss"][()]
    rows = list(made.data.rows)
    assert made.data.columns == ("epoch", "stage", "loss", "accuracy", "macro_F1")
    assert [row[2] for row in rows] == pytest.approx(loss)
    assert [row[1] for row in rows] == ["projector"] * 2 + ["reader"] * 4
    assert "over 6 epochs" in made.alt


def test_training_without_validation_cells_or_epochs(tmp_path: Path) -> None:
    path = write_reader(tmp_path / "r.h5", epochs=1, validated=False)
    with open_exchange(path, "reader") as opened:
        made = training_curves.picture(training_curves.read(opened))
    assert len(made.figure.axes) == 1
    assert made.data.columns == ("epoch", "stage", "loss")
    path = write_reader(tmp_path / "none.h5", epochs=0)
    with (
        open_exchange(path, "reader") as opened,
        pytest.raises(ScReaderError, match="no training history"),
    ):
        training_curves.read(opened)


def test_names_of_stages_stay_within_the_axis() -> None:
    history = training_curves.TrainingHistory(
        "screader", np.arange(21), np.array(["warm start"] * 20 + ["LLM stage"], object),
        np.linspace(1, 0.1, 21), {"accuracy": np.full(21, 0.97)},
    )  # fmt: skip
    figure = training_curves.picture(history).figure
    figure.draw_without_rendering()
    for axis in figure.axes:
        assert len(axis.texts) == 2
        for text in axis.texts:
            assert text.get_window_extent().x1 <= axis.get_window_extent().x1 + 2


GENES = 12
HOSTILE = "<b>INS</b> & \x07co"


@pytest.fixture(scope="module")
def explained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gene n contributes to type n only, all genes to the last type."""
    path = write_predictions(tmp_path_factory.mktemp("genes") / "p.h5ad", Case(cells=60))
    with h5py.File(path, "r+") as file:
        labels = len(file["uns/labels"])
        part = np.zeros((labels, GENES), np.float32)
        part[np.arange(labels), np.arange(labels)] = 3.0
        part[-1] = np.arange(GENES, dtype=np.float32) - 4
        group = encoding.write_group(file["uns"], "explanation")
        encoding.write_array(group, "part", part)
        encoding.write_strings(group, "id", strings(f"ID{n}" for n in range(GENES)))
        symbols = [HOSTILE, *(f"S{n}" for n in range(1, GENES))]
        encoding.write_strings(group, "symbol", strings(symbols))
        encoding.write_strings(group, "text", strings([HOSTILE] * GENES))
    return path


@pytest.fixture
def explained(explained_file: Path) -> Iterator[PredictionData]:
    with predictions(explained_file) as one:
        yield one


def test_largest_contributions_come_first_and_negative_ones_never(
    explained: PredictionData,
) -> None:
    found = {one.type: one for one in gene_bars.read(explained, 8)}
    third, last = explained.labels[2], explained.labels[-1]
    assert [gene.id for gene in found[last].genes] == [f"ID{n}" for n in range(11, 4, -1)]
    assert [gene.symbol for gene in found[third].genes] == ["S2"]
    names, counts = np.unique(explained.predicted.astype(str), return_counts=True)
    expected = dict(zip(names.tolist(), counts.tolist(), strict=True))
    assert {one.type: one.cells for one in found.values()} == expected


def test_gene_picture_has_a_panel_per_type_in_the_colour_of_the_type(
    explained: PredictionData,
) -> None:
    found = gene_bars.read(explained, 5)[1:]
    made = gene_bars.picture(found, all_types=explained.all_labels)
    drawn = [axis for axis in made.figure.axes if axis.get_visible()]
    colours = colours_of(explained.all_labels)
    for one, axis in zip(found, drawn, strict=True):
        assert to_hex(axis.patches[0].get_facecolor()).upper() == colours[one.type]
    assert len(list(made.data.rows)) == sum(len(one.genes) for one in found)
    assert f"{found[0].type}: S1" in made.alt


def test_only_the_types_that_were_asked_for(explained: PredictionData) -> None:
    (one,) = gene_bars.read(explained, 5, [explained.labels[1]])
    assert one.type == explained.labels[1]
    with pytest.raises(ScReaderError, match="predicts no cell as 'neuron'"):
        gene_bars.read(explained, 5, ["neuron"])


def test_report_has_the_genes_and_escapes_their_texts(
    explained: PredictionData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(umap_plot, "project", lambda vectors, *_: np.zeros((vectors.rows, 2)))
    page = build(ReportInputs(explained))
    assert '<h2 id="genes">' in page and "<b>INS" not in page
    assert "&lt;b&gt;INS&lt;/b&gt; &amp; co" in page


def test_plot_genes_is_reproducible_or_says_what_to_do(
    explained_file: Path, tmp_path: Path
) -> None:
    contents = set()
    for name in ("a.svg", "b.svg"):
        words = ["genes", str(explained_file), "--genes", "4", "-o", str(tmp_path / name)]
        assert CliRunner().invoke(main, words).exit_code == 0
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1
    plain = write_predictions(tmp_path / "plain.h5ad", Case(cells=30))
    result = CliRunner().invoke(main, ["genes", str(plain), "-o", str(tmp_path / "x.png")])
    assert result.exit_code == 1 and "predict --explain" in result.stderr
    assert not (tmp_path / "x.png").exists()
