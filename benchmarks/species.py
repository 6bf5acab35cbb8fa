"""Readers trained on one species call the cells of another; measured on the types both have.

    python benchmarks/species.py TRAIN TEST [--methods ...] [--seeds 3]

TRAIN and TEST are cells files with labels, TEST built with `--like TRAIN`: through its own genes'
texts, or, for methods that know no texts, with TRAIN's embeddings and `--orthologs`.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from screader_lib import label_metrics
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.drawing.type_names import method_title

METHODS = ("genept", "genept-s", "genept-w", "pooled", "screader-random", "screader")
LLM_OPTIONS = ("--llm-layers", "2")


def labels_in(cells: Path) -> set[str]:
    """The labels of a cells file."""
    with open_exchange(cells, "cells") as opened:
        return set(encoding.read_table(opened.file["obs"]).strings("label")) - {""}


def run_once(
    train: Path, test: Path, method: str, seed: int, common: set[str]
) -> tuple[float, float]:
    """Accuracy and macro F1 on the cells of common types."""
    llm = LLM_OPTIONS if method.startswith("screader") else ()
    with tempfile.TemporaryDirectory() as folder:
        reader, calls = f"{folder}/reader.h5", Path(folder) / "calls.h5ad"
        command = ["train-reader", str(train), "--method", method, "--seed", str(seed), "-q"]
        subprocess.run([*command, *llm, "-o", reader], check=True)
        subprocess.run(["predict", str(test), "-r", reader, "-q", "-o", str(calls)], check=True)
        with open_exchange(calls, "predictions") as opened:
            obs = encoding.read_table(opened.file["obs"])
    true = obs.strings("true_label")
    kept = np.isin(true.astype(str), sorted(common))
    found = label_metrics.scores(true[kept], obs.strings("predicted_label")[kept])
    return found["accuracy"], found["macro_f1"]


def main() -> None:
    """A row for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    common = labels_in(given.train) & labels_in(given.test)
    print(f"Common types: {', '.join(sorted(common))}.\n")
    print("| method | accuracy | macro F1 |\n|---|---|---|")
    for method in given.methods:
        runs = [
            run_once(given.train, given.test, method, seed, common) for seed in range(given.seeds)
        ]
        row = [
            f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
            for values in np.array(runs).T
        ]
        print(f"| {method_title(method)} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
