"""The report in a real browser: its map is clicked and lassoed, and hostile names are text."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figure_files import PANCREAS, Case, predictions, write_cells, write_predictions

from screader_lib.exchange.opening import open_exchange
from screader_lib.exchange.table import strings
from screader_lib.figures.plots import umap_plot
from screader_lib.figures.report.cell_map import MapInputs
from screader_lib.figures.report.report import ReportInputs, build

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is missing")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")

HOSTILE = "<script>document.title = 'taken'</script>\"'</script><img src=x onerror=alert(1)>"
CELLS = 80
NAMES = strings(f'cell "{number}"\t{HOSTILE}' for number in range(CELLS))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of the hostile type in the left half of the map, in a square; others in the right."""
    folder = tmp_path_factory.mktemp("page")
    case = Case(types=(HOSTILE, *PANCREAS[1:]), cells=CELLS, labelled=False, unassigned=0)
    path = write_predictions(folder / "p.h5ad", case)
    cells = write_cells(folder / "c.h5ad", case)
    random = np.random.default_rng(0)

    with (
        pytest.MonkeyPatch.context() as patch,
        predictions(path) as one,
        open_exchange(cells, "cells") as opened,
    ):
        right = np.where(one.predicted == HOSTILE, 0, 8)
        places = np.column_stack([right, np.zeros(CELLS)]) + random.uniform(0, 2, (CELLS, 2))
        patch.setattr(umap_plot, "project", lambda *_: places.astype(np.float32))
        batch = strings(HOSTILE if number % 2 else "second" for number in range(CELLS))
        more = MapInputs(NAMES, obs={HOSTILE: batch, "depth": np.arange(CELLS) * 1.5})
        page = build(ReportInputs(one, None, opened, on_map=more), title="a report")
    file = folder / "report.html"
    file.write_text(page, "utf-8")
    return file


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The report, opened; at the end nothing was asked of the network, and nothing complained."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    opened, said, asked = context.new_page(), [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report.as_uri())
    opened.wait_for_selector("html.has-map")
    opened.locator("#map-canvas").scroll_into_view_if_needed()
    yield opened
    assert said == []
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert opened.title() == "a report" and opened.locator("script").count() == 2
    context.close()


def at(page: Any, right: float, down: float) -> tuple[float, float]:
    """A place in the canvas, by shares of its width and height, on the screen."""
    box = page.locator("#map-canvas").bounding_box()
    return box["x"] + right * box["width"], box["y"] + down * box["height"]


def lasso(page: Any, *corners: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*at(page, *corner), steps=4)
    page.mouse.up()


# JavaScript: the picture in the canvas after the next frame
DRAWN = """(canvas) => new Promise((done) => requestAnimationFrame(
    () => requestAnimationFrame(() => done(canvas.toDataURL()))))"""
LEFT = ((0.01, 0.01), (0.45, 0.01), (0.45, 0.99), (0.01, 0.99))


def hostile_cells(report: Path) -> list[str]:
    with predictions(report.parent / "p.h5ad") as one:
        return NAMES[one.predicted == HOSTILE].tolist()


def test_lassoed_cells_are_saved_under_the_given_name(page: Any, report: Path) -> None:
    page.click("#map-lasso")
    lasso(page, *LEFT)
    expected = hostile_cells(report)
    assert page.inner_text("#map-selected") == f"{len(expected)} cells selected"
    page.fill("#map-label", f'"{HOSTILE}')
    page.click("text=Name them")
    with page.expect_download() as saved:
        page.click("#map-save")
    assert saved.value.suggested_filename == "named_cells.tsv"
    with Path(saved.value.path()).open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream, delimiter="\t")
    assert header == ["cell", "label"]
    assert rows == [[name, f'"{HOSTILE}'] for name in expected]


def test_a_later_name_counts_and_a_name_can_be_removed(page: Any, report: Path) -> None:
    everything = ((0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99))
    page.click("#map-lasso")
    for corners, name in ((everything, "all"), (LEFT, "left")):
        lasso(page, *corners)
        page.fill("#map-label", name)
        page.keyboard.press("Enter")
    page.select_option("#map-column", label="your names")
    left = len(hostile_cells(report))
    assert page.locator("#map-legend small").all_inner_texts() == [f"{CELLS - left}", f"{left}"]
    page.click("[aria-label='Remove left']")
    assert page.locator("#map-legend small").all_inner_texts() == [f"{CELLS}"]


def test_a_cell_pointed_at_tells_its_names_as_text(page: Any, report: Path) -> None:
    found = ""
    for right in np.linspace(0.03, 0.2, 60):
        page.mouse.move(*at(page, right, 0.5))
        if page.locator("#map-tip").is_visible():
            found = page.inner_text("#map-tip")
            break
    assert HOSTILE in found and any(name.split("\t")[0] in found for name in hostile_cells(report))
    assert "confidence" in found and page.locator("#map-tip img").count() == 0


def test_a_click_in_the_legend_isolates_a_type(page: Any, report: Path) -> None:
    entries = page.locator("#map-legend button")
    assert HOSTILE in entries.all_inner_texts()[0]
    entries.first.click()
    assert entries.first.get_attribute("aria-pressed") == "true"
    page.click("#map-shown")
    assert page.inner_text("#map-selected") == f"{len(hostile_cells(report))} cells selected"
    page.click("#map-clear")
    assert page.inner_text("#map-selected") == ""
    entries.first.click()
    assert page.locator("#map-legend [aria-pressed=true]").count() == 0


def test_types_are_searched(page: Any) -> None:
    page.fill("#map-search", "ENDOTH")
    shown = page.locator("#map-legend button:visible bdi").all_inner_texts()
    assert shown == ["endothelial"]
    page.keyboard.press("Enter")
    assert page.locator("#map-legend [aria-pressed=true]").count() == 1
    page.fill("#map-search", "no such")
    assert page.locator("#map-legend p").inner_text() == "no such type"


def test_every_column_colours_the_map(page: Any) -> None:
    seen = set()
    for number in range(page.locator("#map-column option").count()):
        page.select_option("#map-column", index=number)
        seen.add(page.locator("#map-canvas").evaluate(DRAWN))
    options = page.locator("#map-column option").all_inner_texts()
    assert len(seen) == len(options) and {"call", "second type", "depth", "confidence"} <= {
        *options
    }


def test_keys_move_the_map_and_turn_the_lasso(page: Any) -> None:
    canvas = page.locator("#map-canvas")
    canvas.focus()
    pictures = [canvas.evaluate(DRAWN)]
    for key in ("+", "ArrowLeft", "ArrowUp", "0"):
        page.keyboard.press(key)
        pictures.append(canvas.evaluate(DRAWN))
    assert len(set(pictures)) == 4 and pictures[0] == pictures[-1]
    page.keyboard.press("l")
    assert page.get_attribute("#map-lasso", "aria-pressed") == "true"


def test_cells_are_named_without_a_mouse(page: Any, report: Path) -> None:
    page.focus("#map-search")
    page.keyboard.press("Tab")  # from the field to the first type
    page.keyboard.press("Enter")
    assert page.locator("#map-legend button").first.get_attribute("aria-pressed") == "true"
    for _ in range(page.locator("#map-legend button").count()):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "map-shown"
    page.keyboard.press("Enter")
    page.keyboard.type("left")
    page.keyboard.press("Enter")
    expected = f"left ({len(hostile_cells(report))})"
    assert page.locator("#map-named li").inner_text().startswith(expected)


def test_on_a_dark_page_the_map_and_its_legend_are_brighter(page: Any) -> None:
    canvas, swatch = page.locator("#map-canvas"), page.locator("#map-legend i").first
    light = canvas.evaluate(DRAWN), swatch.get_attribute("style")
    page.emulate_media(color_scheme="dark")
    dark = canvas.evaluate(DRAWN), page.locator("#map-legend i").first.get_attribute("style")
    assert light[0] != dark[0] and light[1] != dark[1]
    page.emulate_media(color_scheme="light")
    assert canvas.evaluate(DRAWN) == light[0]


@pytest.mark.parametrize(
    "lacks",
    ["delete window.DecompressionStream", "HTMLCanvasElement.prototype.getContext = () => null"],
    ids=["decompression", "canvas"],
)
def test_still_picture_where_a_browser_cannot_draw_the_map(
    browser: Any, report: Path, lacks: str
) -> None:
    context = browser.new_context()
    old, said = context.new_page(), []
    old.on("pageerror", lambda error: said.append(str(error)))
    old.add_init_script(lacks)
    old.goto(report.as_uri())
    old.wait_for_timeout(200)
    assert old.locator("img[alt^='UMAP']").is_visible()
    assert not old.locator("#cell-map").is_visible() and said == []
    context.close()


def test_the_map_needs_no_webgl(browser: Any, report: Path) -> None:
    context = browser.new_context()
    plain = context.new_page()
    plain.add_init_script("""
        const given = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
            return kind.startsWith("webgl") ? null : given.call(this, kind, ...more);
        };""")
    plain.goto(report.as_uri())
    plain.wait_for_selector("html.has-map")
    assert plain.locator("#cell-map").is_visible()
    context.close()


def test_still_picture_in_print_and_without_scripts(browser: Any, page: Any, report: Path) -> None:
    still, live = "img[alt^='UMAP']", "#cell-map"
    assert page.locator(live).is_visible()
    page.emulate_media(media="print")
    assert page.locator(still).is_visible() and not page.locator(live).is_visible()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(report.as_uri())
    assert plain.locator(still).is_visible() and not plain.locator(live).is_visible()
    context.close()


def test_on_a_phone_nothing_is_too_wide_and_a_tap_tells_of_a_cell(
    browser: Any, report: Path
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    phone = context.new_page()
    phone.goto(report.as_uri())
    phone.wait_for_selector("html.has-map")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    phone.locator("#map-canvas").scroll_into_view_if_needed()
    for right in np.linspace(0.1, 0.3, 30):
        phone.touchscreen.tap(*at(phone, right, 0.5))
        if phone.locator("#map-tip").is_visible():
            break
    assert "call" in phone.inner_text("#map-tip")
    context.close()


def test_the_policy_holds_back_scripts_and_pictures_of_others(
    browser: Any, report: Path, tmp_path: Path
) -> None:
    added = "<script>document.title = 'taken'</script><img src='http://bad.example/x'>"
    file = tmp_path / "changed.html"
    file.write_text(report.read_text("utf-8").replace("<main>", f"<main>{added}"), "utf-8")
    context = browser.new_context()
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto(file.as_uri())
    page.wait_for_selector("html.has-map")
    assert page.title() == "a report" and len(said) == 2
    context.close()
