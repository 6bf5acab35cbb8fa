"""Real cells that a reader knows badly: some are lassoed and named, and all get better labels.

Types that were overlooked are then named in the report of these labels, which has no reader.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from map_content import decoded
from real_data import real
from small_files import succeed

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is missing")


def accuracy(calls: Any, true: Any) -> float:
    return float((calls.astype(str).to_numpy() == true.astype(str).to_numpy()).mean())


def names_saved(
    browser: Any, report: Path, column: str, label_of: Mapping[str, str], saved: Path
) -> dict[str, str]:
    """Cell → label, as saved after a small lasso around the centre of each group in a column.

    ``label_of`` says which groups are named, and what they are called.
    """
    _, content = report.read_text("utf-8").split('id="cell-map-content">')
    header, places, _, columns = decoded(content.partition("</script>")[0])
    groups = np.array(columns[column])
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(report.as_uri())
    page.wait_for_selector("html.has-map")
    page.select_option("#map-column", label=column)
    page.click("#map-lasso")
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    for group, label in label_of.items():
        page.locator("#map-legend button", has=page.get_by_text(group, exact=True)).first.click()
        box = canvas.bounding_box()
        assert box is not None
        size = 0.94 * min(box["width"] / header["width"], box["height"] / header["height"])
        centre = np.median(places[groups == group], axis=0)
        right, up = (centre - (header["width"] / 2, header["height"] / 2)) * size
        x, y = box["x"] + box["width"] / 2 + right, box["y"] + box["height"] / 2 - up
        page.mouse.move(x + 8, y)
        page.mouse.down()
        for angle in np.linspace(0, 2 * np.pi, 12):
            page.mouse.move(x + 8 * np.cos(angle), y + 8 * np.sin(angle))
        page.mouse.up()
        if not page.locator("#map-label").is_visible():
            continue  # no cell of it lies at its centre
        page.fill("#map-label", label)
        page.keyboard.press("Enter")
    with page.expect_download() as download:
        page.click("#map-save")
    download.value.save_as(saved)
    page.close()
    return dict(line.split("\t") for line in saved.read_text("utf-8").splitlines()[1:])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_small_lasso_in_each_cluster_makes_better_labels(tmp_path: Path) -> None:
    source = real("baron_mouse.h5ad")
    true = anndata.read_h5ad(source).obs["cell_type1"].astype(str)
    report, first = tmp_path / "report.html", tmp_path / "first.h5ad"
    second_report, second = tmp_path / "second.html", tmp_path / "second.h5ad"
    succeed("annotate", source, "-r", "human-pancreas", "--report", report, "-o", first)
    called = anndata.read_h5ad(first).obs
    clusters = called["screader_cluster"].astype(str)
    label_of = {
        one: Counter(true[clusters == one]).most_common(1)[0][0] for one in sorted({*clusters})
    }
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        saved = tmp_path / "named_cells.tsv"
        named = names_saved(browser, report, "cluster", label_of, saved)
        words = ("--report", second_report, "-o", second)
        succeed("annotate", source, "--examples", saved, *words)
        overlooked = {one: one for one in sorted({*true} - {*named.values()})}
        again = tmp_path / "more.tsv"
        more = names_saved(browser, second_report, "cell_type1", overlooked, again)
        browser.close()
    succeed("annotate", source, "--examples", again, "-o", tmp_path / "third.h5ad")
    before = accuracy(called["screader_consensus_label"], true)
    after = accuracy(anndata.read_h5ad(second).obs["screader_label"], true)
    at_last = accuracy(anndata.read_h5ad(tmp_path / "third.h5ad").obs["screader_label"], true)
    print(f"{len(named)}, then {len(more)} cells named: {before:.3f}, {after:.3f}, {at_last:.3f}")
    assert len(named) < 0.1 * len(true) and after > before > 0.9
    renamed = {cell for cell, label in named.items() if more[cell] != label}
    assert all(more[cell] == true[cell] for cell in {*renamed, *(more.keys() - named.keys())})
    assert {*more.values()} > {*named.values()} and at_last > after
