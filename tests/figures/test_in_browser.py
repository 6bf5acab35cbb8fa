"""The report in a real browser: nothing to complain of, no request, everything is seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import CHROMIUM, Seen, browser, look
from figure_files import PANCREAS, Case, write_predictions

from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.data.projection import principal_components
from screader_lib.figures.plots import umap_panels
from screader_lib.figures.report.report import Inputs, build

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH: the report is not opened in a browser"
)
HOSTILE = "<script>document.title = 'taken'; alert(1)</script>"
ASKED = {
    "title": "document.title",
    "scripts": "document.scripts.length",
    "blank": "[...document.images].filter(image => !image.complete || !image.naturalWidth).length",
    "images": "document.images.length",
    "wider": "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    "type": "[...document.querySelectorAll('#types ~ div th')].map(cell => cell.textContent)",
    "lost": "[...document.querySelectorAll('nav a')].filter("
    "link => !document.getElementById(link.hash.slice(1))).length",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What the browser tells of a report with a hostile name for a type."""
    folder = tmp_path_factory.mktemp("browser")
    path = write_predictions(folder / "p.h5ad", Case(types=(HOSTILE, *PANCREAS[1:]), cells=80))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(umap_panels, "project", lambda vectors, *_: principal_components(vectors, 2))
        with open_exchange(path, "predictions") as opened:
            page = build(Inputs(PredictionData(opened)), title="a report")
    (folder / "report.html").write_text(page, "utf-8")
    with browser(folder / "profile") as speaker:
        yield look(speaker, folder / "report.html", ASKED)


def test_nothing_is_asked_of_anywhere(seen: Seen) -> None:
    first, *others = seen.requests
    assert first.startswith("file:") and first.endswith("/report.html")
    assert [url for url in others if not url.startswith("data:")] == []


def test_nothing_is_complained_of(seen: Seen) -> None:
    assert seen.complaints == []


def test_every_picture_is_drawn_and_nothing_is_wider_than_the_page(seen: Seen) -> None:
    assert seen.values["images"] >= 4
    assert seen.values["blank"] == seen.values["wider"] == seen.values["lost"] == 0


def test_a_name_that_is_a_script_is_text(seen: Seen) -> None:
    assert seen.values["title"] == "a report"
    assert seen.values["scripts"] == 0
    assert HOSTILE in seen.values["type"]
