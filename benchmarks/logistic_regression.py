"""Seconds of logistic regression, and how far its probabilities are from the optimum.

    python benchmarks/logistic_regression.py CELLS [--cells 1000] [--strengths 1 10]

CELLS is a `cells` file with labels. Four fifths of so many of its cells (0: of all) are learnt
from. Three sets of features are fitted: the genes' expression (method logistic and gene scores),
its 50 components (gene scores) and the cells' mean embeddings (genept-w). The optimum is that of
scikit-learn's Newton-CG in float64 at a tolerance of 1e-9; the largest and the mean difference of
any of a cell's probabilities are those of the other cells. Seconds are of the clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods.feature_classifier import unit
from screader_lib.reader.model import logistic_regression
from screader_lib.reader.model.gene_scores import COMPONENT_LENGTH
from screader_lib.reader.model.logistic_regression import fit_logistic
from screader_lib.reader.model.principal_components import principal_directions

ROWS_AT_ONCE = 4096
Parameters = tuple[np.ndarray, np.ndarray]  # weights (features, labels), biases (labels,)


def feature_sets(cells: CellSequences, rows: np.ndarray) -> dict[str, Any]:
    """Features float32 (cells, features) by what they are of."""
    weights = cells.weights(rows)
    weights = weights * np.float32(1 / weights.data.mean())
    components = weights @ principal_directions(weights, seed=0)
    components *= np.float32(COMPONENT_LENGTH / np.sqrt(components.var(0).sum()))
    means = unit(weights @ cells.embedding)
    means = (means - means.mean(0)) / np.maximum(means.std(0), 1e-6)
    return {"genes": weights, "components": components, "mean embeddings": means}


def by_newton(features: Any, truth: np.ndarray, strength: float, tolerance: float) -> Parameters:
    """Of scikit-learn."""
    model = LogisticRegression(C=strength, solver="newton-cg", tol=tolerance, max_iter=10_000)
    model.fit(features.astype(np.float64), truth)
    return model.coef_.T, model.intercept_


def by_suite(
    features: Any, truth: np.ndarray, strength: float, tolerance: float, max_bytes: int = 1 << 40
) -> Parameters:
    """Of fit_logistic, which holds so many bytes of features in memory."""
    logistic_regression.MAX_BYTES = max_bytes
    cuts = [slice(row, row + ROWS_AT_ONCE) for row in range(0, len(truth), ROWS_AT_ONCE)]
    blocks = [(features[cut], truth[cut]) for cut in cuts]
    return fit_logistic(lambda: blocks, int(truth.max()) + 1, None, strength, tolerance)


WAYS: dict[str, Callable[[Any, np.ndarray, float], Parameters]] = {
    "Newton-CG, 1e-9": partial(by_newton, tolerance=1e-9),
    "Newton-CG, 1e-7": partial(by_newton, tolerance=1e-7),
    "Newton-CG, 1e-5": partial(by_newton, tolerance=1e-5),
    "`fit_logistic`, 3e-7": partial(by_suite, tolerance=3e-7),
    "`fit_logistic`, 3e-7, streaming": partial(by_suite, tolerance=3e-7, max_bytes=0),
    "`fit_logistic`, 1e-6": partial(by_suite, tolerance=1e-6),
}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--cells", type=int, default=0)
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0])
    given = parser.parse_args()
    with open_exchange(given.path, "cells") as opened:
        cells = CellSequences(opened)
        assert cells.labels is not None
        order = np.random.default_rng(0).permutation(len(cells))[: given.cells or None]
        known, truth = np.sort(order), np.unique(cells.labels.codes, return_inverse=True)[1]
        is_new = np.arange(len(known)) % 5 == 4
        truth = np.unique(truth[known][~is_new], return_inverse=True)[1]
        sets = feature_sets(cells, known)
    print(f"{len(truth):,} cells, {truth.max() + 1} labels\n")
    print("| features | C | solver | seconds | largest | mean |\n|---|---|---|---|---|---|")
    for name, features in sets.items():
        for strength in given.strengths:
            optimum: np.ndarray | None = None
            for way, fit in WAYS.items():
                begin = time.perf_counter()
                weights, biases = fit(features[~is_new], truth, strength)
                seconds = time.perf_counter() - begin
                found = softmax(features[is_new] @ weights + biases)
                optimum = found if optimum is None else optimum
                gap = np.abs(found - optimum).max(1)
                row = f"{seconds:.1f} | {gap.max():.0e} | {gap.mean():.0e}"
                width = features.shape[1]
                print(f"| {name}, {width:,} | {strength:g} | {way} | {row} |", flush=True)


if __name__ == "__main__":
    main()
