"""Readers of few labels on cells that they have not seen (benchmarks/few_labels.md).

    python benchmarks/few_labels_reader.py DATA --work FOLDER

DATA holds the h5ad files of ``text_columns.DATA``; cells are built in FOLDER. Each type gives 1, 5
or 20 cells with a label, five times; readers are trained on these by logistic regression on genes,
on components, and by method ``few-labels``, in which the other cells of the same donors join in
without a label, and with them those that are called. Prints the table as Markdown, and a second
one of how sure method ``few-labels`` is, with the other cells of the same donors: its confidence
beside its accuracy, and how many cells of a type without any label are unfamiliar.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from few_labels import macro_f1, row_of
from text_columns import Crossing, Draw, crossings, prepare_cells

from screader_lib.cells.cells_file import CellSequences, CellsWithoutGenes
from screader_lib.label_metrics import expected_calibration_error
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.evaluation import evaluate
from screader_lib.reader.methods import methods
from screader_lib.reader.settings import settings_for
from screader_lib.reader.task import Task

SCENARIOS = (
    "Baron mouse, other mouse", "blood, three chemistries", "blood, 3′ to 5′",
    "sorted blood", "Baron human, other donors",
)  # fmt: skip
LABELS, SEEDS = (1, 5, 20), 5
UNFAMILIAR = 0.05
SURE = (
    "accuracy", "confidence, uncalibrated", "calibrated", "calibration error, uncalibrated",
    "calibrated", "unfamiliar, of known types", "of a type without label",
)  # fmt: skip
COLUMNS = {  # the method, and whose cells without a label join in
    "genes": ("logistic", ""),
    "components": ("components", ""),
    "`few-labels`, no other cells": ("few-labels", ""),
    "`few-labels`": ("few-labels", "learnt"),
    "`few-labels`, the called cells too": ("few-labels", "learnt called"),
}


def task_of(
    crossing: Crossing, draw: Draw, seed: int, method: str, others: str
) -> tuple[Task, CellSequences]:
    """What is learnt, and the cells that are called, in the order of ``draw.test_rows``."""
    train, test = crossing.views("TF-IDF", 0, draw.test_rows)
    task = crossing.task(train, draw, settings_for(method, "default", {"seed": seed}))
    rows = {"learnt": np.setdiff1d(crossing.parts[0], draw.rows), "called": draw.test_rows}
    joining = np.union1d(*(rows[one] if one in others else rows["called"][:0] for one in rows))
    if len(joining):
        everywhere = np.ones(len(train.genes), bool)
        task = replace(task, unlabelled=(CellsWithoutGenes(train, joining, everywhere, False),))
    return task, test


def called(crossing: Crossing, draw: Draw, seed: int, method: str, others: str) -> np.ndarray:
    """Type numbers of the cells that are called."""
    task, test = task_of(crossing, draw, seed, method, others)
    return methods.train(task).outputs(test, np.arange(len(test)))[0].argmax(1)


def without(draw: Draw, kind: int) -> Draw:
    """The same, but no cell of the type ``kind`` has a label; its number of called ones is −1."""
    known = np.delete(np.arange(len(draw.names)), kind)
    number = np.full(len(draw.names), -1)
    number[known] = np.arange(len(known))
    labelled = draw.truth != kind
    names = [draw.names[one] for one in known]
    rows, truth = draw.rows[labelled], number[draw.truth[labelled]]
    return replace(draw, names=names, rows=rows, truth=truth, test_truth=number[draw.test_truth])


def judged(crossing: Crossing, draw: Draw, seed: int) -> tuple[np.ndarray, ...]:
    """Of each called cell: its confidence, that of the raw logits, if it is right, familiarity."""
    task, test = task_of(crossing, draw, seed, "few-labels", "learnt")
    method, rows = methods.train(task), np.arange(len(test))
    found, logits = evaluate(method, task), method.outputs(test, rows)[0]
    confidence = softmax(logits, float(found.calibration["temperature"])).max(1)
    evidence = method.evidence(test, rows, logits)
    familiarity = found.calibration_set.familiarity(confidence, evidence)
    raw = softmax(logits).max(1)
    return confidence, raw, logits.argmax(1) == draw.test_truth, familiarity


def confidence_row(crossing: Crossing, labels: int) -> list[float]:
    """A row of the second table, means of its draws."""
    found, unfamiliar = [], []
    for seed in range(SEEDS):
        draw = crossing.draw(labels, False, seed)
        confidence, raw, right, familiarity = judged(crossing, draw, seed)
        errors = [expected_calibration_error(one, right) for one in (raw, confidence)]
        known = float((familiarity < UNFAMILIAR).mean())
        found.append([right.mean(), raw.mean(), confidence.mean(), *errors, known])
    draw = crossing.draw(labels, False, 0)
    for kind in range(len(draw.names)):
        fewer = without(draw, kind)
        familiarity = judged(crossing, fewer, 0)[-1]
        unfamiliar.append((familiarity[fewer.test_truth < 0] < UNFAMILIAR).mean())
    return [*np.mean(found, axis=0), float(np.mean(unfamiliar))]


def main() -> None:
    """Print a row for each set of cells and number of labels, then how sure the reader is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--confidence", action="store_true", help="print the second table alone")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    prepare_cells(given.data, given.work)
    with crossings(given.work, {}) as every:
        if not given.confidence:
            print_macro_f1(every)
        print(f"\n| cells | labels a type | {' | '.join(SURE)} |\n|{'---|' * (2 + len(SURE))}")
        for name, labels in product(SCENARIOS, LABELS[1:]):
            row = " | ".join(f"{value:.3f}" for value in confidence_row(every[name], labels))
            print(f"| {name} | {labels} | {row} |", flush=True)


def print_macro_f1(every: dict[str, Crossing]) -> None:
    """The first table."""
    print(f"| cells | labels a type | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}")
    for name, labels in product(SCENARIOS, LABELS):
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
