"""Make the tutorial's pictures and named cells: its commands, and what it does by hand on the map.

python docs/tutorial/pictures.py    needs chromium on the PATH, and the package playwright

Around the densest places of each type that the authors of the data name, a few cells are lassoed
and named, as a person who knows the tissue does it: in one place, in several of a large island. The
table is what the report saves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))
from map_content import decoded  # noqa: E402

SIZE = {"width": 1100, "height": 1000}
UNNAMED = ("immune_other", "schwann")  # not told apart by someone who looks at the map
RADIUS = 0.008  # of a lasso, by the map's larger side
LARGE, PLACES, APART = 100, 4, 0.06  # cells; lassos in so many; by the map's larger side


def annotate(folder: Path) -> None:
    """The tutorial's first two commands."""
    for words in (
        ["demo", "--only-cells", "-o", "."],
        ["annotate", "baron-mouse.h5ad", "--reader", "human-pancreas",
         "--report", "report.html", "-o", "annotated.h5ad"],
    ):  # fmt: skip
        executable = Path(sys.executable).with_name("screader")
        offline = {**os.environ, "SCREADER_OFFLINE": "1"}
        subprocess.run([str(executable), *words], cwd=folder, env=offline, check=True)


def densest(places: np.ndarray, radius: float, count: int, apart: float) -> list[np.ndarray]:
    """Up to ``count`` of the places, floats (cells, 2), with most others within ``radius``.

    Each is farther than ``apart`` from those before it.
    """
    squares = ((places[:, None] - places) ** 2).sum(axis=2)
    crowd = (squares < radius**2).sum(axis=1)
    found: list[int] = []
    for place in np.argsort(-crowd, kind="stable"):
        if len(found) < count and (squares[place, found] > apart**2).all():
            found.append(int(place))
    return [places[place] for place in found]


def name_cells(page: Any, folder: Path) -> None:
    """Lasso a few cells of each type, name them, and take a picture with the last selection."""
    _, content = (folder / "report.html").read_text("utf-8").split('id="cell-map-content">')
    header, places, _, _ = decoded(content.partition("</script>")[0])
    types = anndata.read_h5ad(folder / "baron-mouse.h5ad").obs["cell_type1"].astype(str)
    width, height = header["width"], header["height"]
    places = np.asarray(places, float)
    page.select_option("#map-column", label="cell_type1")
    page.click("#map-lasso")
    canvas = page.locator("#map-canvas")
    radius = RADIUS * max(width, height)
    turns = np.linspace(0, 2 * np.pi, 16)
    for name in sorted({*types} - {*UNNAMED}, key=lambda one: (one == "gamma", one)):
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        scale = 0.94 * min(box["width"] / width, box["height"] / height)
        own = places[types.to_numpy() == name]
        count = PLACES if len(own) > LARGE else 1
        for right, up in densest(own, radius, count, APART * max(width, height)):
            x = box["x"] + box["width"] / 2 + (right - width / 2) * scale
            y = box["y"] + box["height"] / 2 - (up - height / 2) * scale
            page.mouse.move(x + radius * scale, y)
            page.keyboard.down("Shift")  # which adds to what is selected
            page.mouse.down()
            for turn in turns:
                across, down = radius * scale * np.cos(turn), radius * scale * np.sin(turn)
                page.mouse.move(x + across, y + down)
            page.mouse.up()
            page.keyboard.up("Shift")
        page.fill("#map-label", name)
        if name == "gamma":
            page.locator("#cell-map").screenshot(path=HERE / "naming.png")
        page.keyboard.press("Enter")
    with page.expect_download() as download:
        page.click("#map-save")
    download.value.save_as(HERE / "named_cells.tsv")


def main() -> None:
    """Write ``map.png``, ``naming.png`` and ``named_cells.tsv`` next to this file."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as started:
        folder = Path(scratch)
        annotate(folder)
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE)
        page.goto((folder / "report.html").as_uri())
        page.wait_for_selector("html.has-map")
        page.locator(".map-body").screenshot(path=HERE / "map.png")
        name_cells(page, folder)
        browser.close()


if __name__ == "__main__":
    main()
