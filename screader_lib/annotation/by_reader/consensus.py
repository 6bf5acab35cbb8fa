"""What a cell is called by several methods, and by its neighbours.

Three methods answer for each cell by itself: the reader; the rank correlation with the typical
expression of each label (model.label_profiles); and a classifier for just the genes that the sample
has (model.simulated_cells). Each is the best on some samples: the last where the cells are like the
reader's but many genes are missing, the others where the technology is another one. A cell's own
call weights them by how familiar the cell is to the reader. The consensus also weights them by how
much the calls of each agree with those of the nearest neighbours, which needs no true label, and
then takes the neighbours in: more where the cells are unfamiliar to the reader, and the more the
less sure the methods are of a cell. The numbers were chosen on the samples of
benchmarks/annotate.md that are named there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.methods.places import NEIGHBOURS, Neighbours, Read
from screader_lib.reader.model.label_profiles import LabelProfiles, RankedMarkers
from screader_lib.reader.model.simulated_cells import SimulatedCells
from screader_lib.reader.task import row_blocks

PROFILE_TEMPERATURE = 0.02  # of rank correlations
METHODS = ("reader", "profiles", "simulated_cells")
WEIGHTS_FAMILIAR = (0.3, 0.2, 0.5)  # for a cell that is as familiar as FAMILIAR
WEIGHTS_UNFAMILIAR = (0.5, 0.4, 0.1)  # for one that is no more familiar than UNFAMILIAR
AGREEMENT_SCALE = 0.05  # by how much less agreement a method counts for a factor e less
SHARPNESS = 1.3  # sum of the weights of logarithms: methods that agree are surer than each
NEIGHBOURS_FAMILIAR, NEIGHBOURS_UNFAMILIAR = 0.2, 0.8  # least weight in such samples
FAMILIAR, UNFAMILIAR = 0.2, 0.03  # familiarities, or medians of them
MOST_NEIGHBOURS = 0.9  # weight for a cell that the methods know nothing of
SURE = 0.8  # probability of a cell's own call, from which on its neighbours count less
LEAST = 1e-4  # probability

Answers = dict[str, np.ndarray]


@dataclass(frozen=True)
class FittedMethods:
    """The methods beside the reader, fitted for samples that have the same of its genes.

    ``columns`` int64 (genes,): the number of each gene of the cells among the profiles' genes.
    """

    profiles: LabelProfiles
    columns: np.ndarray
    markers: RankedMarkers
    simulated: SimulatedCells

    @classmethod
    def fit(cls, profiles: LabelProfiles, genes: np.ndarray, in_input: np.ndarray) -> FittedMethods:
        """For cells with these ``genes``, ids, of which ``in_input``, bool (genes,), are in their
        file."""
        columns = profiles.columns_of(genes)
        present = profiles.present(columns, in_input)
        markers = profiles.ranked_markers(present)
        return cls(profiles, columns, markers, SimulatedCells.fit(profiles, present))


class OtherMethods:
    """Answers beside those of the reader, for any of a sample's cells at a time.

    Readers of early versions have no profiles; then ``fitted`` is None and there is no other
    method.
    """

    def __init__(self, fitted: FittedMethods | None, cells: int, labels: int) -> None:
        self.fitted, self.labels = fitted, labels
        names = METHODS[1:] if fitted is not None else ()
        self.answers = {name: np.empty((cells, labels), np.float32) for name in names}

    def answer(self, cells: CellSequences, rows: np.ndarray) -> None:
        """Fill in the answers for the cells ``rows``."""
        if (fitted := self.fitted) is not None:
            weights = fitted.profiles.weights(cells, rows, fitted.columns)
            scores = fitted.markers.scores(weights)
            probability = fitted.simulated.probability(weights, self.labels)
            self.answers["profiles"][rows] = softmax(scores, PROFILE_TEMPERATURE)
            self.answers["simulated_cells"][rows] = probability


def by_consensus(
    answers: Answers, neighbours: Neighbours, familiarity: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """The consensus of the methods and a cell's neighbours, float32 (cells, labels).

    Also what each method and the neighbours counted, by name.
    """
    weights = weights_by_agreement(answers, neighbours, familiarity)
    least = least_of_neighbours(familiarity)
    probability = with_neighbours(combined(answers, weights), neighbours, least)
    counted = dict(zip(answers, weights.round(3).tolist(), strict=True))
    return probability, {**counted, "neighbours": least, "number_of_neighbours": NEIGHBOURS}


def how_familiar(familiarity: np.ndarray) -> np.ndarray:
    """From 0 for cells unfamiliar to the reader to 1 for familiar ones; float64 (cells,)."""
    logs = np.log(np.maximum(familiarity, 1e-9))
    return np.interp(logs, np.log([UNFAMILIAR, FAMILIAR]), [0.0, 1.0])


def usual_weights(familiarity: np.ndarray) -> np.ndarray:
    """How much each method counts for a cell by its familiarity, float64 (cells, methods)."""
    familiar = how_familiar(familiarity)[:, None]
    return familiar * WEIGHTS_FAMILIAR + (1 - familiar) * WEIGHTS_UNFAMILIAR


def combined(answers: Answers, weights: np.ndarray) -> np.ndarray:
    """The methods' weighted geometric mean, sharpened; float32 (cells, labels).

    ``weights`` (cells or 1, methods).
    """
    if len(answers) == 1:
        return next(iter(answers.values()))
    result = np.empty_like(answers["reader"])
    weights = np.broadcast_to(weights, (len(result), len(METHODS)))
    for rows in row_blocks(np.arange(len(result))):
        logs = np.zeros_like(result[rows])
        for name, of_method in zip(METHODS, weights.T, strict=True):
            logs += of_method[rows, None] * np.log(np.clip(answers[name][rows], LEAST, 1))
        result[rows] = softmax(SHARPNESS * logs)
    return result


def weights_by_agreement(
    answers: Answers, neighbours: Neighbours, familiarity: np.ndarray
) -> np.ndarray:
    """How much each method counts in this sample, float64 (methods,), in all 1.

    What is usual for the cells' median familiarity, times what the :func:`agreement` says.
    """
    found = np.array([agreement(some, neighbours) for some in answers.values()])
    usual = usual_weights(np.median(familiarity)[None])[0] if len(answers) > 1 else np.ones(1)
    weights = usual * np.exp((found - found.max()) / AGREEMENT_SCALE)
    return np.asarray(weights / weights.sum())


def agreement(probability: np.ndarray, neighbours: Neighbours) -> float:
    """How much the neighbours' labels tell of a cell's label, from 0 to 1.

    The mutual information of a cell's most probable label and one of a neighbour, over the entropy
    of the former; so calling all cells alike is no agreement.
    """
    labels, best = probability.shape[1], probability.argmax(1)
    joint = np.zeros((labels, labels))
    for rows in row_blocks(np.arange(len(best))):
        near = best[neighbours.nearest[rows]]
        np.add.at(joint, (np.repeat(best[rows], near.shape[1]), near.ravel()), 1.0)
    joint /= max(1.0, joint.sum())
    own, other = joint.sum(1), joint.sum(0)
    there = joint > 0
    shared = (joint[there] * np.log(joint[there] / np.outer(own, other)[there])).sum()
    entropy = -(own[own > 0] * np.log(own[own > 0])).sum()
    return float(shared / entropy) if entropy > 0 else 0.0


def least_of_neighbours(familiarity: np.ndarray) -> float:
    """What the neighbours count at least, by the cells' familiarity, float32 (cells,)."""
    familiar = float(how_familiar(np.median(familiarity)[None])[0])
    least = NEIGHBOURS_UNFAMILIAR + familiar * (NEIGHBOURS_FAMILIAR - NEIGHBOURS_UNFAMILIAR)
    return round(least, 3)


def gene_weights(cells: CellSequences) -> Read:
    """Reads cells' weights of the genes that are in their file, CSR float32 (rows, genes)."""
    genes = np.flatnonzero(cells.genes_in_input)

    def read(rows: np.ndarray) -> sparse.csr_matrix:
        weights = cells.weights(rows)
        return weights if len(genes) == weights.shape[1] else weights[:, genes]

    return read


def with_neighbours(probability: np.ndarray, neighbours: Neighbours, least: float) -> np.ndarray:
    """Each cell's ``probability`` and the mean of its neighbours', float32 (cells, labels).

    The less sure a cell's own call is, the more the neighbours count: for a call of ``SURE`` by at
    least ``least``. Above it they count less, and not at all for one that is certain: where such a
    call is wrong, those of the neighbours are nearly always wrong in the same way.
    """
    own = probability.max(1, keepdims=True)
    weight = least + (MOST_NEIGHBOURS - least) * (1 - own)
    weight *= np.minimum(1, (1 - own) / (1 - SURE))
    result = np.empty_like(probability)
    for rows in row_blocks(np.arange(len(probability))):
        mean = probability[neighbours.nearest[rows]].mean(1)
        result[rows] = (1 - weight[rows]) * probability[rows] + weight[rows] * mean
    return result
