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

import numpy as np
import torch
from torch import Tensor, nn

from screader_lib.reader.model.reader_model import Batch, by_gene

ROUNDS = (16, 32, 64, 128)  # nodes; as many rounds as a cell needs
MAX_GAP = 0.05
POWER = 2  # nodes lie at powers of Gauss-Legendre's: an LLM's norms change fastest near weight 0
NODES_OF_LINEAR = 256  # of an integral over logits alone, which costs next to nothing

Logits = Callable[[Batch], Tensor]


def log_odds(logits: Tensor, calls: Tensor) -> Tensor:
    """Log-odds of the called label against all others, (cells,), of the logits' dtype.

    ``logits`` (cells, labels), ``calls`` label numbers int64 (cells,).
    """
    called = logits.gather(1, calls[:, None])[:, 0]
    others = logits.scatter(1, calls[:, None], float("-inf"))
    return called - others.logsumexp(1)


def nodes(count: int, power: int) -> tuple[list[float], list[float]]:
    """Nodes in (0, 1) and weights of a quadrature: Gauss-Legendre's in the ``power``-th root."""
    points, shares = np.polynomial.legendre.leggauss(count)
    points, shares = (points + 1) / 2, shares / 2
    return (points**power).tolist(), (shares * power * points ** (power - 1)).tolist()


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
    """The same for logits that are linear in the genes' weights along the path: exact.

    Then a gene's gradient is that of its logits, weighted by how probable each label is among all
    but the called one. Only these probabilities change along the path, so that their means are
    integrals over the logits alone.
    """
    whole = along_path(batch, 1.0)
    whole.weights = whole.weights.detach().requires_grad_()
    logits = logits_of(whole)
    with torch.no_grad():
        last, first = logits.double(), logits_of(along_path(batch, 0.0)).double()
        others = torch.zeros_like(first)
        for share, factor in zip(*nodes(NODES_OF_LINEAR, 1), strict=True):
            now = torch.lerp(first, last, share).scatter(1, calls[:, None], float("-inf"))
            others += factor * now.softmax(1)
        change = log_odds(last, calls) - log_odds(first, calls)
        factors = (nn.functional.one_hot(calls, logits.shape[1]) - others).to(logits.dtype)
    [gradient] = torch.autograd.grad((logits * factors).sum(), whole.weights)
    parts = gradient * batch.weights
    return parts, gaps(parts, change)


def linear_attributions(
    genes: np.ndarray,
    weights: np.ndarray,
    calls: np.ndarray,
    matrix: np.ndarray,
    biases: np.ndarray,
    embedding: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Parts float32 (cells, width) and gaps float32 (cells,) of logits linear in genes' weights.

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

    parts, found = linear_parts(logits_of, whole, torch.from_numpy(calls))
    return parts.numpy(), found.float().numpy()
