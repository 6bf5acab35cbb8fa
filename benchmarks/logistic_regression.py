"""Seconds of logistic regression, and how far its probabilities are from the optimum.

    python benchmarks/logistic_regression.py CELLS

CELLS is what build-cells makes of Baron human (the demonstration's `input/cells.h5ad` and
`gene-embeddings.h5ad`) with `--label cell_type1`. Two sets of features are fitted: the genes'
expression (method logistic) and the cells' mean embeddings (genept-w). The reference is
scikit-learn's Newton-CG in float64 at a tolerance of 1e-10; the same at 1e-7 stands beside.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods.feature_classifier import unit
from screader_lib.reader.model import logistic_regression
from screader_lib.reader.model.logistic_regression import fit_logistic
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Task, make_task

ROWS_AT_ONCE = 4096


def feature_sets(task: Task) -> dict[str, Any]:
    """Features float32 (cells, features) by what they are of."""
    embedding = task.cells.embedding
    weights = task.cells.weights(task.rows)
    means = unit(weights @ embedding)
    means = (means - means.mean(0)) / np.maximum(means.std(0), 1e-6)
    return {
        "expression": weights,
        "mean embeddings": means,
    }


def fitted(features: Any, truth: np.ndarray, labels: int, max_bytes: int) -> tuple[float, Any]:
    """Seconds and probabilities of fit_logistic."""
    logistic_regression.MAX_BYTES = max_bytes
    starts = range(0, len(truth), ROWS_AT_ONCE)
    cuts = [slice(start, start + ROWS_AT_ONCE) for start in starts]
    begin = time.perf_counter()
    weights, biases = fit_logistic(lambda: ((features[cut], truth[cut]) for cut in cuts), labels)
    return time.perf_counter() - begin, softmax(features @ weights + biases)


def main(path: Path) -> None:
    """Print a Markdown table."""
    with open_exchange(path, "cells") as opened:
        task = make_task(CellSequences(opened), TrainingSettings(method="logistic"))
        print("| features | Newton-CG | in memory | streaming |\n|---|---|---|---|")
        for name, features in feature_sets(task).items():
            model = LogisticRegression(C=1.0, solver="newton-cg", tol=1e-10, max_iter=10_000)
            known = model.fit(features.astype(np.float64), task.truth).predict_proba(features)
            begin = time.perf_counter()
            near = model.set_params(tol=1e-7).fit(features.astype(np.float64), task.truth)
            seconds = time.perf_counter() - begin
            gap = np.abs(near.predict_proba(features) - known).max()
            shown = [f"{seconds:.1f} s, {gap:.0e}"]
            for max_bytes in (1 << 40, 0):
                labels = len(task.labels.names)
                seconds, found = fitted(features, task.truth, labels, max_bytes)
                shown.append(f"{seconds:.1f} s, {np.abs(found - known).max():.0e}")
            print(f"| {name}, {features.shape[1]:,} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
