"""What each part of the recipe is worth, on cells kept from training; test cells are not touched.

    python benchmarks/ablations.py demo-output/cells-train.h5ad [--seeds 3] [--only NAME ...]

Every variant is `train-reader` with some options, once a seed; a fifth of the cells is kept, by
the seed, and measured by the tool itself. Prints a table in Markdown: mean over the seeds and the
smallest and largest value.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from screader_lib.exchange.opening import open_exchange

POOLED = ("--method", "pooled")
READING = ("--llm-layers", "2")
RANDOM = ("--method", "screader-random", *READING)
VARIANTS: dict[str, tuple[str, ...]] = {
    "without LLM: default": POOLED,
    "without LLM: standardised": (*POOLED, "--scaling", "standardise"),
    "without LLM: raw embeddings": (*POOLED, "--scaling", "none"),
    "without LLM: no gene dropout": (*POOLED, "--gene-dropout", "0"),
    "without LLM: 5 epochs": (*POOLED, "--warm-start-epochs", "5"),
    "without LLM: 60 epochs": (*POOLED, "--warm-start-epochs", "60"),
    "without LLM: class weights by root": (*POOLED, "--class-weights", "root"),
    "SmolLM2: default": READING,
    "random LLM: default": RANDOM,
    "SmolLM2: cls and mean, no pool": (*READING, "--read-out", "cls,mean"),
    "random LLM: cls and mean, no pool": (*RANDOM, "--read-out", "cls,mean"),
}


def run_once(cells: Path, options: tuple[str, ...], seed: int) -> tuple[float, float, float]:
    """Accuracy and macro F1 on the kept cells after the last epoch, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        reader = Path(folder) / "reader.h5"
        command = ["train-reader", str(cells), "--validation", "0.2", "--seed", str(seed), "-q"]
        start = time.monotonic()
        subprocess.run([*command, *options, "-o", str(reader)], check=True)
        seconds = time.monotonic() - start
        with open_exchange(reader, "reader") as opened:
            history = opened.file["history"]
            accuracy = float(history["validation_accuracy"][-1])
            return accuracy, float(history["validation_macro_f1"][-1]), seconds


def row(name: str, results: np.ndarray) -> str:
    """One line of the table."""
    accuracy, macro_f1, seconds = results.T
    return (
        f"| {name} | {accuracy.mean():.3f} ({accuracy.min():.3f} to {accuracy.max():.3f}) "
        f"| {macro_f1.mean():.3f} ({macro_f1.min():.3f} to {macro_f1.max():.3f}) "
        f"| {np.median(seconds):.0f} |"
    )


def main() -> None:
    """Run the variants and print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    given = parser.parse_args()
    print("| variant | accuracy | macro F1 | seconds |\n|---|---|---|---|")
    for name in given.only:
        results = [run_once(given.cells, VARIANTS[name], seed) for seed in range(given.seeds)]
        print(row(name, np.array(results)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
