"""Multinomial logistic regression.

Cells are gone over block by block, in threads, by L-BFGS. More than ``MANY_CELLS`` start from the
fit of a random sample. A few cells whose fit is waited for have one that needs less time.

All minimise the summed cross-entropy plus half the squared weights over C. The biases are not
penalised. The optimum is unique (but for a constant in all biases), so it does not depend on which
of them is used, nor on the number of threads, beyond rounding and the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.task import Task, row_blocks
from screader_lib.threads import matrix_threads

Features = Any  # np.ndarray or sparse.csr_matrix (cells, features)
Weights = tuple[np.ndarray, np.ndarray]  # float32 (features, labels) and biases (labels,)
Blocks = Callable[[], Iterable[tuple[Features, np.ndarray]]]

C = 1.0  # inverse strength of the penalty, as in scikit-learn
MAX_BYTES = 1 << 30  # of features held in memory
ROWS_AT_ONCE = 512  # of these, by each thread
TOLERANCE = 3e-7  # of the objective's largest partial derivative, divided by the cells; see minimum
MAX_ITERATIONS = 10_000
CORRECTIONS = 30  # that L-BFGS remembers
MANY_CELLS = 10_000  # with more, a sample of so many comes first, then all in float32, less closely
TOLERANCE_OF_MANY, TOLERANCE_OF_SAMPLE = 1e-5, 1e-4  # see benchmarks/training_many_cells.md
CORRECTIONS_OF_MANY = 10
LEAST_VARIANCE = 10.0  # of a feature that is scaled by it, in units of 1 / (C × cells); is added
LEAST_LOGIT = -60.0  # below a cell's highest; less changes no sum, and float32 is slow below 1e-38
LEAST_DESCENT = 1e-4  # by a step of Newton's method, of what the gradient promises
SHORTEST_STEP = 1e-6  # of a whole one
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
    data = _looked_through(blocks())
    if data.held is not None and data.cells <= MANY_CELLS:
        wide = [(values.astype(np.float64), truth) for values, truth in data.held]
        data = data._replace(held=wide)

    def again() -> Iterable[tuple[Features, np.ndarray]]:
        return blocks() if data.held is None else data.held

    problem = _Problem(again, data, labels, weights, strength, origin)
    if data.cells > MANY_CELLS:
        if first is None and origin is None:
            sample = _sample(again(), data.cells)
            drawn = data._replace(cells=sum(len(one) for _, one in sample))
            small = problem._replace(blocks=lambda: sample, data=drawn)
            first = small.minimum(TOLERANCE_OF_SAMPLE, None, np.float32)
        parameters = problem.minimum(max(tolerance, TOLERANCE_OF_MANY), first, np.float32)
    else:
        parameters = problem.minimum(tolerance, first, np.float64)
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
    """Weights and, as the last row, biases, float64 (features + 1, labels), by Newton's method.

    Each step is solved by conjugate gradients, the closer the nearer the optimum is, and halved
    until it leads down (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.1). One
    thread multiplies: threads wait for each other at each of these small products, several times
    as long as the product takes when other programs run.
    """
    from scipy.sparse.linalg import LinearOperator, cg  # sooner imported than scipy.optimize
    from threadpoolctl import threadpool_limits

    cells, width = features.shape
    by_feature, is_truth = np.ascontiguousarray(features.T), np.eye(labels)[truth]

    def logits(parameters: np.ndarray) -> np.ndarray:
        return features @ parameters[:-1].astype(np.float32) + parameters[-1]

    def summed(errors: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        of_weights = by_feature @ errors.astype(np.float32) + parameters[:-1] / strength
        return np.vstack([of_weights, errors.sum(0)]).ravel() / cells

    def loss_and_shares(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        found = logits(parameters)
        found -= found.max(1, keepdims=True)
        log_sums = np.log(np.exp(found).sum(1, keepdims=True))
        loss = float((log_sums[:, 0] - (found * is_truth).sum(1)).sum())
        loss += 0.5 / strength * float((parameters[:-1] ** 2).sum())
        return loss / cells, np.exp(found - log_sums)

    def curvature(flat: np.ndarray) -> np.ndarray:
        direction = flat.reshape(width + 1, labels)
        change = logits(direction) * shares
        change -= shares * change.sum(1, keepdims=True)
        return summed(change, direction)

    size = (width + 1) * labels
    products = LinearOperator((size, size), matvec=curvature, dtype=np.float64)
    parameters = np.zeros((width + 1, labels))
    with threadpool_limits(1, "blas"):
        loss, shares = loss_and_shares(parameters)
        for _ in range(MAX_ITERATIONS):
            gradient = summed(shares - is_truth, parameters)
            length = float(np.linalg.norm(gradient))
            if length < tolerance:
                break
            step, _ = cg(products, -gradient, rtol=min(0.5, length**0.5))
            descent, share = LEAST_DESCENT * float(gradient @ step), 1.0
            while True:
                next_one = parameters + share * step.reshape(parameters.shape)
                next_loss, next_shares = loss_and_shares(next_one)
                if next_loss <= loss + share * descent:
                    break
                if share < SHORTEST_STEP:  # rounding hides what is left
                    return parameters
                share /= 2
            parameters, loss, shares = next_one, next_loss, next_shares
    return parameters


class _Data(NamedTuple):
    """The number of ``cells``, and the blocks where all of them fit in memory.

    ``means`` and ``variances`` float64 (features,): of the features over the cells. Variances are
    0 where features are sparse.
    """

    cells: int
    means: np.ndarray
    variances: np.ndarray
    held: list[tuple[Features, np.ndarray]] | None


def _looked_through(blocks: Iterable[tuple[Features, np.ndarray]]) -> _Data:
    """One pass over the blocks; ScReaderError where a feature is not finite."""
    held: list[tuple[Features, np.ndarray]] | None = []
    cells, size = 0, 0
    total, squares = np.zeros(()), np.zeros(())
    for values, truth in blocks:
        is_sparse = sparse.issparse(values)
        if not np.isfinite(values.data if is_sparse else values).all():
            raise ScReaderError("the cells' weights or gene embeddings are not all finite.")
        cells, size = cells + len(truth), size + values.size * (12 if is_sparse else 8)
        total = total + np.asarray(values.sum(0, dtype=np.float64)).ravel()
        if not is_sparse:
            squares = squares + np.einsum("ij,ij->j", values, values, dtype=np.float64)
        if held is not None:
            cuts = [slice(row, row + ROWS_AT_ONCE) for row in range(0, len(truth), ROWS_AT_ONCE)]
            held += [(values[cut], truth[cut]) for cut in cuts]
            held = held if size <= MAX_BYTES else None
    means = total / cells
    variances = np.maximum(squares / cells - means**2, 0)
    return _Data(cells, means, variances, held)


def _sample(
    blocks: Iterable[tuple[Features, np.ndarray]], cells: int
) -> list[tuple[Features, np.ndarray]]:
    """About ``MANY_CELLS`` random ones of so many ``cells``."""
    random, taken = np.random.default_rng(0), []
    for values, truth in blocks:
        own = np.flatnonzero(random.random(len(truth)) < MANY_CELLS / cells)
        taken.append((values[own], truth[own]))
    return taken


class _Problem(NamedTuple):
    """What is minimised over all ``blocks()``, which ``data`` describes.

    ``towards`` are the weights and, as the last row, biases that the penalty draws to, if not to 0.
    """

    blocks: Blocks
    data: _Data
    labels: int
    label_weights: np.ndarray
    strength: float
    towards: np.ndarray | None

    def minimum(self, tolerance: float, start: np.ndarray | None, precision: type) -> np.ndarray:
        """Weights and, as the last row, biases, float64 (features + 1, labels), by L-BFGS.

        Every evaluation goes over the blocks again, with products in ``precision``. The minimum is
        looked for among weights of centred features, and of scaled ones where they are dense: the
        same minimum, found in fewer steps. The ``tolerance`` is of the derivatives by these.
        """
        from scipy.optimize import minimize

        cells, means, variances, _ = self.data
        shape = len(means) + 1, self.labels
        origin = np.zeros(shape) if self.towards is None else self.towards
        scales = np.ones(len(means))
        if variances.any():
            scales = 1 / np.sqrt(variances + LEAST_VARIANCE / (self.strength * cells))

        def of_features(flat: np.ndarray) -> np.ndarray:
            inner = flat.reshape(shape)
            weights = inner[:-1] * scales[:, None]
            return np.vstack([weights, inner[-1] - means @ weights])

        def of_centred(parameters: np.ndarray) -> np.ndarray:
            weights = parameters[:-1]
            return np.vstack([weights / scales[:, None], parameters[-1] + means @ weights]).ravel()

        with matrix_threads() as map_blocks:

            def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
                parameters = of_features(flat)
                far = parameters[:-1] - origin[:-1]
                loss = 0.5 / self.strength * float((far**2).sum())
                gradient = np.vstack([far / self.strength, np.zeros(self.labels)])
                narrow: np.ndarray = parameters.astype(precision)

                def of_block(values: Features, truth: np.ndarray) -> tuple[float, np.ndarray]:
                    return self._of_block(values.astype(precision, copy=False), truth, narrow)

                for own_loss, own_gradient in map_blocks(of_block, self.blocks()):
                    loss += own_loss
                    gradient += own_gradient
                gradient[:-1] -= means[:, None] * gradient[-1]
                gradient[:-1] *= scales[:, None]
                return loss / cells, gradient.ravel() / cells

            options = {
                "gtol": tolerance, "ftol": 0.0,
                "maxcor": CORRECTIONS if precision is np.float64 else CORRECTIONS_OF_MANY,
                "maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS,
            }  # fmt: skip
            first = of_centred(origin if start is None else start)
            result = minimize(
                loss_and_gradient, first, jac=True, method="L-BFGS-B", options=options
            )
            return of_features(result.x)

    def _of_block(
        self, values: Features, truth: np.ndarray, parameters: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """The cross-entropy of a block's cells, and its gradient (features + 1, labels)."""
        logits = values @ parameters[:-1] + parameters[-1]
        logits -= logits.max(1, keepdims=True)
        cells, counts = np.arange(len(truth)), self.label_weights[truth]
        of_truth = logits[cells, truth]
        errors = np.exp(np.maximum(logits, LEAST_LOGIT, out=logits), out=logits)
        sums = errors.sum(1)
        loss = float(counts @ (np.log(sums) - of_truth))
        errors /= sums[:, None]
        errors[cells, truth] -= 1
        errors *= counts[:, None].astype(errors.dtype)
        return loss, np.vstack([values.T @ errors, errors.sum(0)])
