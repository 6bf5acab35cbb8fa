"""What each part of the recipe is worth, on training cells alone; test cells are not touched.

    python benchmarks/ablations.py demo-output/cells-train.h5ad [--seeds 2] [--only NAME ...]

Every variant is `train-reader --folds 5` with some options, once a seed; each cell is called by a
reader that never saw it. Of those where the LLM itself is to learn, the first fold alone is
trained and called. Prints a table in Markdown: mean over the seeds and the smallest and largest
value, of measures over all these cells.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from screader_lib.exchange import encoding
from screader_lib.exchange.opening import open_exchange

POOLED = ("--method", "pooled")
VARIANTS: dict[str, tuple[str, ...]] = {
    "logistic regression on log counts": ("--method", "logistic"),
    "GenePT-w with logistic regression": ("--method", "genept-w"),
    "without LLM: default": POOLED,
    "without LLM: texts alone, no gene scores": (*POOLED, "--no-gene-scores"),
    "without LLM: no gene scores, gene offsets": (
        *POOLED, "--no-gene-scores", "--gene-offsets", "1",
    ),
    "without LLM: gene scores and gene offsets": (*POOLED, "--gene-offsets", "1"),
    "without LLM: standardised": (*POOLED, "--scaling", "standardise"),
    "without LLM: no gene dropout": (*POOLED, "--gene-dropout", "0"),
    "without LLM: class weights by root": (*POOLED, "--class-weights", "root"),
    "SmolLM2, first 2 layers: default": ("--llm-layers", "2"),
    "SmolLM2, first 2 layers: no gene scores, no pool": (
        "--llm-layers", "2", "--no-gene-scores", "--pooling", "cls,mean", "--epochs", "5",
    ),
}  # fmt: skip
READ = (
    "--llm-layers", "2", "--no-gene-scores", "--pooling", "cls,mean",
    "--learning-rate", "2e-3", "--epochs", "2",
)  # fmt: skip
CANDIDATES = (
    "Genes that one cell of the pancreas expresses, the most distinctive first. Its type is one of "
    "acinar, activated stellate, alpha, beta, delta, ductal, endothelial, epsilon, gamma, "
    "macrophage, mast, quiescent stellate, schwann, T cell. It is"
)
FEW = (*READ, "--genes-per-cell", "32", "--epochs", "1")
ALL_LAYERS = (*FEW, "--llm-layers", "30")
RANDOM = ("--method", "screader-random")
OF_ONE_FOLD: dict[str, tuple[str, ...]] = {
    "2 layers, 64 genes per cell, 2 epochs": (*READ, "--genes-per-cell", "64"),
    "2 layers": FEW,
    "2 layers, randomly initialised": (*FEW, *RANDOM),
    "2 layers, standardised": (*FEW, "--scaling", "standardise"),
    "2 layers, class weights by root": (*FEW, "--class-weights", "root"),
    "2 layers, candidate labels in the instruction": (*FEW, "--instruction", CANDIDATES),
    "all 30 layers": ALL_LAYERS,
    "30 layers, randomly initialised": (*ALL_LAYERS, *RANDOM),
}
VARIANTS |= OF_ONE_FOLD
SHOWN = ("accuracy", "macro_f1", "calibration_error")


def run_once(cells: Path, options: tuple[str, ...], seed: int) -> list[float]:
    """The shown measures over all cells, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        reader = Path(folder) / "reader.h5"
        command = ["train-reader", str(cells), "--folds", "5", "--seed", str(seed), "-q"]
        start = time.monotonic()
        subprocess.run([*command, *options, "-o", str(reader)], check=True)
        seconds = time.monotonic() - start
        with open_exchange(reader, "reader") as opened:
            metrics = encoding.read_json(opened.file, "cross_validation")
    return [*(metrics[name] for name in SHOWN), seconds]


def run_fold(cells: Path, options: tuple[str, ...], seed: int) -> list[float]:
    """The shown measures over the cells of the first fold of five, and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        reader, calls = Path(folder) / "reader.h5", Path(folder) / "calls.h5ad"
        command = ["train-reader", str(cells), "--folds", "5", "--fold", "1", "-q", *options]
        start = time.monotonic()
        subprocess.run([*command, "--seed", str(seed), "-o", str(reader)], check=True)
        seconds = time.monotonic() - start
        command = ["predict", str(cells), "-r", str(reader), "--held-out", "-q"]
        subprocess.run([*command, "-o", str(calls)], check=True)
        with open_exchange(calls, "predictions") as opened:
            metrics = encoding.read_json(opened.file["uns"], "metrics")
    return [*(metrics[name] for name in SHOWN), seconds]


def row(name: str, results: np.ndarray) -> str:
    """One line of the table."""
    shown = [
        f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
        for values in results.T[:-1]
    ]
    return f"| {name} | {' | '.join(shown)} | {np.median(results[:, -1]):.0f} |"


def main() -> None:
    """Run the variants and print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    given = parser.parse_args()
    print("| variant | accuracy | macro F1 | calibration error | seconds |\n|---|---|---|---|---|")
    for name in given.only:
        run = run_fold if name in OF_ONE_FOLD else run_once
        results = [run(given.cells, VARIANTS[name], seed) for seed in range(given.seeds)]
        print(row(name, np.array(results)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
