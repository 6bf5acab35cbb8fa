"""The map of the report beside the same map drawn by regl-scatterplot and by deck.gl.

    npm install regl-scatterplot@1.16 @deck.gl/core@9 @deck.gl/layers@9 esbuild
    python benchmarks/map_libraries.py node_modules [--cells 20000 200000] [--rounds 3]

Each page is one HTML file with the same cells, the same frame around the canvas and all code
inside; esbuild bundles and minifies the libraries. A page of a library draws, finds the cell under
the pointer, moves and zooms: the rest of the report's map (legend, search, naming, lasso with a
table to save) is not there. Chromium runs without a display, so WebGL is computed by the
processor (SwiftShader). Frames: of a map that is moved at each picture that the browser asks for,
until the last one is drawn. The pages take turns, and medians of the rounds are printed as tables
in Markdown. Needs chromium and pdftoppm on the PATH, and the packages playwright and psutil.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import numpy as np
import psutil
from million_cells import write_predictions
from PIL import Image
from playwright.sync_api import Error, sync_playwright

from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.data.prediction_data import PredictionData
from screader_lib.figures.report import cell_map

FRAMES, MOST_SECONDS = 60, 10  # of a measurement; fewer frames where they take longer
OPENS_WITHIN = 180  # seconds
OURS = "our own"
BEGIN = """
const byId = (id) => document.getElementById(id), canvas = byId("map-canvas");
const begin = async (draw) => {
  try {
    const { header, columns } = await unpack(byId("cell-map-content").textContent);
    const shown = columns[header.first], diameter = header.cells < 80000 ? 2.3 : 1.6;
    byId("cell-map").hidden = false;
    window.probe = await draw(header, shown, diameter, canvas.getBoundingClientRect());
    probe.finish();
    document.documentElement.classList.add("has-map");
  } catch (error) { window.failed = String(error); }
};
"""
OF_LIBRARY = {
    "regl-scatterplot": """
import createScatterplot from "regl-scatterplot";
begin(async ({ x, y, width, height }, { codes, colours }, pointSize, box) => {
  const side = Math.max(width, height) / 1.88, hit = { count: 0 }, at = [0, 0];
  const plot = createScatterplot({ canvas, pointSize, pointColor: colours, colorBy: "valueA",
    opacity: 1, backgroundColor: "#ffffff" });
  plot.subscribe("pointover", () => hit.count++);
  const centred = (values, extent) =>
    Float32Array.from(values, (value) => (value - extent / 2) / side);
  await plot.draw({ x: centred(x, width), y: centred(y, height), valueA: codes },
    { zDataType: "categorical" });
  const finish = () => canvas.getContext("2d").getImageData(0, 0, 1, 1);
  let distance = plot.get("cameraDistance");
  return { hit, finish,
    step(right, down, zoom) {
      distance /= zoom;
      at[0] -= (right * 2) / box.height;
      at[1] += (down * 2) / box.height;
      plot.set({ cameraTarget: at, cameraDistance: distance });
    },
    point(clientX, clientY) {
      canvas.dispatchEvent(new MouseEvent("mousemove", { clientX, clientY, bubbles: true }));
    } };
});
""",
    "deck.gl": """
import { Deck, OrthographicView } from "@deck.gl/core";
import { ScatterplotLayer } from "@deck.gl/layers";
begin((header, { codes, colours }, diameter, box) => new Promise((done, fail) => {
  const { cells, x, y, width, height } = header;
  const place = new Float32Array(2 * cells), colour = new Uint8Array(3 * cells), hit = { count: 0 };
  const table = colours.map((text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)));
  for (let cell = 0; cell < cells; cell++) {
    place.set([x[cell], y[cell]], 2 * cell);
    colour.set(table[codes[cell]], 3 * cell);
  }
  const view = { target: [width / 2, height / 2, 0],
    zoom: Math.log2(0.94 * Math.min(box.width / width, box.height / height)) };
  const layer = new ScatterplotLayer({ id: "cells", pickable: true, radiusUnits: "pixels",
    getRadius: diameter / 2, data: { length: cells, attributes: {
      getPosition: { value: place, size: 2 }, getFillColor: { value: colour, size: 3 } } } });
  const finish = () => {
    const gl = canvas.getContext("webgl2");
    deck.redraw();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  };
  const probe = { hit, finish,
    step(right, down, zoom) {
      const size = 2 ** view.zoom;
      view.target = [view.target[0] - right / size, view.target[1] + down / size, 0];
      view.zoom += Math.log2(zoom);
      deck.setProps({ initialViewState: { ...view } });
    },
    point(clientX, clientY) {
      const found = deck.pickObject({ x: clientX - box.left, y: clientY - box.top, radius: 9 });
      if (found) hit.count++;
    } };
  const deck = new Deck({ canvas, views: new OrthographicView({ flipY: false }), controller: true,
    initialViewState: { ...view }, layers: [layer], onError: fail,
    onAfterRender: () => done(probe) });
}));
""",
}
OWN_PROBE = """() => {
  const canvas = document.getElementById("map-canvas"), tip = document.getElementById("map-tip");
  const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key }));
  const hit = { count: 0 };
  window.probe ??= { hit,
    finish: () => canvas.getContext("2d").getImageData(0, 0, 1, 1),
    step: (right, down, zoom) => press(right < 0 ? "ArrowRight" : right > 0 ? "ArrowLeft"
      : down < 0 ? "ArrowDown" : down > 0 ? "ArrowUp" : zoom > 1 ? "+" : "-"),
    point(clientX, clientY) {
      const at = { pointerType: "mouse", clientX, clientY };
      canvas.dispatchEvent(new PointerEvent("pointermove", at));
      if (!tip.hidden) hit.count++;
    } };
}"""
MOVE = """([frames, most]) => new Promise((done) => {
  const steps = [[-60, 0, 1], [0, 60, 1], [0, 0, 1.4], [60, 0, 1], [0, -60, 1], [0, 0, 1 / 1.4]];
  let drawn = 0, began = 0;
  const next = () => {
    began ||= performance.now();
    if (drawn === frames || performance.now() - began > most * 1000) {
      probe.finish();
      done([(1000 * drawn) / (performance.now() - began), drawn]);
    } else {
      probe.step(...steps[drawn++ % steps.length]);
      requestAnimationFrame(next);
    }
  };
  requestAnimationFrame(next);
})"""
POINT = """async (most) => {
  const box = document.getElementById("map-canvas").getBoundingClientRect();
  const begin = performance.now();
  let tried = 0;
  while (tried < 50 && performance.now() - begin < most * 1000)
    probe.point(box.left + box.width * (0.2 + tried++ / 80), box.top + box.height * 0.5);
  const spent = (performance.now() - begin) / tried;
  await new Promise((done) => setTimeout(done, 300));
  return [spent, tried, probe.hit.count];
}"""


def bundled(modules: Path, code: str) -> str:
    """The code and what it imports, minified."""
    command = [str((modules / ".bin" / "esbuild").resolve()), "--bundle", "--minify",
               "--format=iife", "--target=es2022", "--charset=utf8"]  # fmt: skip
    done = subprocess.run(
        command, input=code, text=True, stdout=subprocess.PIPE, check=True, cwd=modules.parent
    )
    return done.stdout


def scripts(modules: Path) -> tuple[dict[str, str], dict[str, int]]:
    """The script of each page, and the minified bytes of the library alone, or of our whole map."""
    own = (resources.files("screader_lib.figures") / "templates" / "cell_map.js").read_text("utf-8")
    unpack = own.split("// ---- what is stored")[1].split("function valueOf")[0]
    texts, sizes = {OURS: own}, {OURS: len(bundled(modules, own).encode())}
    for name, code in OF_LIBRARY.items():
        texts[name] = bundled(modules, unpack + BEGIN + code)
        without = "\n".join(line for line in code.splitlines() if not line.startswith("import "))
        rest = bundled(modules, unpack + BEGIN + without)
        sizes[name] = len(texts[name].encode()) - len(rest.encode())
    return texts, sizes


def html(drawn: cell_map.CellMap, script: str, has_policy: bool = False) -> str:
    """A page with nothing but the map; with the policy of the report where it is asked for."""
    environment = jinja2.Environment(loader=jinja2.PackageLoader("screader_lib.figures"))
    body = environment.get_template("cell_map.html").render(
        map=drawn, sketch=None, by_examples=False
    )
    style = environment.get_template("report.css").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'\">"
    )
    printed = "@media print { #cell-map { display: block; } .map-side { display: none; } }"
    return (
        f"<!DOCTYPE html><html lang=en><head><meta charset=utf-8>{policy if has_policy else ''}"
        f"<title>Map</title><style>{style}{printed}</style></head><body>{body}"
        f"<script>{script}</script></body></html>"
    )


def drawn_map(folder: Path, cells: int) -> cell_map.CellMap:
    """The map of cells of 40 types at given places, with no further columns."""
    file, places = folder / f"{cells}.h5ad", folder / "places.npz"
    write_predictions(file, places, cells, 40, 2)
    with open_exchange(file, "predictions") as opened:
        predictions = PredictionData(opened)
        coordinates = np.load(places)["coordinates_0"]
        return cell_map.encode(predictions, coordinates, predictions.all_labels)


def opened_page(browser: Any, file: Path) -> tuple[Any, float]:
    """The page once its map is drawn, and the seconds until then; an Error where it is not."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    begin = time.perf_counter()
    try:
        page.goto(file.as_uri())
        page.wait_for_function(
            "window.failed || document.documentElement.classList.contains('has-map')",
            timeout=OPENS_WITHIN * 1000,
        )
        if failed := page.evaluate("window.failed"):
            raise Error(failed)
    except Error:
        page.close()
        raise
    page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
    return page, time.perf_counter() - begin


def processor_seconds() -> float:
    """CPU seconds of all processes that this one started."""
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


def measured(browser: Any, file: Path) -> tuple[float, float, float, float]:
    """Seconds to open, frames a second, CPU milliseconds a frame, milliseconds to point."""
    page, opening = opened_page(browser, file)
    page.locator("#map-canvas").scroll_into_view_if_needed()
    page.evaluate(OWN_PROBE)
    pointing, tried, hits = page.evaluate(POINT, MOST_SECONDS)
    if tried == 50 and not hits:
        raise SystemExit(f"{file.name}: no cell was found under the pointer")
    page.evaluate(MOVE, [1, MOST_SECONDS])
    before = processor_seconds()
    frames, drawn = page.evaluate(MOVE, [FRAMES, MOST_SECONDS])
    spent = 1000 * (processor_seconds() - before) / drawn
    page.close()
    return opening, frames, spent, pointing


def does_open(browser: Any, file: Path) -> str:
    """``yes``, or ``no``."""
    try:
        page, _ = opened_page(browser, file)
    except Error as error:
        print(f"<!-- {file.name}: {str(error).splitlines()[0]} -->")
        return "no"
    page.close()
    return "yes"


def is_printed(browser: Any, file: Path, folder: Path) -> str:
    """Whether a PDF of the page has the points: coloured pixels; the text and frames are grey."""
    page, _ = opened_page(browser, file)
    page.pdf(path=folder / "page.pdf", print_background=True)
    page.close()
    subprocess.run(["pdftoppm", "-r", "50", "-png", "-singlefile", "page.pdf", "page"], cwd=folder,
                   check=True)  # fmt: skip
    pixels = np.asarray(Image.open(folder / "page.png").convert("HSV"))
    return "yes" if (pixels[..., 1] > 60).mean() > 0.003 else "no"


def main() -> None:
    """Write the pages, open them by turns, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", type=Path, help="The folder node_modules.")
    parser.add_argument("--cells", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts, sizes = scripts(options.modules)
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as started:
        folder = Path(temporary)
        pages = {}
        for cells in options.cells:
            drawn = drawn_map(folder, cells)
            for name, script in texts.items():
                pages[cells, name] = folder / f"{name} {cells}.html"
                pages[cells, name].write_text(html(drawn, script), "utf-8")
                if cells == options.cells[0]:
                    strict = folder / f"{name} with the policy.html"
                    strict.write_text(html(drawn, script, has_policy=True), "utf-8")
        launch = {"executable_path": chromium, "args": ["--no-sandbox"]}
        no_webgl = {**launch, "args": ["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]}
        few = options.cells[0]
        with started.chromium.launch(**no_webgl) as browser:
            without = {name: does_open(browser, pages[few, name]) for name in texts}
        print(
            "| map | KB of its code, minified | opens without WebGL | under the report's policy | "
            "canvas is printed |\n|---|---|---|---|---|"
        )
        with started.chromium.launch(**launch) as browser:
            for name in texts:
                strict = does_open(browser, folder / f"{name} with the policy.html")
                printed = is_printed(browser, pages[few, name], folder)
                size = f"{sizes[name] / 1000:.0f}"
                print(f"| {name} | {size} | {without[name]} | {strict} | {printed} |", flush=True)
            results: dict[tuple[int, str], list[tuple[float, ...]]] = {key: [] for key in pages}
            for turn in range(options.rounds):
                for cells in options.cells:
                    names = [*texts][turn % 3 :] + [*texts][: turn % 3]
                    for name in names:
                        values = measured(browser, pages[cells, name])
                        results[cells, name].append(values)
                        print(cells, name, *(f"{value:.2f}" for value in values), file=sys.stderr)
        print(
            "\n| cells | map | KB of page | opens in s | frames a second | million points a second "
            "| CPU ms a frame | ms to point |\n|---|---|---|---|---|---|---|---|"
        )
        for (cells, name), rounds in results.items():
            opening, frames, spent, pointing = map(median, zip(*rounds, strict=True))
            print(
                f"| {cells:,} | {name} | {pages[cells, name].stat().st_size / 1000:,.0f} | "
                f"{opening:.1f} | {frames:.2g} | {cells * frames / 1e6:.2f} | {spent:,.0f} | "
                f"{pointing:,.1f} |"
            )


if __name__ == "__main__":
    main()
