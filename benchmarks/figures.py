"""The figures of a paper on these benchmarks, remade by one command from what is stored.

    python benchmarks/figures.py demo-output figures [--paper baron.h5ad] [--page docs/how-to]

`demo-output` is what `screader demo` left; the other figures are drawn from the tables of paper.md
and confidence.md. PDF, as wide as two columns of a journal; nothing is trained. With `--paper`, the
first fold of paper.md's runs on Baron human is trained and predicted in `figures/paper`, unless it
is there, and drawn as well. `--page` remakes the pictures of the page on figures.

| file | what it shows | from |
|---|---|---|
| recipes.pdf | reader and GenePT by the paper's recipe, beside controls | paper.md |
| methods.pdf | accuracy, precision, recall and F1, and F1 of each type | demo |
| confusion.pdf | which types are taken for which, reader and GenePT | demo |
| umap.pdf | the cells before reading, by GenePT and by the reader | demo |
| training.pdf | loss and validation curves of the reader | demo |
| left-out.pdf | types that the training did not have: how many cells get no label | confidence.md |
| paper-….pdf | metrics, confusion, UMAP, calibration, training by the paper's recipe | `--paper` |
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
from pathlib import Path

from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.palettes import method_colours

HERE = Path(__file__).parent
WIDTH = 180  # mm
READER, GENEPT = "predictions.h5ad", "controls/genept-predictions.h5ad"
CONTROLS = ("genept", "genept-w", "logistic", "pooled", "screader-random")
NAMES = ("--name", "scReader", "--name", "GenePT")
PLOTS = {
    "methods": ("metrics", READER, *(f"controls/{one}-predictions.h5ad" for one in CONTROLS)),
    "confusion": ("confusion", READER, GENEPT, *NAMES),
    "umap": ("umap", READER, GENEPT, *NAMES, "--cells", "cells-test.h5ad", "--labels", "names"),
    "training": ("training", "reader.h5"),
}
WITH_LLM = ("--recipe", "paper", "--warm-up-steps", "28", "--llm-layers", "1", "-k", "32")
RUNS = {  # of the paper's comparison, by the file of predictions: options of train-reader
    "controls/genept-predictions.h5ad": ("genept", *WITH_LLM[:4]),
    "controls/genept-w-predictions.h5ad": ("genept-w",),
    "controls/logistic-predictions.h5ad": ("logistic",),
    "controls/pooled-predictions.h5ad": ("pooled",),
    READER: ("screader", *WITH_LLM),
    "controls/screader-random-predictions.h5ad": ("screader-random", *WITH_LLM),
}
PAPER_PLOTS = PLOTS | {
    "umap": ("umap", READER, GENEPT, *NAMES, "--cells", "cells.h5ad", "--labels", "names"),
    "calibration": ("calibration", READER, GENEPT, *NAMES),
}
PAGE = {  # pictures of the page on figures
    "umap": ("umap", READER, "--labels", "names", "--width", "85mm"),
    "confusion": ("confusion", READER, "--width", "85mm"),
    "markers": ("markers", READER, "--cells", "cells-test.h5ad", "--width", f"{WIDTH}mm"),
}
TABLE = re.compile(r"^(?:(.+):\n\n)?\|(.+)\|\n\|[-|]+\|\n((?:\|.+\|\n)+)", re.MULTILINE)
Row = dict[str, str]


def tables(page: str, column: str) -> list[tuple[str, list[Row]]]:
    """What a page says before each table that has the column, and its rows by column."""
    found = []
    for before, header, body in TABLE.findall((HERE / page).read_text("utf-8")):
        columns = [name.strip() for name in header.split("|")]
        if column in columns:
            cells = [[one.strip(" *") for one in row[1:-1].split("|")] for row in body.splitlines()]
            found.append((before, [dict(zip(columns, row, strict=True)) for row in cells]))
    return found


def recipes(style: canvas.Style) -> canvas.Picture:
    """Accuracy and macro F1 of each method of paper.md, a panel for each data set."""
    found = [rows for _, rows in tables("paper.md", "folds")]
    methods = list(dict.fromkeys(next(iter(row.values())) for rows in found for row in rows))
    drawn: list[tuple] = []
    with canvas.drawing(style):
        figure = canvas.new_figure(style, (8.0, 3.4))
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        colours = method_colours(2, style.palette)
        for axis, rows in zip(panels, found, strict=True):
            data = next(iter(rows[0]))  # the first column's name
            for number, measure in enumerate(("accuracy", "macro F1")):
                look = {"color": colours[number], "marker": canvas.MARKERS[number]}
                for row in rows:
                    mean, *ends = map(float, re.findall(r"\d\.\d+", row[measure]))
                    least, most = ends or (mean, mean)
                    place = methods.index(row[data])
                    axis.plot([least, most], [place, place], color=look["color"])
                    label = measure if row is rows[0] else None
                    axis.plot([mean], [place], ls="", label=label, **look)
                    drawn.append((data, row[data], measure, mean, least, most))
            axis.set(title=data, xlim=(0, 1), xlabel="mean and range over folds")
            axis.set_yticks(range(len(methods)), methods)
            axis.grid(axis="x")
        panels[0].invert_yaxis()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    alt = ["Reader and GenePT by the paper's recipe and by the defaults, beside controls"]
    columns = ("data", "method", "measure", "mean", "least", "most")
    return canvas.Picture.of(figure, columns, drawn, alt)


KINDS = {  # of cells in the figure of left-out types: column of confidence.md, and how it is drawn
    "left out, by familiarity": ("refused, familiarity", 0, canvas.MARKERS[0], "full"),
    "left out, by evidence alone": ("refused, without distance", 0, canvas.MARKERS[0], "none"),
    "known types, by familiarity": ("known refused, familiarity", 1, canvas.MARKERS[1], "full"),
}


def left_out(style: canvas.Style) -> canvas.Picture:
    """The share of the cells of each left-out type, and of known ones, that get no label."""
    found = tables("confidence.md", "left out")
    drawn: list[tuple] = []
    with canvas.drawing(style):
        across, down = 2, math.ceil(len(found) / 2)
        figure = canvas.new_figure(style, (3.6 * across, 2.6 * down + 0.3))
        panels = figure.subplots(down, across, squeeze=False).ravel()
        colours = method_colours(2, style.palette)
        for axis, (data, rows) in zip(panels, found, strict=False):
            types = [row for row in rows if row["left out"] != "mean"]
            types.sort(key=lambda row: float(row["refused, familiarity"]))
            for kind, (column, number, marker, filled) in KINDS.items():
                shares = [float(row[column]) for row in types]
                axis.plot(
                    shares, range(len(types)), marker, color=colours[number], fillstyle=filled,
                    label=kind,
                )  # fmt: skip
                drawn += [
                    (data, row["left out"], kind, share)
                    for row, share in zip(types, shares, strict=True)
                ]
            axis.set_yticks(range(len(types)), [row["left out"] for row in types])
            axis.set(title=data, xlim=(-0.04, 1.04), xlabel="share without a label")
            axis.grid(True)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    alt = ["Share of cells without a label, of types that the training did not have and of others"]
    return canvas.Picture.of(figure, ("data", "type", "cells", "share"), drawn, alt)


def run(tool: str, *words: str | Path, cwd: Path) -> None:
    """Run one of the suite's commands in a folder; an error ends this script."""
    program = Path(sys.executable).with_name(tool)
    subprocess.run([str(program), *map(str, words)], cwd=cwd, check=True)


def run_paper(cells: Path, folder: Path) -> None:
    """Train and predict what is not in the folder yet."""
    (folder / "controls").mkdir(parents=True, exist_ok=True)
    if not (folder / "cells.h5ad").exists():
        (folder / "cells.h5ad").symlink_to(cells.resolve())
    for predictions, (method, *options) in RUNS.items():
        if (folder / predictions).exists():
            continue
        reader = predictions.replace("-predictions.h5ad", ".h5").replace(READER, "reader.h5")
        fold = ("--folds", "10", "--fold", "1", "--method", method)
        run("train-reader", "cells.h5ad", *fold, *options, "-o", reader, cwd=folder)
        words = ("cells.h5ad", "--reader", reader, "--held-out", "-o", predictions)
        run("predict", *words, cwd=folder)


def main() -> None:
    """Write all figures into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="what screader demo left")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paper", type=Path, help="Cells of build-cells --folds 10.")
    parser.add_argument("--page", type=Path, help="Folder of the page's pictures.")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    style = canvas.Style(width=WIDTH / 25.4)
    for name, draw in (("recipes", recipes), ("left-out", left_out)):
        draw(style).write(folder / f"{name}.pdf", "pdf", 300)
    for name, words in PLOTS.items():
        common = ("--width", f"{WIDTH}mm", "-o", folder / f"{name}.pdf")
        run("screader-plot", *words, *common, cwd=given.demo)
    if given.paper:
        run_paper(given.paper, folder / "paper")
        for name, words in PAPER_PLOTS.items():
            common = ("--width", f"{WIDTH}mm", "-o", folder / f"paper-{name}.pdf")
            run("screader-plot", *words, *common, cwd=folder / "paper")
    if given.page:
        page = given.page.resolve()
        for name, words in PAGE.items():
            run("screader-plot", *words, "-o", page / f"{name}.png", cwd=given.demo)
    print("\n".join(map(str, sorted(folder.glob("*.pdf")))))


if __name__ == "__main__":
    main()
