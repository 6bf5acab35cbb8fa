"""Readers trained on one species call the cells of another; accuracy on the types both have.

    python benchmarks/species.py HUMAN MOUSE [--methods ...] [--seeds 3]

Both are cells files with labels, each built with the embeddings of its own species' texts (or, for
methods that know no texts, the second built with the first's embeddings and `--orthologs`).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from screader_lib import measures
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange
from screader_lib.figures.names import method_title

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
    found = measures.scores(true[kept], obs.strings("predicted_label")[kept])
    return found["accuracy"], found["macro_f1"]


def main() -> None:
    """Both directions, a row for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("human", type=Path)
    parser.add_argument("mouse", type=Path)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    common = labels_in(given.human) & labels_in(given.mouse)
    print(f"Common types: {', '.join(sorted(common))}.\n")
    print("| method | human → mouse: accuracy | macro F1 | mouse → human: accuracy | macro F1 |")
    print("|---|---|---|---|---|")
    for method in given.methods:
        row = []
        for train, test in ((given.human, given.mouse), (given.mouse, given.human)):
            runs = [run_once(train, test, method, seed, common) for seed in range(given.seeds)]
            for values in np.array(runs).T:
                row.append(f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})")
        print(f"| {method_title(method)} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
