"""Each gene's part in a call: integrated gradients of its log-odds over the genes' weights.

Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks". The path goes from a cell
whose genes all weigh nothing to the cell as it is. Whatever is divided by the cell's total weight
is divided by the total of the whole cell at every step: otherwise nothing would change along the
path. A gene's part is its share of the change in log-odds, and the parts add up to that change.

How far they are from adding up is the gap: the difference, divided by the change, or by 1 where the
log-odds change by less.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from screader_lib.reader.model.linear_attribution import mean_factors, nodes
from screader_lib.reader.model.reader_model import Batch

ROUNDS = (16, 32, 64, 128)  # nodes; as many rounds as a cell needs
MAX_GAP = 0.05
POWER = 2  # nodes lie at powers of Gauss-Legendre's: an LLM's norms change fastest near weight 0

Logits = Callable[[Batch], Tensor]


def log_odds(logits: Tensor, calls: Tensor) -> Tensor:
    """Log-odds of the called label against all others, (cells,), of the logits' dtype.

    ``logits`` (cells, labels), ``calls`` label numbers int64 (cells,).
    """
    called = logits.gather(1, calls[:, None])[:, 0]
    others = logits.scatter(1, calls[:, None], float("-inf"))
    return called - others.logsumexp(1)


def gaps(parts: Tensor, change: Tensor) -> Tensor:
    """How far the ``parts`` (cells, width) are from adding up to ``change`` (cells,)."""
    return (parts.double().sum(1) - change).abs() / change.abs().clamp(min=1)


def along_path(batch: Batch, share: float) -> Batch:
    """The cells with this share of their genes' weights."""
    return Batch(batch.genes, batch.weights * share, batch.weights.sum(1))


@torch.enable_grad()
def integrated_gradients(
    logits_of: Logits,
    batch: Batch,
    calls: Tensor,
    goes_on: Callable[[bool], bool] = lambda wanted: wanted,
) -> tuple[Tensor, Tensor]:
    """Each gene's part in the log-odds of the calls, float32 (cells, width), and the gaps (cells,).

    Every round doubles the steps of the cells whose gap is above ``MAX_GAP``. ``goes_on`` is asked
    for each further round: processes that share an LLM must compute equally often.
    """
    with torch.no_grad():
        last, first = (
            log_odds(logits_of(along_path(batch, share)).double(), calls) for share in (1.0, 0.0)
        )
    change = last - first
    parts, found = torch.zeros_like(batch.weights), torch.full_like(change, torch.inf)
    for count in ROUNDS:
        wanted = torch.nonzero(found > MAX_GAP)[:, 0]
        if not goes_on(len(wanted) > 0):
            break
        rows = wanted if len(wanted) else torch.zeros(1, dtype=torch.long, device=calls.device)
        own = Batch(batch.genes[rows], batch.weights[rows])
        total = torch.zeros_like(own.weights)
        for share, factor in zip(*nodes(count, POWER), strict=True):
            point = along_path(own, share)
            point.weights = point.weights.detach().requires_grad_()
            odds = log_odds(logits_of(point), calls[rows])
            total += factor * torch.autograd.grad(odds.sum(), point.weights)[0]
        if len(wanted):
            parts[rows] = total * own.weights
            found[rows] = gaps(parts[rows], change[rows])
    return parts, found


@torch.enable_grad()
def linear_parts(logits_of: Logits, batch: Batch, calls: Tensor) -> tuple[Tensor, Tensor]:
    """The same for logits that are linear in the genes' weights along the path: exact."""
    whole = along_path(batch, 1.0)
    whole.weights = whole.weights.detach().requires_grad_()
    logits = logits_of(whole)
    with torch.no_grad():
        first = logits_of(along_path(batch, 0.0))
        arrays = (each.cpu().numpy() for each in (first.double(), logits.double(), calls))
        factors, change = map(torch.from_numpy, mean_factors(*arrays))
    [gradient] = torch.autograd.grad((logits * factors.to(logits)).sum(), whole.weights)
    parts = gradient * batch.weights
    return parts, gaps(parts, change.to(parts.device))
