"""Whether the genes that `predict --explain` names made the calls.

    python benchmarks/explaining.py TRAIN TEST [--methods ...] [--seeds 3] [--llm-layers 2]

TRAIN and TEST are cells files, TEST built with `--like TRAIN`. Of each cell of TEST the genes that
spoke most for its call are removed, or as many of its other genes drawn at random, each among
those nearest in weight to the explained gene whose place it takes. Prints by how much the called
type's probability falls on average: smallest and largest value over the seeds in brackets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import ExchangeFile, open_exchange
from screader_lib.figures.drawing.type_names import method_title
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.confidence.explanation import top
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.methods import methods
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import TrainedMethod, make_task

METHODS = ("screader", "pooled", "logistic", "genept-w")
COUNTS = (1, 2, 4, 8, 16)
NEAREST = 5  # genes in weight, of which one is drawn


class WithoutGenes(CellSequences):
    """Cells as in the file, but for the genes ``gone`` of each, int (cells, any); −1: none."""

    def __init__(self, opened: ExchangeFile, gone: np.ndarray) -> None:
        super().__init__(opened)
        self.gone = gone

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As in CellSequences, what is gone left out."""
        genes, weights = super().rows(numbers)
        out = (genes[:, :, None] == self.gone[numbers][:, None]).any(2) | (genes < 0)
        order = np.argsort(out, axis=1, kind="stable")
        genes, weights = np.where(out, -1, genes), np.where(out, 0, weights)
        return np.take_along_axis(genes, order, 1), np.take_along_axis(weights, order, 1)


def others_of_like_weight(
    cells: CellSequences, explained: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """For each explained gene another of the cell, int (cells, genes); −1 where none is left."""
    genes, weights = cells.rows(np.arange(len(cells)))
    drawn = np.full_like(explained, -1)
    for cell, wanted in enumerate(explained):
        free = (genes[cell] >= 0) & ~np.isin(genes[cell], wanted)
        for number, gene in enumerate(wanted):
            places = np.flatnonzero(free)
            if gene < 0 or not len(places):
                break
            [own] = weights[cell][genes[cell] == gene]
            near = places[np.argsort(np.abs(weights[cell][places] - own), kind="stable")]
            place = random.choice(near[:NEAREST])
            drawn[cell, number] = genes[cell, place]
            free[place] = False
    return drawn


def falls(
    opened: ExchangeFile, trained: TrainedMethod, temperature: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean fall after as many genes as ``COUNTS`` says: explained ones, others."""
    cells = CellSequences(opened)
    rows = np.arange(len(cells))
    usual = softmax(trained.outputs(cells, rows)[0], temperature)
    calls = usual.argmax(1)
    genes, parts, _ = trained.explain(cells, rows, calls)
    explained, _ = top(genes, parts, max(COUNTS))
    others = others_of_like_weight(cells, explained, np.random.default_rng(seed))
    found = []
    for genes in (explained, others):
        fall = []
        for count in COUNTS:
            less = WithoutGenes(opened, genes[:, :count])
            now = softmax(trained.outputs(less, rows)[0], temperature)
            fall.append(float((usual[rows, calls] - now[rows, calls]).mean()))
        found.append(np.array(fall))
    return found[0], found[1]


def run_once(train: Path, test: Path, method: str, seed: int, layers: int) -> np.ndarray:
    """Falls (2, counts) of a reader trained with this seed."""
    given = {"seed": seed}
    if method.startswith("screader"):
        given["llm_layers"] = layers
    with open_exchange(train, "cells") as known, open_exchange(test, "cells") as opened:
        task = make_task(CellSequences(known), settings_for(method, "default", given))
        trained = methods.train(task)
        temperature = float(evaluate(trained, task).calibration["temperature"])
        return np.array(falls(opened, trained, temperature, seed))


def main() -> None:
    """Two rows for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--llm-layers", type=int, default=2)
    given = parser.parse_args()
    shown = " | ".join(f"{count}" for count in COUNTS)
    print(f"| method | genes removed | {shown} |\n|---|---|{'---|' * len(COUNTS)}")
    for method in given.methods:
        runs = np.array(
            [
                run_once(given.train, given.test, method, seed, given.llm_layers)
                for seed in range(given.seeds)
            ]
        )
        for number, genes in enumerate(("explained", "controls of similar weight")):
            row = " | ".join(
                f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
                for values in runs[:, number].T
            )
            print(f"| {method_title(method)} | {genes} | {row} |", flush=True)


if __name__ == "__main__":
    main()
