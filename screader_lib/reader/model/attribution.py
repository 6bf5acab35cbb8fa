"""Each gene's part in a call: integrated gradients of its log-odds over the genes' weights.

Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks". The path goes from a cell
whose genes all weigh nothing to the cell as it is. Whatever is divided by the cell's total weight
is divided by the total of the whole cell at every step: otherwise nothing would change along the
path. A gene's part is its share of the change in log-odds, and the parts add up to that change.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from screader_lib.reader.model.reader_model import Batch, by_gene

STEPS = 16


def log_odds(logits: Tensor, calls: Tensor) -> Tensor:
    """Log-odds of the called label against all others, float32 (cells,).

    ``logits`` (cells, labels), ``calls`` label numbers int64 (cells,).
    """
    called = logits.gather(1, calls[:, None])[:, 0]
    others = logits.scatter(1, calls[:, None], float("-inf"))
    return called - others.logsumexp(1)


@torch.enable_grad()
def integrated_gradients(
    logits_of: Callable[[Batch], Tensor], batch: Batch, calls: Tensor
) -> Tensor:
    """Each gene's part in the log-odds of the calls, float32 (cells, width)."""
    whole = torch.zeros_like(batch.weights)
    totals = batch.weights.sum(1)
    for step in range(STEPS):
        share = (step + 0.5) / STEPS
        weights = (batch.weights * share).detach().requires_grad_()
        odds = log_odds(logits_of(Batch(batch.genes, weights, totals)), calls)
        whole += torch.autograd.grad(odds.sum(), weights)[0]
    return whole / STEPS * batch.weights


def linear_attributions(
    genes: np.ndarray,
    weights: np.ndarray,
    calls: np.ndarray,
    matrix: np.ndarray,
    biases: np.ndarray,
    embedding: np.ndarray | None = None,
) -> np.ndarray:
    """The same, float32 (cells, width), of logits that are linear in the genes' weights.

    ``genes`` int and ``weights`` float32 (cells, width), ``calls`` label numbers (cells,);
    ``matrix`` float32 (genes, labels), ``biases`` (labels,). With ``embedding`` (genes, dim), the
    weighted sum is brought to the length at which the cell's mean embedding is a unit vector.
    """
    whole = Batch(torch.from_numpy(genes.astype(np.int64)), torch.from_numpy(weights))
    by_label, bias = torch.from_numpy(matrix), torch.from_numpy(biases)
    length = torch.ones(len(genes), 1)
    if embedding is not None:
        mean = by_gene(whole, len(matrix)) @ torch.from_numpy(embedding)
        length = mean.norm(dim=1, keepdim=True).clamp(min=1e-12)

    def logits_of(batch: Batch) -> Tensor:
        return by_gene(batch, len(matrix)) @ by_label / length + bias

    return integrated_gradients(logits_of, whole, torch.from_numpy(calls)).numpy()
