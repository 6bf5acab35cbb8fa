"""Multinomial logistic regression on torch's L-BFGS, over blocks of cells.

Memory does not grow with cells: every evaluation goes over the blocks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

Blocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]

MOST_STEPS = 200
INVERSE_PENALTY = 1.0  # C of scikit-learn's LogisticRegression


def fit_logistic(
    blocks: Blocks, features: int, labels: int, label_weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit on ``blocks()``, an iterable of features float32 (cells, features) and label numbers.

    Minimises the summed cross-entropy plus half the squared weights over ``INVERSE_PENALTY``;
    cells count by their ``label_weights`` float32 (labels,). Returns weights float32
    (features, labels) and biases float32 (labels,).
    """
    weights = torch.zeros(features, labels, requires_grad=True)
    biases = torch.zeros(labels, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights, biases],
        max_iter=MOST_STEPS,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-4,
        tolerance_change=1e-7,
    )

    counts = None if label_weights is None else torch.from_numpy(label_weights)

    def loss() -> Tensor:
        optimiser.zero_grad()
        penalty = 0.5 / INVERSE_PENALTY * weights.square().sum()
        penalty.backward()
        total, cells = penalty.detach(), 0
        for values, truth in blocks():  # each gives its gradient at once, so none is kept
            logits = torch.from_numpy(values) @ weights + biases
            target = torch.from_numpy(truth.astype(np.int64))
            part = torch.nn.functional.cross_entropy(logits, target, weight=counts, reduction="sum")
            part.backward()
            total, cells = total + part.detach(), cells + len(truth)
        for parameter in (weights, biases):
            if parameter.grad is not None:
                parameter.grad /= max(1, cells)
        return total / max(1, cells)

    optimiser.step(loss)
    return weights.detach().numpy(), biases.detach().numpy()
