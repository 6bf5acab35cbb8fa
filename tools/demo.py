"""``screader demo``: the whole suite on real cells."""

from __future__ import annotations

from pathlib import Path

import click

from screader_lib.command_line.options import seed_option
from screader_lib.command_line.run import ToolRun
from screader_lib.command_line.tool import tool


@tool(
    "demo",
    examples=[
        "screader demo",
        "screader demo -o /tmp/screader-demo --seed 1",
        "screader demo --only-cells -o .",
    ],
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    help="Output folder.",
)
@click.option(
    "--only-cells",
    is_flag=True,
    help="Run nothing: write baron-human.h5ad and baron-mouse.h5ad (1,886 cells) into the folder.",
)
@seed_option
def main(run: ToolRun, output: Path, only_cells: bool, seed: int) -> None:
    """Run the executables on real cells and compare the reader with its controls.

    Takes 2,142 cells of the human pancreas (Baron et al. 2016), holds out a fifth of each type,
    trains a reader and eight controls on the rest, and evaluates all on the held-out cells. Needs
    no network, no key and no GPU, only the three packages of requirements/embedded.txt.
    """
    import json

    from screader_lib import demo
    from screader_lib.exchange.writing import replacing
    from screader_lib.figures.drawing.type_names import method_title

    demo.archive_of_cells()  # before any folder is made
    if only_cells:
        output.mkdir(parents=True, exist_ok=True)
        for species in demo.SPECIES:
            target = output / f"baron-{species}.h5ad"
            demo.extract_cells(target, species)
            click.echo(target)
        return
    for folder in (output, output / "input", output / "controls"):
        folder.mkdir(parents=True, exist_ok=True)
    baron = output / "input" / "baron-human.h5ad"
    demo.extract_cells(baron)
    names, labels = demo.read_names_and_labels(baron)
    held_out = demo.hold_out(labels, demo.TEST_SHARE, seed)
    demo.write_list(output / "input" / "cells-train.txt", names[~held_out])
    demo.write_list(output / "input" / "cells-test.txt", names[held_out])

    runner = demo.Runner(output, run.reporter.info)
    demo.build(runner, "input/baron-human.h5ad", "input/cells-train.txt", "input/cells-test.txt")
    methods = {}
    for method in ("screader", demo.SHUFFLED, *demo.CONTROLS):
        own = method == "screader"
        reader = "reader.h5" if own else f"controls/{method}.h5"
        predictions = "predictions.h5ad" if own else f"controls/{method}-predictions.h5ad"
        seconds = demo.learn(runner, method, reader, predictions, seed)
        scores = demo.read_scores(output / predictions)
        title = demo.SHUFFLED_TITLE if method == demo.SHUFFLED else method_title(method)
        methods[method] = {"title": title, **scores, "seconds": round(seconds, 1)}
    counts = {"train": int((~held_out).sum()), "test": int(held_out.sum())}
    metrics = {"cells": counts, "seed": seed, "methods": methods}
    with replacing(output / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", "utf-8")
    demo.draw(runner)
    demo.print_table(metrics)
    for name in ("report.html", "confusion.png", "umap.png", "predictions.h5ad", "metrics.json"):
        click.echo(f"{output / name}")
