"""Each gene's part in a call: integrated gradients of its log-odds over the genes' weights.

Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks". The path goes from a cell
whose genes all weigh nothing to the cell as it is. Whatever is divided by the cell's total weight
is divided by the total of the whole cell at every step: otherwise nothing would change along the
path. A gene's part is its share of the change in log-odds, and the parts add up to that change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from screader_lib.reader.model.reader_model import Batch, by_gene

STEPS = 16

LogitsOf = Callable[[Batch], Tensor]


def log_odds(logits: Tensor, calls: Tensor) -> Tensor:
    """Log-odds of the called label against all others, float32 (cells,).

    ``logits`` (cells, labels), ``calls`` label numbers int64 (cells,).
    """
    called = logits.gather(1, calls[:, None])[:, 0]
    others = logits.scatter(1, calls[:, None], float("-inf"))
    return called - others.logsumexp(1)


@torch.enable_grad()
def integrated_gradients(
    logits_of: LogitsOf, batch: Batch, calls: Tensor, steps: int = STEPS
) -> Tensor:
    """Each gene's part in the log-odds of the calls, float32 (cells, width)."""
    whole = torch.zeros_like(batch.weights)
    totals = batch.weights.sum(1)
    for step in range(steps):
        share = (step + 0.5) / steps
        weights = (batch.weights * share).detach().requires_grad_()
        odds = log_odds(logits_of(Batch(batch.genes, weights, totals)), calls)
        whole += torch.autograd.grad(odds.sum(), weights)[0]
    return whole / steps * batch.weights


@dataclass(frozen=True)
class LinearContributions:
    """Logits that are linear in the genes' weights: ``matrix`` float32 (genes, labels).

    With ``embedding`` (genes, dim), the weighted sum is brought to the length at which the cell's
    mean embedding is a unit vector.
    """

    matrix: np.ndarray
    biases: np.ndarray
    embedding: np.ndarray | None = None

    def logits_of(self, whole: Batch) -> LogitsOf:
        """The logits of cells with other weights, their length that of the ``whole`` cells."""
        matrix, biases = torch.from_numpy(self.matrix), torch.from_numpy(self.biases)
        length = torch.ones(len(whole.genes), 1)
        if self.embedding is not None:
            mean = by_gene(whole, len(matrix)) @ torch.from_numpy(self.embedding)
            length = mean.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return lambda batch: by_gene(batch, len(matrix)) @ matrix / length + biases

    def explain(
        self, genes: np.ndarray, weights: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ``genes`` int (cells, width) and their attributions float32 (cells, width)."""
        whole = Batch(torch.from_numpy(genes.astype(np.int64)), torch.from_numpy(weights))
        parts = integrated_gradients(self.logits_of(whole), whole, torch.from_numpy(calls))
        return genes, parts.numpy()
