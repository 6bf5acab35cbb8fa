"""Cells that were backed off to a term above are neither assigned nor unassigned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from figure_files import write_calls

from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.plots.confusion_matrix import Confusion, most_confused, picture, tabulate
from screader_lib.figures.report import multiqc, report_tables
from screader_lib.figures.report.report import Inputs, build

ROWS: list[tuple[str, str, bool | str]] = [  # true, called, assigned or what it was backed off to
    ("a", "a", True),
    ("a", "b", "cell of a kind"),
    ("a", "a", "cell of a kind"),
    ("b", "b", False),
    ("b", "b", True),
]


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[PredictionData]:
    path = write_calls(tmp_path / "p.h5ad", ROWS, labels=["a", "b"])
    with open_exchange(path, "predictions") as opened:
        yield PredictionData(opened)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[PredictionData]:
    """The same where nothing was backed off."""
    rows = [(true, called, how is True) for true, called, how in ROWS]
    path = write_calls(tmp_path / "q.h5ad", rows, labels=["a", "b"])
    with open_exchange(path, "predictions") as opened:
        yield PredictionData(opened)


def test_each_cell_has_one_status(calls: PredictionData) -> None:
    assert calls.assigned.tolist() == [True, False, False, False, True]
    assert calls.backed_off.tolist() == [False, True, True, False, False]
    assert calls.unassigned.tolist() == [False, False, False, True, False]
    assert calls.at_last.tolist() == ["a", "cell of a kind", "cell of a kind", "", "b"]


def test_what_cells_without_an_ontology_are_called_at_last(plain: PredictionData) -> None:
    assert plain.at_last.tolist() == ["a", "", "", "", "b"]


def test_the_report_counts_them_apart(calls: PredictionData, plain: PredictionData) -> None:
    summary = dict(report_tables.data_summary(calls, None, None))
    assert summary["unassigned cells"] == "1 (20.0%)"
    assert summary["cells backed off to a term above"] == "2 (40.0%)"
    summary = dict(report_tables.data_summary(plain, None, None))
    assert summary["unassigned cells"] == "3 (60.0%)"
    assert "cells backed off to a term above" not in summary


def test_the_list_of_unsure_cells_tells_the_term(calls: PredictionData) -> None:
    rows = {row["cell"]: row["status"] for row in report_tables.low_confidence(calls)}
    wanted = ["assigned", *["backed off to cell of a kind"] * 2, "unassigned", "assigned"]
    assert rows == {f"cell-{number}": text for number, text in enumerate(wanted)}
    assert "<td>backed off to cell of a kind</td>" in build(Inputs(calls))


def test_multiqc_has_a_column_only_where_there_are_some(
    calls: PredictionData, plain: PredictionData
) -> None:
    table = json.loads(multiqc.content(["p"], [calls]))
    assert table["data"]["p"]["unassigned"] == 20.0 and table["data"]["p"]["backed_off"] == 40.0
    assert set(table["headers"]) == set(table["data"]["p"])
    table = json.loads(multiqc.content(["q"], [plain]))
    assert table["data"]["q"]["unassigned"] == 60.0 and "backed_off" not in table["headers"]


def test_the_matrix_has_a_column_of_each_kind(calls: PredictionData, plain: PredictionData) -> None:
    matrices: list[Confusion] = tabulate([calls, plain], order="name")
    assert [one.columns for one in matrices] == [["a", "b", "unassigned", "backed-off"]] * 2
    assert matrices[0].counts.tolist() == [[1, 0, 0, 2], [0, 1, 1, 0]]
    assert matrices[1].counts.tolist() == [[1, 0, 2, 0], [0, 1, 1, 0]]
    assert most_confused(matrices[0]) == []
    rows = {row[1:4] for row in picture(matrices).numbers.rows if row[0].endswith("(1)")}
    assert ("a", "backed-off", 2) in rows and ("b", "unassigned", 1) in rows


@pytest.mark.parametrize(
    ("unassigned", "wanted"),
    [("call", [[2, 1], [0, 2]]), ("omit", [[1, 0], [0, 1]])],
)
def test_they_may_count_by_their_label_or_be_left_out(
    calls: PredictionData, unassigned: str, wanted: list[list[int]]
) -> None:
    [matrix] = tabulate([calls], unassigned=unassigned, order="name")
    assert matrix.counts.tolist() == wanted and matrix.columns == ["a", "b"]
