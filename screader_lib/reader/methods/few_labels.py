"""Few labels: a classifier on the places of cells among all others, labelled or not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.sequences import as_columns
from screader_lib.errors import ScReaderError
from screader_lib.reader.methods.baselines import LogisticOnExpression
from screader_lib.reader.methods.feature_classifier import nearest
from screader_lib.reader.methods.label_propagation import (
    NEIGHBOURS,
    OF_PLACES,
    LabelPropagation,
    fit_on_places,
    of_length_1,
)
from screader_lib.reader.methods.places import BLOCK, SKETCH, OwnComponents, Read
from screader_lib.reader.task import OutOfFold, Task, row_blocks

LEAST_GENES = 0.5  # of those that are learnt, in each file of unlabelled cells
FOLDS = 10  # of the labelled cells, for calibration
LEAST_TO_LEAVE_OUT = 3  # cells of a label; of two, leaving one out would leave half of them


class LogisticOnPlaces(LogisticOnExpression):
    """Logistic regression on each cell's place among the training and the unlabelled cells.

    Its own place, in the principal components of all of these cells, and the mean place of the
    neighbours among them, as ``annotate --examples`` has them (see methods.label_propagation); each
    label counts as much as any other. A new cell is placed among the cells of the training alone.
    A gene that was not measured counts as average. Features, and cell vectors, are both places.
    """

    def fit(self, task: Task) -> None:
        self.check_weights(task)
        cells = _AllCells(task, self)
        kept = self.match(task.cells).presence(cells.measured)
        components = OwnComponents.fit(cells.read, len(cells), task.settings.seed, kept)
        places, sketch = _places(components, cells.read, np.arange(len(cells))), components.sketch
        propagation = LabelPropagation(places, sketch)
        both = propagation.places_of(cells.labelled)
        weights, biases = fit_on_places(both, task.truth, self.labels)
        width = len(weights)
        self.tensors |= {
            **_of_all_genes(components, len(self.genes.ids)),
            "reference": places[sketch], "reference_means": propagation.means[sketch],
            "labelled": propagation.places[cells.labelled],
            "mean": np.zeros(width, np.float32), "spread": np.ones(width, np.float32),
            "weights": weights, "biases": biases,
        }  # fmt: skip
        self.out_of_fold = self._without_own_fold(task, both)

    def _without_own_fold(self, task: Task, both: np.ndarray) -> OutOfFold | None:
        """The labelled cells, called without those of their fold; None where no label has enough.

        ``both`` float32 (cells, features) are their places, which no label takes part in.
        """
        fold, labelled = _folds(task.truth, task.settings.seed), self.tensors["labelled"]
        cosine = labelled @ labelled.T
        logits = np.zeros((len(both), self.labels), np.float32)
        evidence = np.zeros(len(both), np.float32)
        for number in np.unique(fold[fold >= 0]):
            out = fold == number
            weights, biases = fit_on_places(both[~out], task.truth[~out], self.labels)
            logits[out] = both[out] @ weights + biases
            evidence[out] = cosine[np.ix_(out, ~out)].max(1)
        left = fold >= 0
        if not left.any():
            return None
        return OutOfFold(task.rows[left], task.truth[left], logits[left], evidence[left])

    def features(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        tensors = self.tensors
        measured = self.match(cells).presence(cells.genes_in_input)
        components = OwnComponents(
            rows[:0], np.arange(len(measured)), tensors["gene_means"], tensors["gene_spreads"],
            tensors["directions"] * measured[:, None],
        )  # fmt: skip
        own = _places(components, lambda some: self._matrix(cells, some), rows)
        near = nearest(own, tensors["reference"], NEIGHBOURS)
        mixed = OF_PLACES * tensors["reference_means"][near].mean(1) + (1 - OF_PLACES) * own
        return np.hstack([own, of_length_1(mixed)]).astype(np.float32)

    def evidence(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Cosine of each cell's mean place and the nearest one of a labelled cell."""
        labelled, found = self.tensors["labelled"], [np.zeros(0, np.float32)]
        for some in row_blocks(rows):
            mean_places = self.features(cells, some)[:, labelled.shape[1] :]
            found += [
                (block @ labelled.T).max(1)
                for block in np.array_split(mean_places, -(-len(some) // 512))
            ]
        return np.concatenate(found)

    def linear_logits(self, cells: CellSequences) -> None:
        return None


def _places(components: OwnComponents, read: Read, rows: np.ndarray) -> np.ndarray:
    """Of the cells ``rows``, float32 (rows, components), ``BLOCK`` of them at a time."""
    none = np.zeros((0, max(1, components.directions.shape[1])), np.float32)
    starts = range(0, len(rows), BLOCK)
    blocks = (components.places(read(rows[start : start + BLOCK])) for start in starts)
    return np.concatenate([none, *blocks])


def _folds(truth: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each cell, 0 to ``FOLDS`` − 1, each with cells of all labels as far as may be.

    −1 for cells of labels with fewer than ``LEAST_TO_LEAVE_OUT``. ``truth`` int64 (cells,).
    """
    fold = np.full(len(truth), -1)
    random, start = np.random.default_rng([seed, 3]), 0
    for label in np.unique(truth):
        members = random.permutation(np.flatnonzero(truth == label))
        if len(members) >= LEAST_TO_LEAVE_OUT:
            fold[members] = (start + np.arange(len(members))) % FOLDS
            start += len(members)
    return fold


def _of_all_genes(components: OwnComponents, genes: int) -> dict[str, np.ndarray]:
    """Means, spreads and directions of all genes, zeros for those that do not count."""
    found = {
        "gene_means": np.zeros(genes, np.float32), "gene_spreads": np.ones(genes, np.float32),
        "directions": np.zeros((genes, max(1, components.directions.shape[1])), np.float32),
    }  # fmt: skip
    found["gene_means"][components.varying] = components.mean
    found["gene_spreads"][components.varying] = components.spread
    if components.directions.size:
        found["directions"][components.varying] = components.directions
    return found


class _AllCells:
    """The training cells and those without a label, or a sample of them, as one matrix.

    ``labelled`` int64: the training cells; ``measured`` bool (genes of the task,): genes that all
    files have.
    """

    def __init__(self, task: Task, method: LogisticOnPlaces) -> None:
        known = np.union1d(task.rows, task.unlabelled_rows)
        sources = [(task.cells, known)]
        sources += [(cells, np.flatnonzero(cells.lengths > 0)) for cells in task.unlabelled]
        count, self.genes = sum(len(rows) for _, rows in sources), len(method.genes.ids)
        self.measured = task.cells.genes_in_input.copy()
        self.sources = []
        start, place = 0, np.searchsorted(known, task.rows)
        random = np.random.default_rng(task.settings.seed)
        sampled = np.union1d(random.permutation(count)[:SKETCH], place)
        for cells, rows in sources:
            columns = method._columns(cells)
            self._check(task, cells, columns)
            there = np.zeros(self.genes, bool)
            there[columns[(columns >= 0) & cells.genes_in_input]] = True
            self.measured &= there
            own = sampled[(sampled >= start) & (sampled < start + len(rows))] - start
            self.sources.append((cells, columns, rows[own]))
            start += len(rows)
        self.labelled = np.searchsorted(sampled, place)

    def _check(self, task: Task, cells: CellSequences, columns: np.ndarray) -> None:
        """ScReaderError where cells of another file are not like those of the task."""
        share = (columns >= 0).sum() / self.genes
        same = cells.construction.get("weight") == task.cells.construction.get("weight")
        if share < LEAST_GENES or not same:
            problem = f"has {share:.0%} of the genes" if same else "has other weights than those"
            raise ScReaderError(
                f"{problem} of {task.cells.opened.name}.",
                file=cells.opened.name,
                remedy=f"Build it with build-cells --like {task.cells.opened.name}.",
            )

    def __len__(self) -> int:
        return sum(len(rows) for _, _, rows in self.sources)

    def read(self, numbers: np.ndarray) -> sparse.csr_matrix:
        """Gene weights of some of these cells, numbers rising, float32 (cells, genes)."""
        return sparse.vstack(list(self._parts(numbers)), format="csr")

    def _parts(self, numbers: np.ndarray) -> Iterator[sparse.csr_matrix]:
        start = 0
        for cells, columns, rows in self.sources:
            own = numbers[(numbers >= start) & (numbers < start + len(rows))] - start
            yield as_columns(cells.weights(rows[own]), columns, self.genes)
            start += len(rows)
