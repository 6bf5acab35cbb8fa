"""The HTML report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from figure_files import PANCREAS, Case, write_cells, write_predictions, write_reader

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.data.projection import principal_components
from screader_lib.figures.plots import umap_panels
from screader_lib.figures.report import multiqc, report_tables
from screader_lib.figures.report.report import Inputs, build
from screader_lib.figures.report.report_tables import Control, controls, verdict

HOSTILE = "<script>alert('x')</script>\"><img src=http://bad.example/x>"
VOID = {"meta", "img", "br", "link", "hr"}
METRICS = {
    "methods": {
        "majority": {"title": "majority", "accuracy": 0.3, "macro_f1": 0.04, "seconds": 0.1},
        "screader": {"title": HOSTILE, "accuracy": 0.9, "macro_f1": 0.8, "seconds": 12.5},
        "logistic": {"title": "logistic", "accuracy": 0.95, "macro_f1": 0.9, "seconds": None},
    }
}


class Page(HTMLParser):
    """Elements of a page, and whether they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(autouse=True)
def no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two principal components stand in for UMAP, which takes seconds to start."""
    monkeypatch.setattr(
        umap_panels, "project", lambda vectors, *_: principal_components(vectors, 2)
    )


@pytest.fixture
def files(tmp_path: Path) -> Iterator[dict[str, Path]]:
    types = (HOSTILE, *PANCREAS[1:])
    case = Case(types=types, cells=80)
    yield {
        "predictions": write_predictions(tmp_path / "p.h5ad", case),
        "cells": write_cells(tmp_path / "c.h5ad", case),
        "reader": write_reader(tmp_path / "r.h5", types=types),
    }


def made(
    files: dict[str, Path],
    beside: tuple[Path, ...] = (),
    metrics: dict | None = METRICS,
    **settings: str,
) -> str:
    with ExitStack() as stack:
        opened = {
            kind: stack.enter_context(open_exchange(path, kind)) for kind, path in files.items()
        }
        others = [
            PredictionData(stack.enter_context(open_exchange(path, "predictions")))
            for path in beside
        ]
        calls = PredictionData(opened["predictions"])
        inputs = Inputs(calls, opened.get("reader"), opened.get("cells"), metrics, others)
        return build(inputs, **settings)


@pytest.fixture
def page(files: dict[str, Path]) -> Page:
    found = Page(made(files))
    assert not found.open
    return found


def test_it_asks_nothing_of_anywhere(page: Page) -> None:
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert all(link["href"].startswith("#") for link in page.all("a"))
    policy = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert not any(name.startswith("on") for _, found in page.elements for name in found)


def test_hostile_names_are_shown_as_text(page: Page) -> None:
    assert HOSTILE in page.text
    assert len(page.all("img")) == 5


def test_links_lead_to_headings_and_ids_are_unique(page: Page) -> None:
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    assert {part["aria-labelledby"] for part in page.all("section")} <= set(ids)


def test_it_reads_well_without_eyes(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1
    assert all(len(image["alt"]) > 40 for image in page.all("img"))
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    steps = np.diff(headings)
    assert steps.max() <= 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))


def _luminance(colour: str) -> float:
    if len(colour) == 4:
        colour = "#" + "".join(2 * letter for letter in colour[1:])
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("paper", ["#fff", "--tint", "#e8f1fa"])
@pytest.mark.parametrize("ink", ["--ink", "--soft", "--link"])
def test_text_stands_out_from_its_background(ink: str, paper: str, page: Page) -> None:
    colours = dict(re.findall(r"(--\w+): (#[0-9a-f]{3,6})", "".join(page.text)))
    bright, dark = (_luminance(colours.get(colour, colour)) for colour in (paper, ink))
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_the_same_bytes_again_and_small(files: dict[str, Path]) -> None:
    first = made(files)
    assert made(files) == first
    assert len(first.encode()) < 1_000_000


def test_all_methods_are_shown_the_best_first(page: Page) -> None:
    text = " ".join(" ".join(page.text).split())
    assert text.index("logistic 0.950") < text.index(f"{HOSTILE} (this report) 0.900 0.800 12.5")
    assert "1 of the other 2 methods is more accurate than" in text
    assert "they are not of the same cells" in text


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ({"me": 0.9, "x": 0.8}, "Of 2 methods, me is the most accurate."),
        ({"me": 0.9, "x": 0.9}, "Of 2 methods, me is the most accurate, as accurate as x."),
        ({"me": 0.7, "x": 0.8, "y": 0.9}, "2 of the other 2 methods are more accurate than me"),
        ({"x": 0.8, "y": 0.9}, ""),
        ({"me": None, "y": 0.9}, ""),
    ],
    ids=["best", "tie", "worst", "absent", "unmeasured"],
)
def test_verdict(accuracies: dict[str, float | None], expected: str) -> None:
    rows = controls({"methods": {n: {"accuracy": a} for n, a in accuracies.items()}}, "me")
    assert verdict(rows).startswith(expected)
    assert bool(verdict(rows)) == bool(expected)


def test_values_that_are_no_numbers_are_left_out() -> None:
    rows = controls({"methods": {"x": {"accuracy": "high", "macro_f1": float("nan")}}}, "me")
    assert rows == [Control("x", None, None, None, False)]


@pytest.mark.parametrize("content", ["", "[]", '{"methods": []}', '{"methods": {"a": 1}}', "\xff"])
def test_a_bad_metrics_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ScReaderError, match=r"^metrics\.json: "):
        report_tables.read_metrics(path, "metrics.json")


def test_a_good_metrics_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS))
    assert report_tables.read_metrics(path, "m") == METRICS


@pytest.mark.parametrize(
    "case",
    [
        Case(cells=30, labelled=False),
        Case(cells=30, unassigned=1),
        Case(types=["only"], cells=12),
        Case(cells=1),
        Case(types=[f"{'long ' * 30}{n} γδ" for n in range(61)], cells=200),
    ],
    ids=["no_labels", "all_unassigned", "one_type", "one_cell", "61_long_names"],
)
def test_unusual_cells_give_a_sound_page(tmp_path: Path, case: Case) -> None:
    page = Page(made({"predictions": write_predictions(tmp_path / "p.h5ad", case)}))
    assert not page.open
    assert ("Calibration" in page.text) == case.labelled


def test_without_true_labels_there_are_no_results(tmp_path: Path) -> None:
    files = {"predictions": write_predictions(tmp_path / "p.h5ad", Case(labelled=False))}
    page = Page(made(files, metrics=None))
    assert "Results" not in page.text and "#results" not in str(page.all("a"))


def test_types_that_the_reader_never_saw_are_named(tmp_path: Path) -> None:
    from figure_files import write_calls

    path = write_calls(tmp_path / "p.h5ad", [("new", "a", True), ("a", "a", True)], ["a"])
    with open_exchange(path, "predictions") as opened:
        calls = PredictionData(opened)
        assert ("types that the reader never saw", "new") in report_tables.data_summary(
            calls, None, None
        )
        rows = {row["type"]: row for row in report_tables.types_table(calls, None)}
    assert (rows["a"]["precision"], rows["a"]["recall"], rows["a"]["called"]) == (0.5, 1.0, 2)
    assert (rows["new"]["cells"], rows["new"]["called"], rows["new"]["f1"]) == (1, 0, 0)


def test_the_least_sure_cells_come_first(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=50))
    with open_exchange(path, "predictions") as opened:
        calls = PredictionData(opened)
        rows = report_tables.low_confidence(calls, 5)
        assert [row["confidence"] for row in rows] == sorted(calls.confidence.tolist())[:5]


def test_other_methods_stand_beside_and_are_measured(tmp_path: Path) -> None:
    files = {"predictions": write_predictions(tmp_path / "p.h5ad", Case(cells=90))}
    worse = Case(cells=90, method="genept", share_right=0.3)
    other = write_predictions(tmp_path / "q.h5ad", worse)
    page = Page(made(files, (other,), None))
    text = " ".join(" ".join(page.text).split())
    assert text.index("scReader (this report)") < text.index("GenePT 0.")
    assert "Of 2 methods, scReader is the most accurate." in text
    assert "seconds" not in text
    alternatives = " ".join(image["alt"] for image in page.all("img"))
    assert "after GenePT" in alternatives and "GenePT: accuracy" in alternatives


def test_gathered_calls_of_several_readers_get_all_but_the_map(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=60))
    with h5py.File(path, "r+") as file:
        del file["obsm/X_screader"]
    page = Page(made({"predictions": path}))
    assert not page.open
    assert "Calibration" in page.text
    alternatives = " ".join(image["alt"] for image in page.all("img"))
    assert "accuracy" in alternatives and "two dimensions" not in alternatives
    assert "no vectors of their own" in " ".join(" ".join(page.text).split())


def test_calls_of_other_cells_are_not_set_beside(tmp_path: Path) -> None:
    files = {"predictions": write_predictions(tmp_path / "p.h5ad", Case(cells=12))}
    other = write_predictions(tmp_path / "q.h5ad", Case(cells=13))
    with pytest.raises(ScReaderError, match=r"q\.h5ad: holds other cells than .*p\.h5ad"):
        made(files, (other,))


def test_multiqc_gets_a_row_per_sample(tmp_path: Path) -> None:
    from figure_files import write_calls

    rows = [("a", "a", True), ("b", "a", False), ("b", "b", True), ("b", "b", True)]
    known = write_calls(tmp_path / "p.h5ad", rows, ["a", "b"])
    unknown = write_predictions(tmp_path / "q.h5ad", Case(cells=5, labelled=False, unassigned=0))
    with (
        open_exchange(known, "predictions") as one,
        open_exchange(unknown, "predictions") as two,
    ):
        table = json.loads(multiqc.content(["p", "q"], [PredictionData(one), PredictionData(two)]))
    assert table["plot_type"] == "table"
    assert table["data"]["p"] == {
        "method": "scReader",
        "cells": 4,
        "unassigned": 25.0,
        "confidence": pytest.approx(0.8),
        "accuracy": 0.75,
        "macro_f1": pytest.approx((2 / 3 + 0.8) / 2, abs=1e-5),
        "calibration_error": pytest.approx(0.05),
    }
    assert set(table["data"]["q"]) == {"method", "cells", "unassigned", "confidence"}
    assert set(table["headers"]) == set(table["data"]["p"])
