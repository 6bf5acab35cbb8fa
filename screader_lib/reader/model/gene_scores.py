"""What each gene by itself says for each label: the part of a reader that needs no LLM.

Two linear classifiers of a cell's genes, both fitted by logistic regression and told apart only by
what they are fitted on. One reads each gene, the other the principal components of the training
cells, as most people do before they cluster cells. Both add up over genes, so a table of genes by
labels holds each of them.

Gene texts are not used here. Added to the features, whitened or not, they made the accuracy no
better or worse (benchmarks/species.md); they tell which genes of another species are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from screader_lib.reader.confidence.calibration import calibrated_loss, softmax
from screader_lib.reader.model.linear_reader import scores_of_genes
from screader_lib.reader.model.logistic_regression import fit_logistic
from screader_lib.reader.model.principal_components import (
    mean_and_spread,
    principal_directions,
    sampled_cells,
)
from screader_lib.reader.task import Task, row_blocks

COMPONENT_LENGTH = 40.0  # root mean square over the training cells
MIN_SPREAD = 1 / 3  # of the median gene's standard deviation; rarer genes do not count for more
STRENGTHS = (0.1, 1.0, 10.0)  # inverse penalties that are tried on the validation cells
TOLERANCE = 1e-6  # of the fits, see logistic_regression: what is left changes no prediction
TOLERANCE_OF_TRIALS = 1e-5
DEFAULT_STRENGTH = 1.0  # without validation cells
MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)  # weights of the components' logits that are tried
DEFAULT_MIX = 0.5
MAX_VALIDATION_CELLS = 20_000  # on which they are chosen
FACTORS = np.geomspace(0.1, 10, 81)
CHOICE = 7  # stream of random numbers; see training

Table = tuple[np.ndarray, np.ndarray]  # scores float32 (genes, labels), biases float32 (labels,)


@dataclass(frozen=True)
class GeneScores:
    """Two tables of scores, and what is typical of the genes.

    The logits are (1 − ``mix``) times those of ``genes`` plus ``mix`` times those of
    ``components``. ``means`` float32 (genes,): the mean scaled weight over the training cells.
    ``alone``: what the logits of ``genes`` are multiplied by where they stand alone, as too few of
    the genes were measured: those of half of the genes are then as sure as both tables of all.
    """

    genes: Table
    components: Table
    mix: float
    means: np.ndarray
    alone: float = 1.0


def fit_gene_scores(task: Task, weight_scale: float, label_weights: np.ndarray) -> GeneScores:
    """Fit both tables; strengths and mix are those of least validation loss.

    The genes' weights are multiplied by ``weight_scale``, which makes their mean 1.
    ``label_weights`` float32 (labels,). Each fit is convex and has one answer.
    """

    def scaled_weights(rows: np.ndarray) -> sparse.csr_matrix:
        values = task.cells.weights(rows)
        return values * np.float32(weight_scale)

    means, spread = mean_and_spread(task, scaled_weights)
    chosen = sampled_cells(task)
    truth = task.truth[chosen]
    sample = [scaled_weights(rows) for rows in row_blocks(task.rows[chosen])]
    directions = _directions(sparse.vstack(sample, "csr"), spread, task.settings.seed)
    random = np.random.default_rng([task.settings.seed, CHOICE])
    kept = np.sort(random.permutation(len(task.validation_rows))[:MAX_VALIDATION_CELLS])
    validation = scaled_weights(task.validation_rows[kept])
    validation_truth, labels = task.validation_truth[kept], len(task.labels.names)

    def fit(
        project: np.ndarray | None, strength: float, is_trial: bool, start: Table | None
    ) -> Table:
        """Of a regression on the genes, or on what ``project`` (genes, …) makes of them.

        On a sample of the training cells if it ``is_trial``, on all of them if not. The stronger
        the penalty, the nearer the optimum is at the same gradient: a trial may end sooner.
        """

        def blocks() -> Iterator[tuple[np.ndarray | sparse.csr_matrix, np.ndarray]]:
            every = map(scaled_weights, row_blocks(task.rows))
            parts, known = (sample, truth) if is_trial else (every, task.truth)
            for values, numbers in zip(parts, row_blocks(known), strict=True):
                yield (values if project is None else values @ project), numbers

        tolerance = TOLERANCE_OF_TRIALS / min(1, strength) if is_trial else TOLERANCE
        return fit_logistic(blocks, labels, label_weights, strength, tolerance, start)

    def best(project: np.ndarray | None) -> Table:
        table: Table | None = None
        strength, lowest = DEFAULT_STRENGTH, np.inf
        if len(kept):
            values = validation if project is None else validation @ project
            fitted = None
            for each in STRENGTHS:  # each fit starts from the one before
                fitted = fit(project, each, is_trial=True, start=fitted)
                loss = calibrated_loss(logits(values, fitted), validation_truth)
                if loss < lowest:
                    table, strength, lowest = fitted, each, loss
        table = fit(project, strength, is_trial=False, start=table)
        return table if project is None else (project @ table[0], table[1])

    genes, components = best(None), best(directions)
    mix, alone = DEFAULT_MIX, 1.0
    if len(kept):
        own, other = logits(validation, genes), logits(validation, components)
        mix = min(
            MIXES,
            key=lambda mix: calibrated_loss((1 - mix) * own + mix * other, validation_truth),
        )
        half = random.random(len(means)) < 0.5
        tensors = {"scores": genes[0], "score_biases": genes[1], "gene_means": means}
        of_half = logits(validation.multiply(half), scores_of_genes(tensors, half, False))
        alone = _as_sure(of_half, (1 - mix) * own + mix * other)
    return GeneScores(genes, components, mix, means.astype(np.float32), alone)


def _as_sure(own: np.ndarray, both: np.ndarray) -> float:
    """The factor of the logits ``own`` (cells, labels) that makes them most like ``both``.

    That of the lowest cross-entropy with the probabilities of ``both``.
    """
    wanted = softmax(both)
    losses = [-(wanted * np.log(softmax(factor * own) + 1e-9)).sum() for factor in FACTORS]
    return float(FACTORS[int(np.argmin(losses))])


def logits(values: np.ndarray | sparse.csr_matrix, table: Table) -> np.ndarray:
    """Logits float32 (cells, labels) of features (cells, …), such as scaled weights of genes."""
    return values @ table[0] + table[1]


def _directions(sample: sparse.csr_matrix, spread: np.ndarray, seed: int) -> np.ndarray:
    """What maps scaled weights to components, but for a constant; float32 (genes, components).

    The components are those of the genes' weights, each gene divided by its standard deviation.
    """
    varies = spread > 1e-6 * spread.max(initial=0)
    floor = MIN_SPREAD * float(np.median(spread[varies])) if varies.any() else 1.0
    factors = np.where(varies, 1 / np.maximum(spread, floor), 0)
    standardised = sparse.csr_matrix(sample.astype(np.float64) @ sparse.diags(factors))
    directions = principal_directions(standardised, seed)
    projected = standardised @ directions
    length = np.sqrt(projected.var(0).sum())
    return (factors[:, None] * directions * (COMPONENT_LENGTH / max(length, 1e-12))).astype(
        np.float32
    )
