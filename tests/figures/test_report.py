"""The HTML report."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from figure_files import (
    PANCREAS,
    Case,
    predictions,
    write_cells,
    write_labels,
    write_predictions,
    write_reader,
)
from matplotlib.colors import to_rgb
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data import projection
from screader_lib.figures.data.panels import SavedCoordinates
from screader_lib.figures.data.projection import principal_components
from screader_lib.figures.plots import umap_plot
from screader_lib.figures.report import cell_map, report_tables
from screader_lib.figures.report.report import ReportInputs, build
from screader_lib.figures.report.report_tables import compare_given

HOSTILE = "<script>alert('x')</script>\"><img src=http://bad.example/x>"
VOID = {"meta", "img", "br", "link", "hr", "input"}
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
        self.last_script = ""
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
        if self.open and self.open[-1] == "script":
            self.last_script = data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(autouse=True, scope="module")
def no_umap() -> Iterator[None]:
    """Two principal components stand in for UMAP, which takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(umap_plot, "project", lambda vectors, *_: principal_components(vectors, 2))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    types = (HOSTILE, *PANCREAS[1:])
    case = Case(types=types, cells=80)
    return {
        "predictions": write_predictions(folder / "p.h5ad", case),
        "cells": write_cells(folder / "c.h5ad", case),
        "reader": write_reader(folder / "r.h5", types=types),
    }


def made(
    files: dict[str, Path],
    beside: tuple[Path, ...] = (),
    metrics: dict | None = METRICS,
    **settings: Any,
) -> str:
    with ExitStack() as stack:
        one, *others = [
            stack.enter_context(predictions(path)) for path in (files["predictions"], *beside)
        ]
        opened = [
            stack.enter_context(open_exchange(files[kind], kind)) if kind in files else None
            for kind in ("reader", "cells")
        ]
        return build(ReportInputs(one, *opened, metrics, others), **settings)


@pytest.fixture(scope="module")
def html(files: dict[str, Path]) -> str:
    return made(files)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    result = Page(html)
    assert not result.open
    return result


def test_page_loads_nothing_from_the_network(page: Page) -> None:
    assert not page.all("link") and not page.all("iframe")
    assert page.all("script") == [{"type": "text/plain", "id": "cell-map-content"}, {}]
    for image in page.all("img"):
        form, _, content = image["src"].partition(",")
        assert form == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(content)).tag.endswith("svg")
    assert all(link["href"].startswith("#") for link in page.all("a"))
    [policy] = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    script = hashlib.sha256(page.last_script.encode()).digest()
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", "style-src 'unsafe-inline'",
        f"script-src 'sha256-{base64.b64encode(script).decode()}'",
        "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    assert not any(name.startswith("on") for _, found in page.elements for name in found)


def test_hostile_names_are_shown_as_text(page: Page) -> None:
    assert HOSTILE in page.text
    assert len(page.all("img")) == 5


def test_links_lead_to_headings_and_ids_are_unique(page: Page) -> None:
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    assert {part["aria-labelledby"] for part in page.all("section")} <= set(ids)


def test_page_is_accessible(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1
    assert all(len(image["alt"]) > 40 for image in page.all("img"))
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert np.diff(headings).max() <= 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))


def luminance(colour: str) -> float:
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_text_stands_out_from_its_background(page: Page) -> None:
    light, dark, *_ = re.findall(r":root {(.*?)}", "".join(page.text), re.DOTALL)
    for theme in (light, dark):
        colours = dict(re.findall(r"(--\w+): (#[0-9a-f]{3,6})", theme))
        for paper in ("--paper", "--tint", "--mark", "--warn"):
            for ink in ("--ink", "--soft", "--link"):
                both = sorted(luminance(colours[name]) + 0.05 for name in (paper, ink))
                assert both[1] / both[0] >= 4.5, (paper, ink)


def test_same_bytes_again_and_small(files: dict[str, Path], html: str) -> None:
    assert made(files) == html
    assert len(html.encode()) < 1_000_000


def test_all_methods_are_shown_the_best_first(page: Page) -> None:
    text = " ".join(" ".join(page.text).split())
    assert text.index("logistic 0.950") < text.index(f"{HOSTILE} (this report) 0.900 0.800 12.5")
    assert "1 of the other 2 methods is more accurate than" in text
    assert "they are not of the same cells" in text


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ({"me": 0.9, "x": 0.8}, "Of 2 methods, none is more accurate than me."),
        ({"me": 0.9, "x": 0.9}, "Of 2 methods, none is more accurate than me. Level with: x."),
        ({"me": 0.7, "x": 0.8, "y": 0.9}, "2 of the other 2 methods are more accurate than me"),
        ({"x": 0.8, "y": 0.9}, ""),
        ({"me": None, "y": 0.9}, ""),
    ],
    ids=["best", "tie", "worst", "absent", "unmeasured"],
)
def test_verdict(accuracies: dict[str, float | None], expected: str) -> None:
    methods = {name: {"accuracy": accuracy} for name, accuracy in accuracies.items()}
    verdict = compare_given({"methods": methods}, "me").verdict()
    assert verdict.startswith(expected)
    assert bool(verdict) == bool(expected)


def test_methods_within_one_standard_error_are_level() -> None:
    """Of 100 cells with 90 right, the standard error is 3 cells."""
    methods = {"me": {"accuracy": 0.9}, "x": {"accuracy": 0.93}, "y": {"accuracy": 0.87}}
    given = {"methods": methods | {"z": {"accuracy": 0.86}}, "cells": {"test": 100}}
    told = compare_given(given, "me").verdict()
    assert told == "Of 4 methods, none is more accurate than me. Level with: x, y."
    given["methods"]["best"] = {"accuracy": 0.94}
    told = compare_given(given, "me").verdict()
    assert "1 of the other 4 methods is more accurate" in told and "Level with: x, y." in told


def test_values_that_are_no_numbers_are_left_out() -> None:
    methods = {"x": {"accuracy": "high", "macro_f1": float("nan"), "seconds": True}}
    [row] = compare_given({"methods": methods}, "me").rows
    assert row == {"method": "x", "accuracy": None, "macro F1": None, "seconds": None}


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
        Case(types=[f"{'long ' * 30}{n} γδ" for n in range(61)], cells=80),
    ],
    ids=["no_labels", "all_unassigned", "one_type", "one_cell", "61_long_names"],
)
def test_unusual_cells_give_a_sound_page(tmp_path: Path, case: Case) -> None:
    page = Page(made({"predictions": write_predictions(tmp_path / "p.h5ad", case)}, metrics=None))
    assert not page.open
    assert ("Calibration" in page.text) == ("Results" in page.text) == case.labelled
    assert ("#results" in str(page.all("a"))) == case.labelled


def test_a_sketch_of_many_cells_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_map, "MOST_CELLS", 30)
    monkeypatch.setattr(projection, "FITTED_CELLS", 20)
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=40))
    page = Page(made({"predictions": path}, metrics=None))
    text = " ".join(" ".join(page.text).split())
    assert "Of 40 cells, a random 30 are drawn. Their places are a UMAP of a random 20;" in text


def test_unknown_true_labels_and_metrics_of_types(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "p.h5ad", [("new", "a", True), ("a", "a", True)], ["a"])
    with predictions(path) as one:
        summary = report_tables.data_summary(one, None, None)
        rows = {row["type"]: row for row in report_tables.types_table(one, None)}
    assert summary["true labels unknown to the reader"] == "new"
    a, new = rows["a"], rows["new"]
    assert (a["precision"], a["recall"], a["predicted cells"]) == (1.0, 1.0, 2)
    assert (new["true cells"], new["predicted cells"], new["F1"]) == (1, 0, None)


def test_backed_off_and_unassigned_cells_are_counted_and_listed(tmp_path: Path) -> None:
    rows = [("a", "a", True), ("a", "b", "term"), ("b", "b", False), ("b", "b", True)]
    with predictions(write_labels(tmp_path / "p.h5ad", rows, ["a", "b"])) as one:
        summary = report_tables.data_summary(one, None, None)
        status = [row["status"] for row in report_tables.low_confidence(one)]
        assert "<td>broader type: term</td>" in build(ReportInputs(one))
        table = json.loads(report_tables.multiqc_content(["p"], [one]))
    assert summary["unassigned cells"] == "1 (25.0%)"
    assert summary["cells given a broader type"] == "1 (25.0%)"
    assert status == ["assigned", "broader type: term", "unassigned", "assigned"]
    assert table["data"]["p"]["unassigned"] == table["data"]["p"]["backed_off"] == 25.0
    assert set(table["headers"]) == set(table["data"]["p"])


def test_lowest_confidence_comes_first(tmp_path: Path) -> None:
    with predictions(write_predictions(tmp_path / "p.h5ad", Case(cells=50))) as one:
        rows = report_tables.low_confidence(one, 5)
        assert [row["confidence"] for row in rows] == sorted(one.confidence.tolist())[:5]


def test_other_methods_are_measured_and_compared(tmp_path: Path) -> None:
    files = {"predictions": write_predictions(tmp_path / "p.h5ad", Case(cells=90))}
    worse = Case(cells=90, method="genept", accuracy=0.3)
    other = write_predictions(tmp_path / "q.h5ad", worse)
    page = Page(made(files, (other,), None))
    text = " ".join(" ".join(page.text).split())
    assert text.index("scReader (this report)") < text.index("GenePT with a projector 0.")
    assert "Of 2 methods, none is more accurate than scReader." in text
    assert "seconds" not in text
    alternatives = " ".join(image["alt"] for image in page.all("img"))
    assert (
        "after GenePT with a projector" in alternatives
        and "GenePT with a projector: accuracy" in alternatives
    )
    more = write_predictions(tmp_path / "more.h5ad", Case(cells=91))
    with pytest.raises(ScReaderError, match=r"more\.h5ad: has other cells than .*p\.h5ad"):
        made(files, (more,))


def test_predictions_of_several_readers_get_all_but_the_umap(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "p.h5ad", Case(cells=60))
    with h5py.File(path, "r+") as file:
        del file["obsm/X_screader"]
    page = Page(made({"predictions": path}))
    assert not page.open
    assert "Calibration" in page.text
    alternatives = " ".join(image["alt"] for image in page.all("img"))
    assert "accuracy" in alternatives and "UMAP of" not in alternatives
    assert "hold no vectors of the cells to draw" in " ".join(" ".join(page.text).split())


def test_saved_coordinates_are_drawn_without_vectors(tmp_path: Path) -> None:
    case = Case(cells=60)
    path = write_predictions(tmp_path / "p.h5ad", case)
    with h5py.File(path, "r+") as file:
        del file["obsm/X_screader"]
    points = np.arange(120, dtype=np.float32).reshape(60, 2)
    saved = SavedCoordinates("umap.npz", {"any": (case.ids, points)})
    with predictions(path) as one:
        page = Page(build(ReportInputs(one, None, None, coordinates=saved)))
    assert "UMAP of" in " ".join(image["alt"] for image in page.all("img"))
    assert "measured in the vectors" not in " ".join(page.text)


def test_others_without_vectors_are_named_and_the_map_is_drawn(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    other = write_predictions(
        tmp_path / "other.h5ad", Case(types=(HOSTILE, *PANCREAS[1:]), cells=80)
    )
    with h5py.File(other, "r+") as file:
        del file["obsm/X_screader"]
    reporter = RecordingReporter()
    page = Page(made(files, (other,), None, reporter=reporter))
    assert "UMAP of" in " ".join(image["alt"] for image in page.all("img"))
    text = " ".join(" ".join(page.text).split())
    assert "hold no vectors" not in text and "are measured in the vectors" in text
    assert reporter.warnings == [f"{other}: has no cell vectors; its UMAP is left out."]


def test_multiqc_gets_a_row_per_sample(tmp_path: Path) -> None:
    rows = [("a", "a", True), ("b", "a", False), ("b", "b", True), ("b", "b", True)]
    known = write_labels(tmp_path / "p.h5ad", rows, ["a", "b"])
    unknown = write_predictions(tmp_path / "q.h5ad", Case(cells=5, labelled=False, unassigned=0))
    with predictions(known) as one, predictions(unknown) as two:
        table = json.loads(report_tables.multiqc_content(["p", "q"], [one, two]))
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
