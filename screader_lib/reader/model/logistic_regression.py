"""Multinomial logistic regression.

It is scikit-learn's where the cells fit in memory, else streamed; and for few cells whose fit is
waited for, one that needs less time and no import of scikit-learn.

All minimise the summed cross-entropy plus half the squared weights over C. The biases are not
penalised. The optimum is unique (but for a constant in all biases), so it does not depend on which
of them is used, nor on the number of threads, beyond rounding and the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.task import Task, row_blocks

Features = Any  # np.ndarray or sparse.csr_matrix (cells, features)
Weights = tuple[np.ndarray, np.ndarray]  # float32 (features, labels) and biases (labels,)
Blocks = Callable[[], Iterable[tuple[Features, np.ndarray]]]

C = 1.0  # inverse strength of the penalty, as in scikit-learn
MAX_BYTES = 1 << 30  # of features held in memory
TOLERANCE = 1e-7  # of the largest partial derivative of the objective, divided by the cells
MAX_ITERATIONS = 10_000
CORRECTIONS = 30  # that L-BFGS remembers
ROUNDING = 1e-12  # of all products of cells, by which those with themselves are raised


def training_blocks(
    task: Task, features: Callable[[CellSequences, np.ndarray], Features]
) -> Blocks:
    """The training cells, block by block: their ``features(cells, rows)`` and label numbers."""

    def blocks() -> Iterator[tuple[Features, np.ndarray]]:
        for rows, truth in zip(row_blocks(task.rows), row_blocks(task.truth), strict=True):
            yield features(task.cells, rows), truth

    return blocks


def fit_logistic(
    blocks: Blocks,
    labels: int,
    label_weights: np.ndarray | None = None,
    strength: float = C,
    tolerance: float = TOLERANCE,
    start: Weights | None = None,
    towards: Weights | None = None,
) -> Weights:
    """Fit on ``blocks()``, which gives features and label numbers (cells,) each time it is called.

    Features are float32 arrays or CSR matrices. Each of the ``labels`` labels has a cell. Cells
    count by their ``label_weights`` float32 (labels,); ``strength`` is scikit-learn's C. Returns
    weights float32 (features, labels) and biases float32 (labels,); from those of a similar fit,
    ``start``, they are found sooner. The penalty draws weights to 0, or to those of ``towards``,
    which may be larger the less the cells say.
    """
    weights = np.ones(labels) if label_weights is None else label_weights.astype(np.float64)
    first, origin = (
        None if one is None else np.vstack(one).astype(np.float64) for one in (start, towards)
    )
    data = _in_memory(blocks())
    if data is None or origin is not None:
        again = blocks if data is None else lambda: [data]
        parameters = _fit_streaming(again, labels, weights, strength, tolerance, first, origin)
    else:
        parameters = _fit_in_memory(*data, labels, weights, strength, tolerance, first)
    return parameters[:-1].astype(np.float32), parameters[-1].astype(np.float32)


def fit_few_cells(
    features: np.ndarray, truth: np.ndarray, labels: int, strength: float, tolerance: float
) -> Weights:
    """As :func:`fit_logistic`, of dense ``features`` float32 (cells, features), in their precision.

    With fewer cells than features, the triangular factor of the cells' products with each other
    stands for the features: the same optimum, found with fewer numbers. ``tolerance`` is of the
    length of the gradient, divided by the cells.
    """
    from scipy.linalg import cholesky, solve_triangular

    if len(features) >= features.shape[1]:
        parameters = _newton(features, truth, labels, strength, tolerance)
        return parameters[:-1].astype(np.float32), parameters[-1].astype(np.float32)
    wide = features.astype(np.float64)
    products = wide @ wide.T
    products[np.diag_indices(len(products))] += ROUNDING * np.trace(products)
    factor = cholesky(products, lower=True)
    parameters = _newton(factor.astype(np.float32), truth, labels, strength, tolerance)
    weights = features.T @ solve_triangular(factor, parameters[:-1], lower=True, trans=1)
    return weights.astype(np.float32), parameters[-1].astype(np.float32)


def _newton(
    features: np.ndarray, truth: np.ndarray, labels: int, strength: float, tolerance: float
) -> np.ndarray:
    """Weights and, as the last row, biases, float64 (features + 1, labels), by Newton's method."""
    from scipy.optimize import minimize

    cells, width = features.shape
    by_feature, is_truth = np.ascontiguousarray(features.T), np.eye(labels)[truth]
    shares = np.empty((cells, labels))

    def logits(parameters: np.ndarray) -> np.ndarray:
        return features @ parameters[:-1].astype(np.float32) + parameters[-1]

    def summed(errors: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        of_weights = by_feature @ errors.astype(np.float32) + parameters[:-1] / strength
        return np.vstack([of_weights, errors.sum(0)]).ravel() / cells

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(width + 1, labels)
        found = logits(parameters)
        found -= found.max(1, keepdims=True)
        log_sums = np.log(np.exp(found).sum(1, keepdims=True))
        shares[:] = np.exp(found - log_sums)
        loss = float((log_sums[:, 0] - (found * is_truth).sum(1)).sum())
        loss += 0.5 / strength * float((parameters[:-1] ** 2).sum())
        return loss / cells, summed(shares - is_truth, parameters)

    def curvature(_: np.ndarray, flat: np.ndarray) -> np.ndarray:
        direction = flat.reshape(width + 1, labels)
        change = logits(direction) * shares
        change -= shares * change.sum(1, keepdims=True)
        return summed(change, direction)

    result = minimize(
        loss_and_gradient, np.zeros((width + 1) * labels), jac=True, hessp=curvature,
        method="trust-ncg", options={"gtol": tolerance, "maxiter": MAX_ITERATIONS},
    )  # fmt: skip
    return result.x.reshape(width + 1, labels)


def _in_memory(
    blocks: Iterable[tuple[Features, np.ndarray]],
) -> tuple[Features, np.ndarray] | None:
    """All features, float64, and their labels; None where they take more than ``MAX_BYTES``.

    ScReaderError where a feature is not finite.
    """
    features, truth, size = [], [], 0
    for values, labels in blocks:
        if not np.isfinite(values.data if sparse.issparse(values) else values).all():
            raise ScReaderError("the cells' weights or gene embeddings are not all finite.")
        size += values.size * (12 if sparse.issparse(values) else 8)
        if size > MAX_BYTES:
            return None
        features.append(values)
        truth.append(labels)
    stack = sparse.vstack if sparse.issparse(features[0]) else np.concatenate
    return stack(features, dtype=np.float64), np.concatenate(truth)


def _fit_in_memory(
    features: Features,
    truth: np.ndarray,
    labels: int,
    label_weights: np.ndarray,
    strength: float,
    tolerance: float,
    start: np.ndarray | None,
) -> np.ndarray:
    """Weights and, as the last row, biases, float64 (features + 1, labels)."""
    from sklearn.linear_model import LogisticRegression

    # Of two labels, scikit-learn fits one vector w, which stands for −w/2 and w/2: half the penalty
    penalty = strength if labels > 2 else 2 * strength
    model = LogisticRegression(
        C=penalty, solver="newton-cg", tol=tolerance, max_iter=MAX_ITERATIONS, warm_start=True
    )
    if start is not None:
        first = start if labels > 2 else start[:, 1:] - start[:, :1]
        model.coef_, model.intercept_ = first[:-1].T, first[-1]
    model.fit(features, truth, sample_weight=label_weights[truth])
    parameters = np.vstack([model.coef_.T, model.intercept_])
    return parameters if labels > 2 else np.hstack([-parameters, parameters]) / 2


def _fit_streaming(
    blocks: Blocks,
    labels: int,
    label_weights: np.ndarray,
    strength: float,
    tolerance: float,
    start: np.ndarray | None,
    towards: np.ndarray | None = None,
) -> np.ndarray:
    """The same by L-BFGS; every evaluation goes over the blocks again."""
    from scipy.optimize import minimize

    count = sum(len(truth) for _, truth in blocks())
    width = next(iter(blocks()))[0].shape[1]
    origin = np.zeros((width + 1, labels)) if towards is None else towards

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, biases = np.split(flat.reshape(width + 1, labels), [width])
        far = weights - origin[:-1]
        loss = 0.5 / strength * float((far**2).sum())
        gradient = np.vstack([far / strength, np.zeros(labels)])
        for values, truth in blocks():
            wide = values.astype(np.float64)
            logits = wide @ weights + biases
            logits -= logits.max(1, keepdims=True)
            log_sums = np.log(np.exp(logits).sum(1))
            cells, counts = np.arange(len(truth)), label_weights[truth]
            loss += float(counts @ (log_sums - logits[cells, truth]))
            errors = np.exp(logits - log_sums[:, None])
            errors[cells, truth] -= 1
            errors *= counts[:, None]
            gradient[:-1] += wide.T @ errors
            gradient[-1] += errors.sum(0)
        return loss / count, gradient.ravel() / count

    options = {
        "gtol": tolerance, "ftol": 0.0, "maxcor": CORRECTIONS,
        "maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS,
    }  # fmt: skip
    first = (origin if start is None else start).ravel()
    result = minimize(loss_and_gradient, first, jac=True, method="L-BFGS-B", options=options)
    return result.x.reshape(width + 1, labels)
