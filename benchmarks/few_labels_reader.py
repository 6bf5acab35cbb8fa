"""Readers of few labels on cells that they have not seen (benchmarks/few_labels.md).

    python benchmarks/few_labels_reader.py DATA --work FOLDER

DATA holds the h5ad files of ``text_columns.DATA``; cells are built in FOLDER. Each type gives 1, 5
or 20 cells with a label, five times; readers are trained on these by logistic regression on genes,
on components, and by method ``few-labels``, in which the other cells of the same donors join in
without a label, and with them those that are called. Prints the table as Markdown.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from few_labels import macro_f1, row_of
from text_columns import Crossing, Draw, crossings, prepare_cells

from screader_lib.cells.cells_file import CellsWithoutGenes
from screader_lib.reader.methods import methods
from screader_lib.reader.settings import settings_for

SCENARIOS = (
    "Baron mouse, other mouse", "blood, three chemistries", "blood, 3′ to 5′",
    "sorted blood", "Baron human, other donors",
)  # fmt: skip
LABELS, SEEDS = (1, 5, 20), 5
COLUMNS = {  # the method, and whose cells without a label join in
    "genes": ("logistic", ""),
    "components": ("components", ""),
    "`few-labels`, no other cells": ("few-labels", ""),
    "`few-labels`": ("few-labels", "learnt"),
    "`few-labels`, the called cells too": ("few-labels", "learnt called"),
}


def called(crossing: Crossing, draw: Draw, seed: int, method: str, others: str) -> np.ndarray:
    """Type numbers of the cells that are called."""
    train, test = crossing.views("TF-IDF", 0, draw.test_rows)
    task = crossing.task(train, draw, settings_for(method, "default", {"seed": seed}))
    rows = {"learnt": np.setdiff1d(crossing.parts[0], draw.rows), "called": draw.test_rows}
    joining = np.union1d(*(rows[one] if one in others else rows["called"][:0] for one in rows))
    if len(joining):
        everywhere = np.ones(len(train.genes), bool)
        task = replace(task, unlabelled=(CellsWithoutGenes(train, joining, everywhere, False),))
    return methods.train(task).outputs(test, np.arange(len(test)))[0].argmax(1)


def main() -> None:
    """Print a row for each set of cells and number of labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    prepare_cells(given.data, given.work)
    print(f"| cells | labels a type | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}")
    with crossings(given.work, {}) as every:
        for name in SCENARIOS:
            for labels in LABELS:
                found: dict[str, list[float]] = {column: [] for column in COLUMNS}
                for seed in range(SEEDS):
                    draw = every[name].draw(labels, False, seed)
                    for column, how in COLUMNS.items():
                        calls = called(every[name], draw, seed, *how)
                        found[column].append(macro_f1(draw.test_truth, calls))
                best = max(found, key=lambda column: np.mean(found[column]))
                row = " | ".join(row_of(values, one == best) for one, values in found.items())
                print(f"| {name} | {labels} | {row} |", flush=True)


if __name__ == "__main__":
    main()
