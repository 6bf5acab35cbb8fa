"""scReader beside its controls on held-out cells: folds by cell, and donors left out.

    python benchmarks/reader.py CELLS [--seeds 3] [--methods ...] [--splits ...] --results FILE

CELLS is what build-cells makes of Baron human (the demonstration's `input/cells.h5ad` and
`gene-embeddings.h5ad`) with `--label cell_type1`. Every method sees the same folds; a fold's
readers never see its cells, nor does anything that chooses their settings: those were chosen on
the demonstration's training cells (see ablations.md). Finished runs are kept in FILE, one JSON a
line, and not run again; the table is printed from it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange import provenance, writing
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.drawing.type_names import method_title
from screader_lib.reader.methods import methods
from screader_lib.reader.prediction import cross_validation
from screader_lib.reader.prediction.merge_predictions import merge_folds
from screader_lib.reader.settings import settings_for

METHODS = (
    "majority", "genept", "genept-s", "genept-w", "logistic", "pooled", "screader-random",
    "screader",
)  # fmt: skip
SPLITS = {"cells": (5, ""), "donors": (0, "donor")}
LLM_LAYERS = 2
SHOWN = ("accuracy", "macro_f1", "calibration_error")


def run_once(cells: CellSequences, method: str, split: str, seed: int) -> dict[str, Any]:
    """Measures over all cells, each called by the reader that held it out, and seconds."""
    count, group_by = SPLITS[split]
    settings = settings_for(method, "default", {"seed": seed, "llm_layers": LLM_LAYERS})
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        plan = cross_validation.CrossValidation(
            cells, settings, count, group_by, Path(folder), methods.train
        )
        files = plan.run()
        target = Path(folder) / "all.h5ad"
        made = provenance.make("benchmark", {}, {}, [])
        with (
            cross_validation.open_predictions(files) as parts,
            writing.create("predictions", target, made) as file,
        ):
            metrics = merge_folds(file, parts)
    return {
        "method": method,
        "split": split,
        "seed": seed,
        "seconds": time.monotonic() - start,
        "metrics": metrics,
    }


def finished(results: Path) -> list[dict[str, Any]]:
    """Runs that are in the file."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


def shown(values: list[float]) -> str:
    """Mean over seeds, smallest and largest."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def print_table(runs: list[dict[str, Any]]) -> None:
    """A Markdown table for each split."""
    for split in SPLITS:
        print(f"\n| {split} held out | accuracy | macro F1 | calibration error | seconds |")
        print("|---|---|---|---|---|")
        for method in METHODS:
            found = [run for run in runs if (run["method"], run["split"]) == (method, split)]
            if found:
                cells = [shown([run["metrics"][name] for run in found]) for name in SHOWN]
                seconds = np.median([run["seconds"] for run in found])
                print(f"| {method_title(method)} | {' | '.join(cells)} | {seconds:.0f} |")


def main() -> None:
    """Run what is not done yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--splits", nargs="*", default=list(SPLITS), choices=list(SPLITS))
    parser.add_argument("--results", type=Path, required=True)
    given = parser.parse_args()
    done = {(run["method"], run["split"], run["seed"]) for run in finished(given.results)}
    with open_exchange(given.cells, "cells") as opened:
        cells = CellSequences(opened)
        for seed in range(given.seeds):
            for split in given.splits:
                for method in given.methods:
                    if (method, split, seed) in done:
                        continue
                    run = run_once(cells, method, split, seed)
                    with given.results.open("a", encoding="utf-8") as sink:
                        sink.write(json.dumps(run) + "\n")
    print_table(finished(given.results))


if __name__ == "__main__":
    main()
