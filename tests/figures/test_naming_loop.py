"""Real cells that a reader knows badly: some are lassoed and named, and all get better labels."""

from __future__ import annotations

import shutil
from collections import Counter
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


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_small_lasso_in_each_cluster_makes_better_labels(tmp_path: Path) -> None:
    source = real("baron_mouse.h5ad")
    true = anndata.read_h5ad(source).obs["cell_type1"]
    report, saved = tmp_path / "report.html", tmp_path / "named_cells.tsv"
    first, second = tmp_path / "first.h5ad", tmp_path / "second.h5ad"
    succeed("annotate", source, "-r", "human-pancreas", "--report", report, "-o", first)
    _, content = report.read_text("utf-8").split('id="cell-map-content">')
    header, places, names, columns = decoded(content.partition("</script>")[0])
    assert names == true.index.tolist()
    clusters = np.array(columns["cluster"])
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(report.as_uri())
        page.wait_for_selector("html.has-map")
        page.select_option("#map-column", label="cluster")
        page.click("#map-lasso")
        canvas = page.locator("#map-canvas")
        canvas.scroll_into_view_if_needed()
        for cluster in sorted({*columns["cluster"]}, key=int):
            page.locator(
                "#map-legend button", has=page.get_by_text(cluster, exact=True)
            ).first.click()
            box = canvas.bounding_box()
            assert box is not None
            size = 0.94 * min(box["width"] / header["width"], box["height"] / header["height"])
            centre = np.median(places[clusters == cluster], axis=0)
            right, up = (centre - (header["width"] / 2, header["height"] / 2)) * size
            x, y = box["x"] + box["width"] / 2 + right, box["y"] + box["height"] / 2 - up
            page.mouse.move(x + 8, y)
            page.mouse.down()
            for angle in np.linspace(0, 2 * np.pi, 12):
                page.mouse.move(x + 8 * np.cos(angle), y + 8 * np.sin(angle))
            page.mouse.up()
            if not page.locator("#map-label").is_visible():
                continue  # no cell of it lies at its centre
            label, _ = Counter(true[clusters == cluster]).most_common(1)[0]
            page.fill("#map-label", str(label))
            page.keyboard.press("Enter")
        with page.expect_download() as download:
            page.click("#map-save")
        download.value.save_as(saved)
        browser.close()
    rows = saved.read_text("utf-8").splitlines()
    succeed("annotate", source, "--examples", saved, "-o", second)
    before = accuracy(anndata.read_h5ad(first).obs["screader_consensus_label"], true)
    after = accuracy(anndata.read_h5ad(second).obs["screader_label"], true)
    print(f"{len(rows) - 1} cells named; {before:.3f} correct before, {after:.3f} after")
    assert len(rows) < 0.1 * len(true) and after > before > 0.9
