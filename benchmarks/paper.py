"""The paper's own comparison: its reader and its GenePT, both by its recipe, beside controls.

    python benchmarks/paper.py NAME=CELLS [NAME=CELLS …] --results FILE

CELLS are files of `build-cells --folds 10`, so that genes are selected from each fold's training
cells. All methods see the same folds; those with an LLM only the first ``--llm-folds`` of them,
with its first ``--llm-layers`` layers and ``--genes-per-cell`` genes. The recipe is also run with a
tenth of the steps as warm-up, all else being equal. Finished folds are kept in FILE, one JSON a
line, and not run again; the table is printed from it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib import label_metrics
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.folds import Fold
from screader_lib.exchange.opening import open_exchange
from screader_lib.option_values import LLM_METHODS
from screader_lib.reader.methods import methods
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


def run_fold(cells: CellSequences, title: str, fold: Fold, given: Any) -> dict[str, Any]:
    """Scores on the fold's held-out cells, and seconds."""
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
    names = np.array(task.labels.names, object)
    called = names[trained.outputs(task.cells, task.held_out)[0].argmax(1)]
    assert cells.labels is not None
    scores = label_metrics.scores(cells.labels.strings()[task.held_out], called)
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
    parser.add_argument("--results", type=Path, required=True)
    given = parser.parse_args()
    done = {(run["data"], run["title"], run["fold"]) for run in finished(given.results)}
    for title in given.titles:
        has_llm = ROWS[title][0] in LLM_METHODS
        for name, _, path in (word.partition("=") for word in given.cells):
            with open_exchange(Path(path), "cells") as opened:
                cells = CellSequences(opened)
                assert cells.fold_plan, f"{path}: build the cells with --folds {FOLDS}"
                folds = cells.fold_plan.folds(FOLDS, "")
                for fold in folds[: given.llm_folds] if has_llm else folds:
                    if (name, title, fold.number) in done:
                        continue
                    run = {"data": name, **run_fold(cells, title, fold, given)}
                    with given.results.open("a", encoding="utf-8") as sink:
                        sink.write(json.dumps(run) + "\n")
    print_table(finished(given.results))


if __name__ == "__main__":
    main()
