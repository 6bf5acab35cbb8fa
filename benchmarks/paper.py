"""The paper's own comparison: its reader and its GenePT, both by its recipe, beside controls.

    python benchmarks/paper.py NAME=CELLS [NAME=CELLS …] --work FOLDER

CELLS are files of `build-cells --folds 10`, so that genes are selected from each fold's training
cells. All methods see the same folds; those with an LLM only the first ``--llm-folds`` of them,
with its first ``--llm-layers`` layers and ``--genes-per-cell`` genes. The recipe is also run with a
tenth of the steps as warm-up, all else being equal. FOLDER keeps finished folds, which are not run
again: their scores in results.jsonl, one JSON a line, from which the table is printed, and in
NAME/METHOD each fold's reader and its predictions of the held-out cells, from which figures.py
draws.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.folds import Fold
from screader_lib.exchange import encoding, provenance, writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.option_values import LLM_METHODS
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.methods import methods
from screader_lib.reader.prediction.write_predictions import PredictionOptions, write_predictions
from screader_lib.reader.reader_file import StoredReader, write_reader
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import make_task

# title: method, recipe, share of the steps that warms up (None: as the recipe has it)
ROWS: dict[str, tuple[str, str, float | None]] = {
    "majority": ("majority", "default", None),
    "GenePT, the paper's recipe": ("genept", "paper", None),
    "GenePT, the paper's recipe, shorter warm-up": ("genept", "paper", 0.1),
    "GenePT, our default": ("genept", "default", None),
    "reader, the paper's recipe": ("screader", "paper", None),
    "reader, the paper's recipe, shorter warm-up": ("screader", "paper", 0.1),
    "the same, LLM randomly initialised": ("screader-random", "paper", 0.1),
    "GenePT-w with logistic regression": ("genept-w", "default", None),
    "reader without an LLM, our default": ("pooled", "default", None),
    "logistic regression on log counts": ("logistic", "default", None),
    "logistic regression on components": ("components", "default", None),
}
FOLDS = 10


def folder_name(title: str) -> str:
    """A data set's or a method's name without spaces and commas."""
    return re.sub(r"\W+", "-", title).strip("-")


def run_fold(
    cells: CellSequences, title: str, fold: Fold, folder: Path, given: Any
) -> dict[str, Any]:
    """Scores on the fold's held-out cells, and seconds; its two files are put into the folder."""
    method, recipe, warm_up = ROWS[title]
    chosen: dict[str, Any] = {}
    if method in LLM_METHODS:
        chosen = {"llm_layers": given.llm_layers, "genes_per_cell": given.genes_per_cell}
    settings = settings_for(method, recipe, chosen)
    start = time.monotonic()
    task = make_task(cells, settings, fold=fold)
    steps = math.ceil(len(task.rows) / settings.batch_size) * 10
    if warm_up is not None:
        changed = settings.changed({"warm_up_steps": round(warm_up * steps)})
        task = make_task(cells, changed, fold=fold)
    trained = methods.train(task)
    evaluation = evaluate(trained, task)
    made = provenance.make(
        "benchmarks/paper.py", {}, {"cells": cells.opened.input_record}, [cells.opened.steps]
    )
    with writing.create("reader", folder / f"reader-{fold.number}.h5", made) as file:
        write_reader(file, task, trained, evaluation)
    stored, options = StoredReader.of(task, trained, evaluation), PredictionOptions(task.held_out)
    with writing.create("predictions", folder / f"fold-{fold.number}.h5ad", made) as file:
        write_predictions(file, task.cells, stored, trained, options)
        scores = encoding.read_json(file["uns"], "metrics")
    return {
        "title": title,
        "fold": fold.number,
        "cells": len(task.held_out),
        "steps": steps,
        "seconds": time.monotonic() - start,
        "accuracy": scores["accuracy"],
        "macro_f1": scores["macro_f1"],
    }


def finished(results: Path) -> list[dict[str, Any]]:
    """Folds that are in the file."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


def print_table(runs: list[dict[str, Any]]) -> None:
    """A Markdown table for each data set: means over folds, smallest and largest."""
    for name in dict.fromkeys(run["data"] for run in runs):
        print(f"\n| {name} | folds | accuracy | macro F1 | seconds a fold |\n|---|---|---|---|---|")
        for title in ROWS:
            found = [run for run in runs if (run["data"], run["title"]) == (name, title)]
            if not found:
                continue
            shown = [str(len(found))]
            for key in ("accuracy", "macro_f1"):
                values = [run[key] for run in found]
                spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
                shown.append(f"{np.mean(values):.3f}{spread}")
            shown.append(f"{np.median([run['seconds'] for run in found]):.0f}")
            print(f"| {title} | {' | '.join(shown)} |")


def main() -> None:
    """Run what is not done yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="+", help="NAME=CELLS")
    parser.add_argument("--titles", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--llm-folds", type=int, default=1)
    parser.add_argument("--llm-layers", type=int, default=1)
    parser.add_argument("--genes-per-cell", type=int, default=64)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    results = given.work / "results.jsonl"
    done = {(run["data"], run["title"], run["fold"]) for run in finished(results)}
    for title in given.titles:
        has_llm = ROWS[title][0] in LLM_METHODS
        for name, _, path in (word.partition("=") for word in given.cells):
            with open_exchange(Path(path), "cells") as opened:
                cells = CellSequences(opened)
                assert cells.fold_plan, f"{path}: build the cells with --folds {FOLDS}"
                folds = cells.fold_plan.folds(FOLDS, "")
                folder = given.work / folder_name(name) / folder_name(title)
                folder.mkdir(parents=True, exist_ok=True)
                if not (linked := folder.parent / "cells.h5ad").exists():
                    linked.symlink_to(Path(path).resolve())
                for fold in folds[: given.llm_folds] if has_llm else folds:
                    if (name, title, fold.number) in done:
                        continue
                    run = {"data": name, **run_fold(cells, title, fold, folder, given)}
                    with results.open("a", encoding="utf-8") as sink:
                        sink.write(json.dumps(run) + "\n")
    print_table(finished(results))


if __name__ == "__main__":
    main()
