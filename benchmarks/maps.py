"""How large a report of many cells is, how long it takes, and how its map moves in a browser.

    python benchmarks/maps.py [--cells 20000 200000 1000000] [--types 40] [--hidden 256]

Each report is made by a process of its own; memory is the largest resident set of that process.
Chromium runs without a display and draws without a GPU. Opening: from the request to the first
picture of the map. Frames: of a map that is moved and zoomed by turns, in a window of 1,200 pixels.
Its further columns are random numbers, which do not compress: real reports are smaller. Prints a
table in Markdown; needs chromium on the PATH and the package playwright.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from million_cells import measure, write_predictions
from playwright.sync_api import sync_playwright

FRAMES = """() => new Promise((done) => {
    const canvas = document.getElementById("map-canvas"), times = [];
    const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key }));
    const keys = ["ArrowLeft", "ArrowUp", "+", "ArrowRight", "ArrowDown", "-"];
    let drawn = 0;
    const next = (now) => {
        times.push(now);
        if (times.length > 60) done(1000 * 60 / (times[60] - times[0]));
        else { press(keys[drawn++ % keys.length]); requestAnimationFrame(next); }
    };
    requestAnimationFrame(next);
})"""
POINT = """() => {
    const canvas = document.getElementById("map-canvas"), box = canvas.getBoundingClientRect();
    const begin = performance.now();
    for (let i = 0; i < 50; i++) canvas.dispatchEvent(new PointerEvent("pointermove", {
        pointerType: "mouse", clientX: box.left + box.width * (0.2 + i / 80),
        clientY: box.top + box.height * 0.5 }));
    return (performance.now() - begin) / 50;
}"""
COLOUR = """() => {
    const choice = document.getElementById("map-column"), begin = performance.now();
    choice.value = 1;
    choice.dispatchEvent(new Event("change"));
    return performance.now() - begin;
}"""


def in_browser(browser: Any, report: Path) -> tuple[float, float, float, float]:
    """Seconds to open, frames a second, milliseconds to point at a cell and to colour the map."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    begin = time.perf_counter()
    page.goto(report.as_uri())
    page.wait_for_selector("html.has-map")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
    opened = time.perf_counter() - begin
    page.locator("#map-canvas").scroll_into_view_if_needed()
    values = tuple(page.evaluate(script) for script in (FRAMES, POINT, COLOUR))
    page.close()
    return opened, *values


def main() -> None:
    """Write the predictions, make the reports, open them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[20_000, 200_000, 1_000_000])
    parser.add_argument("--types", type=int, default=40)
    parser.add_argument("--hidden", type=int, default=256, help="Width of the cell vectors.")
    parser.add_argument("--columns", type=int, default=20, help="Further ones, of random numbers.")
    parser.add_argument("--keep", type=Path, help="Keep the files in this folder.")
    options = parser.parse_args()
    plot = str(Path(sys.executable).with_name("plot"))
    print(
        "| cells | seconds | CPU seconds | GB of memory | MB | opens in s | frames a second | "
        "ms to point | ms to colour |\n|---|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as started:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for cells in options.cells:
            file, report = folder / f"{cells}.h5ad", folder / f"{cells}.html"
            write_predictions(
                file, folder / "umap.npz", cells, options.types, options.hidden, options.columns
            )
            made = measure([plot, "report", str(file), "-o", str(report)])
            file.unlink()
            shown = in_browser(browser, report)
            print(
                f"| {cells:,} | {made[0]:.0f} | {made[1]:.0f} | {made[2]:.1f} | "
                f"{report.stat().st_size / 1e6:.1f} | {shown[0]:.1f} | {shown[1]:.0f} | "
                f"{shown[2]:.1f} | {shown[3]:.0f} |",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
