"""The figures of a paper on these benchmarks, remade by one command from what is stored.

    python benchmarks/figures.py figures [--paper RUNS] [--demo demo-output] [--page docs/how-to]

RUNS is the folder that paper.py left, `demo-output` what `screader demo` left; two figures are
drawn from the tables of paper.md and confidence.md. PDF, as wide as two columns of a journal;
nothing is trained. `--page` remakes the pictures of the page on figures, which are of the demo.

| file | what it shows | from |
|---|---|---|
| recipes.pdf | reader and GenePT by the paper's recipe, beside controls | paper.md |
| left-out.pdf | types that the training did not have: how many cells get no label | confidence.md |
| methods.pdf | accuracy, precision, recall and F1, and F1 of each type | demo |
| confusion.pdf | which types are taken for which, reader and GenePT | demo |
| umap.pdf | the cells before reading, by GenePT and by the reader | demo |
| training.pdf | loss and validation curves of the reader | demo |

Of each data set in RUNS, with its name before `-methods.pdf` and so on: the same and the
calibration, by the paper's recipe with a shorter warm-up. Each cell is predicted by the fold that
held it out, and methods are compared over all folds that were run. Vectors of different readers
cannot be compared, so the UMAP is of the cells, and the training of the reader, of the first fold.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
from pathlib import Path

from paper import FOLDS, ROWS, folder_name

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
PAPER_READER = "reader, the paper's recipe, shorter warm-up"
PAPER_GENEPT = "GenePT, the paper's recipe, shorter warm-up"
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


def folds_of(runs: Path, title: str) -> list[Path]:
    """A method's predictions of held-out cells: one file of all folds, or those that were run."""
    method = runs / folder_name(title)
    files = sorted(method.glob("fold-*.h5ad"), key=lambda file: int(file.stem.split("-")[1]))
    if len(files) < FOLDS:
        return files
    whole = method / "out-of-fold.h5ad"
    run("screader", "gather", *files, "-o", whole, cwd=runs)
    return [whole]


def plots_of_runs(runs: Path) -> dict[str, list[str | Path]]:
    """The words of ``plot`` for each figure of a data set."""
    found = {title: files for title in ROWS if (files := folds_of(runs, title))}
    every = [file for files in found.values() for file in files]
    names = [("--name", title) for title, files in found.items() for _ in files]
    methods = [runs / folder_name(title) for title in (PAPER_READER, PAPER_GENEPT)]
    first = [method / "fold-1.h5ad" for method in methods]
    both = [method / "out-of-fold.h5ad" for method in methods]
    both = both if all(file.exists() for file in both) else first  # of the same cells
    return {
        "methods": ["metrics", *every, *(word for pair in names for word in pair)],
        "confusion": ["confusion", *both, *NAMES],
        "umap": ["umap", *first, *NAMES, "--cells", runs / "cells.h5ad", "--labels", "names"],
        "calibration": ["calibration", *both, *NAMES, "--width", "85mm"],
        "training": ["training", methods[0] / "reader-1.h5"],
    }


def main() -> None:
    """Write all figures into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--paper", type=Path, help="What paper.py left.")
    parser.add_argument("--demo", type=Path, help="What screader demo left.")
    parser.add_argument("--page", type=Path, help="Folder of the page's pictures.")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    style = canvas.Style(width=WIDTH / 25.4)
    for name, draw in (("recipes", recipes), ("left-out", left_out)):
        draw(style).write(folder / f"{name}.pdf", "pdf", 300)
    drawn = [(given.demo, "", PLOTS)] if given.demo else []
    if given.paper:
        for cells in sorted(given.paper.resolve().glob("*/cells.h5ad")):
            drawn.append((cells.parent, f"{cells.parent.name}-", plots_of_runs(cells.parent)))
    for inputs, prefix, plots in drawn:
        for name, words in plots.items():
            width = () if "--width" in words else ("--width", f"{WIDTH}mm")
            target = folder / f"{prefix}{name}.pdf"
            run("screader-plot", *words, *width, "-o", target, cwd=inputs)
    if given.page:
        for name, words in PAGE.items():
            picture = given.page.resolve() / f"{name}.png"
            run("screader-plot", *words, "-o", picture, cwd=given.demo)
    print("\n".join(map(str, sorted(folder.glob("*.pdf")))))


if __name__ == "__main__":
    main()
