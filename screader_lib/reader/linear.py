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


def fit_logistic(blocks: Blocks, features: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit on ``blocks()``, an iterable of features float32 (cells, features) and label numbers.

    Minimises the summed cross-entropy plus half the squared weights over ``INVERSE_PENALTY``.
    Returns weights float32 (features, labels) and biases float32 (labels,).
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

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = 0.5 / INVERSE_PENALTY * weights.square().sum()
        cells = 0
        for values, truth in blocks():
            logits = torch.from_numpy(values) @ weights + biases
            target = torch.from_numpy(truth.astype(np.int64))
            part = torch.nn.functional.cross_entropy(logits, target, reduction="sum")
            total = total + part
            cells += len(truth)
        mean = total / max(1, cells)
        mean.backward()
        return mean

    optimiser.step(loss)
    return weights.detach().numpy(), biases.detach().numpy()
