"""What a sample as a whole says about its cells' types.

A reader calls each cell by itself. Here two more things count: how well the ranks of a cell's genes
agree with the typical expression of each label (model.label_profiles), and what its nearest
neighbours in the sample are called. How much they count comes from the sample: ranks more where few
of the reader's genes are there, neighbours more where its cells are strange to the reader, and for
cells that it is not sure of. Chosen on the samples of benchmarks/annotate.md that are named there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import sparse

from screader_lib.annotation.neighbours import NEIGHBOURS, Neighbours
from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.model.label_profiles import LabelProfiles
from screader_lib.reader.model.logistic_regression import weight_matrix
from screader_lib.reader.task import row_blocks

PROFILE_TEMPERATURE = 0.02  # of rank correlations
PROFILES_AT_HOME, PROFILES_ALONE = 0.3, 0.5  # weight with all, and with none of the reader's genes
NEIGHBOURS_AT_HOME, NEIGHBOURS_STRANGE = 0.2, 0.8  # least weight in familiar and strange samples
HOME, STRANGE = 0.2, 0.03  # median familiarities
MOST_NEIGHBOURS = 0.9  # weight for a cell that the reader knows nothing of
LEAST = 1e-4  # probability


@dataclass(frozen=True)
class ConsensusWeights:
    """What counts: ``profiles`` against the reader, ``neighbours`` at least against the cell."""

    profiles: float
    neighbours: float

    @classmethod
    def of(cls, share_of_genes: float, familiarity: np.ndarray) -> ConsensusWeights:
        """By the share of the reader's genes that the sample has, and its cells' familiarity."""
        profiles = PROFILES_ALONE + share_of_genes * (PROFILES_AT_HOME - PROFILES_ALONE)
        median = max(float(np.median(familiarity)), 1e-9)
        at_home = np.interp(np.log(median), np.log([STRANGE, HOME]), [0.0, 1.0])
        least = NEIGHBOURS_STRANGE + at_home * (NEIGHBOURS_AT_HOME - NEIGHBOURS_STRANGE)
        return cls(round(profiles, 3), round(float(least), 3))

    def to_json(self) -> dict[str, Any]:
        """For ``uns/screader``."""
        return {**asdict(self), "number_of_neighbours": NEIGHBOURS}


def with_profiles(
    cells: CellSequences, probability: np.ndarray, profiles: LabelProfiles, weight: float
) -> np.ndarray:
    """The reader's ``probability`` and the profiles', as a weighted geometric mean.

    float32 (cells, labels); the profiles count by ``weight``, the reader by the rest.
    """
    columns = profiles.columns_of(cells)
    present = profiles.present(cells, columns)
    result = np.empty_like(probability)
    for rows in row_blocks(np.arange(len(cells))):
        scores = profiles.scores(profiles.weights(cells, rows, columns), present)
        own = softmax(scores, PROFILE_TEMPERATURE)
        logs = (1 - weight) * _log(probability[rows]) + weight * _log(own)
        result[rows] = softmax(logs)
    return result


def neighbours_of(cells: CellSequences) -> Neighbours:
    """The cells' neighbours, by the weights of the genes that are in their file."""
    genes = np.flatnonzero(cells.genes_in_input)

    def read(rows: np.ndarray) -> sparse.csr_matrix:
        return weight_matrix(*cells.rows(rows), len(cells.genes))[:, genes]

    return Neighbours.of(read, len(cells))


def with_neighbours(probability: np.ndarray, neighbours: Neighbours, least: float) -> np.ndarray:
    """Each cell's ``probability`` and the mean of its neighbours', float32 (cells, labels).

    The less sure a cell's own call is, the more the neighbours count, and at least by ``least``.
    """
    weight = least + (MOST_NEIGHBOURS - least) * (1 - probability.max(1, keepdims=True))
    result = np.empty_like(probability)
    for rows in row_blocks(np.arange(len(probability))):
        mean = probability[neighbours.nearest[rows]].mean(1)
        result[rows] = (1 - weight[rows]) * probability[rows] + weight[rows] * mean
    return result


def _log(probability: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probability, LEAST, 1))
