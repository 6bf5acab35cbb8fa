"""scReader beside its controls on held-out cells: folds by cell, and held-out donors.

    python benchmarks/reader.py COUNTS EMBEDDINGS [--shuffled EMBEDDINGS] [--label COLUMN]
        [--seeds 3] [--methods ...] [--splits ...] [--genes training all] --results FILE

COUNTS is Baron human and EMBEDDINGS what embed-genes makes of its genes (the demonstration's
`gene-embeddings.h5ad`), or other cells and theirs; those of --shuffled are made with --shuffle, and
read by the methods whose name says so. Cells are built beside FILE for each split and seed. Every
method sees the same folds; a fold's readers never see its cells, nor does what chooses their genes
(`--genes all` measures what it is worth to choose them from all cells) or their settings: those
were chosen on the demonstration's training cells (see ablations.md). Finished runs are kept in
FILE, one JSON a line, and not run again; the tables are printed from it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import product
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
    "majority", "genept", "genept-s", "genept-w", "components", "logistic", "pooled-shuffled",
    "pooled", "screader-random", "screader-shuffled", "screader",
)  # fmt: skip
SHUFFLED = "-shuffled"  # trained on texts that belong to other genes
SPLITS = {"cells": (5, ""), "donors": (0, "donor")}
GENES = {"training": "training cells", "all": "all cells"}
DONORS = ("human3", "human1", "human2", "human4")  # as folds: the largest first
LLM_LAYERS = 2
ORDER = ("seed", "split", "genes", "method")
SHOWN = ("accuracy", "macro_f1", "calibration_error")


def built(given: argparse.Namespace, split: str, seed: int, genes: str, shuffled: bool) -> Path:
    """The cells of a split, built where they are not there yet."""
    count, group_by = SPLITS[split]
    words: list[str] = []
    if genes == "training":
        words = ["--folds", str(count)] if count else ["--group-by", group_by]
        words += ["--seed", str(seed)]
    kind = "shuffled" if shuffled else "cells"
    target = given.results.with_name("-".join([kind, *words]).replace("--", "") + ".h5ad")
    if not target.exists():
        embeddings = given.shuffled if shuffled else given.embeddings
        files = [given.counts, "-e", embeddings, "-o", target]
        tool = Path(sys.executable).with_name("build-cells")
        subprocess.run([tool, *map(str, files), "--label", given.label, *words], check=True)
    return target


def run_once(
    cells: CellSequences, method: str, split: str, seed: int, genes: str
) -> dict[str, Any]:
    """Measures over all cells, each called by the reader that held it out, and seconds."""
    count, group_by = SPLITS[split]
    settings = settings_for(
        method.removesuffix(SHUFFLED), "default", {"seed": seed, "llm_layers": LLM_LAYERS}
    )
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
    assert metrics["genes_selected_from"] == GENES[genes]
    return {
        "method": method,
        "split": split,
        "seed": seed,
        "genes": genes,
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


def title_of(method: str) -> str:
    """As in tables."""
    title = method_title(method.removesuffix(SHUFFLED))
    return f"{title}, texts shuffled" if method.endswith(SHUFFLED) else title


def print_table(runs: list[dict[str, Any]]) -> None:
    """A Markdown table for each split."""
    for split in SPLITS:
        print(f"\n| {split} held out | accuracy | macro F1 | calibration error | seconds |")
        print("|---|---|---|---|---|")
        for method in METHODS:
            wanted = (method, split, "training")
            found = [run for run in runs if (run["method"], run["split"], run["genes"]) == wanted]
            if found:
                cells = [shown([run["metrics"][name] for run in found]) for name in SHOWN]
                seconds = np.median([run["seconds"] for run in found])
                print(f"| {title_of(method)} | {' | '.join(cells)} | {seconds:.0f} |")


def print_gene_table(runs: list[dict[str, Any]]) -> None:
    """By donor left out, seed 0: genes from all cells beside genes from the training cells."""
    chosen = [run for run in runs if run["split"] == "donors" and run["seed"] == 0]
    methods = [name for name in METHODS if any(
        run["method"] == name and run["genes"] == "all" for run in chosen)]  # fmt: skip
    if not methods:
        return
    print(f"\n| method | genes from | {' | '.join(DONORS)} | all four |")
    print("|---|---" + "|---" * 5 + "|")
    for method in methods:
        for genes in ("all", "training"):
            for run in chosen:
                if (run["method"], run["genes"]) == (method, genes):
                    folds, whole = run["metrics"]["folds"], run["metrics"]
                    pairs = [
                        *zip(folds["accuracy"]["values"], folds["macro_f1"]["values"], strict=True),
                        (whole["accuracy"], whole["macro_f1"]),
                    ]
                    cells = " | ".join(f"{100 * one:.2f} / {other:.3f}" for one, other in pairs)
                    print(f"| {method_title(method)} | {GENES[genes]} | {cells} |")


def main() -> None:
    """Run what is not done yet, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=Path)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--shuffled", type=Path)
    parser.add_argument("--label", default="cell_type1")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--splits", nargs="*", default=list(SPLITS), choices=list(SPLITS))
    parser.add_argument("--genes", nargs="*", default=["training"], choices=list(GENES))
    parser.add_argument("--results", type=Path, required=True)
    given = parser.parse_args()
    done = [tuple(run[name] for name in ORDER) for run in finished(given.results)]
    for seed, split, genes, method in product(
        range(given.seeds), given.splits, given.genes, given.methods
    ):
        if (seed, split, genes, method) in done:
            continue
        cells = built(given, split, seed, genes, method.endswith(SHUFFLED))
        with open_exchange(cells, "cells") as opened:
            run = run_once(CellSequences(opened), method, split, seed, genes)
        with given.results.open("a", encoding="utf-8") as sink:
            sink.write(json.dumps(run) + "\n")
    print_table(finished(given.results))
    print_gene_table(finished(given.results))


if __name__ == "__main__":
    main()
