"""A predictions file as the figures see it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Column, as_strings
from screader_lib.figures.drawing.type_names import method_title
from screader_lib.option_values import BY_EXAMPLES, BY_TYPES

ASSIGNED, UNASSIGNED, BACKED_OFF = "assigned", "unassigned", "backed-off"
NOT_A_LABEL = ("", "nan", "NaN", "NA", "None")


class PredictionData:
    """The cells' columns and labels of an open ``predictions`` file.

    ``title``       what figures call the method;
    ``by_examples``, ``by_types`` whether cells or types that a person named took the place of a
                    reader, ``by_reader`` whether nothing did;
    ``labels``      labels that the reader knows, in the order of the probabilities' columns;
    ``predicted``, ``second``  most and second most probable label, objects (cells,);
    ``confidence``  probability of the predicted label, float32 (cells,);
    ``status``      assigned, unassigned or backed-off (to an ancestor term), objects (cells,);
                    ``assigned``, ``unassigned``, ``backed_off`` bool (cells,);
    ``final_label`` the label that a cell ends up with, objects (cells,); empty where none;
    ``true``        true label, objects (cells,), empty where unknown; ``known`` bool (cells,);
                    ``comparable`` bool (cells,): the reader has that label.
    """

    def __init__(self, opened: ExchangeFile, title: str = "") -> None:
        self.opened, self.name = opened, opened.name
        self._file: h5py.File = opened.file
        self.method = encoding.read_text(self._file["uns"], "method")
        self.title = title or method_title(self.method)
        self.by_examples, self.by_types = self.method == BY_EXAMPLES, self.method == BY_TYPES
        self.by_reader = not (self.by_examples or self.by_types)
        self.labels = [str(label) for label in encoding.read_strings(self._file["uns/labels"])]
        self._obs: h5py.Group = self._file["obs"]
        self.columns = [str(name) for name in np.atleast_1d(self._obs.attrs["column-order"])]
        self.ids = encoding.read_strings(self._obs["id"])
        self.predicted, self.second = self._texts("predicted_label"), self._texts("second_label")
        self.confidence: np.ndarray = self._obs["confidence"][()]
        self.status = self._texts("status")
        self.assigned = self.status == ASSIGNED
        self.unassigned = self.status == UNASSIGNED
        self.backed_off = self.status == BACKED_OFF
        self.final_label = np.where(self.assigned, self.predicted, "")
        if "assigned_label" in self._obs:
            self.final_label = self._texts("assigned_label")
        self.true = np.full(len(self.ids), "", object)
        if "true_label" in self._obs:
            true = self._texts("true_label")
            self.true = np.where(np.isin(true, NOT_A_LABEL), "", true)
        self.known = self.true != ""
        self.comparable = np.isin(self.true, self.labels)

    def _texts(self, name: str) -> np.ndarray:
        return as_strings(encoding.read_column(self._obs[name]))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def probability(self) -> np.ndarray:
        """Probability of each label, float32 (cells, labels)."""
        return self._file["obsm/probability"][()]

    @property
    def has_vectors(self) -> bool:
        """Whether the cells have vectors: not if they were left out, or are of several readers."""
        return "X_screader" in self._file["obsm"]

    @property
    def vectors(self) -> h5py.Dataset:
        """The cell vectors, float32 (cells, hidden), still on disk; ScReaderError without any."""
        if not self.has_vectors:
            raise ScReaderError(
                "has no cell vectors.",
                file=self.name,
                remedy="Give the predictions of one reader, made without --no-vectors.",
            )
        return self._file["obsm/X_screader"]

    @cached_property
    def all_labels(self) -> list[str]:
        """Labels that the reader knows or that are true labels of cells, sorted."""
        return sorted({*self.labels, *self.true[self.known]})

    def true_and_predicted(self) -> tuple[list[str], list[str]]:
        """True and predicted labels of the cells whose true label the reader has."""
        return self.true[self.comparable].tolist(), self.predicted[self.comparable].tolist()

    def confidence_and_correct(self) -> tuple[np.ndarray, np.ndarray]:
        """Confidence, float64, and whether the label is correct, bool, of the same cells."""
        correct = (self.predicted == self.true)[self.comparable]
        return self.confidence[self.comparable].astype(np.float64), correct

    def column(self, name: str) -> np.ndarray:
        """A column of the cells: objects of str, or float64 for numbers.

        ScReaderError listing the columns where it is missing.
        """
        if name not in self.columns:
            raise ScReaderError(
                f"has no column {name!r} for its cells.",
                file=self.name,
                remedy=f"It has: {', '.join(self.columns)}.",
            )
        if name == "true_label":
            return self.true
        return column_values(encoding.read_column(self._obs[name]))

    def require_true_labels(self) -> None:
        """ScReaderError where no cell's true label is known."""
        if not self.known.any():
            raise ScReaderError(
                "no cell has a true label to compare with.",
                file=self.name,
                remedy="Give build-cells the column of the labels with --label.",
            )

    def require_comparable(self) -> None:
        """ScReaderError where no cell's true label is one that the reader has."""
        self.require_true_labels()
        if not self.comparable.any():
            raise ScReaderError(
                "its true labels and those of the reader have none in common.",
                file=self.name,
                remedy="Translate them with predict --label-map.",
            )


def column_values(column: Column) -> np.ndarray:
    """A column to colour by: objects of str for labels, float64 for numbers."""
    if not isinstance(column, Categorical) and column.dtype.kind in "iuf":
        return column.astype(np.float64)
    return as_strings(column)


def distinct_titles(predictions: Sequence[PredictionData]) -> list[str]:
    """Titles of several files, numbered where two are the same."""
    titles = [one.title for one in predictions]
    return [
        f"{title} ({titles[:index].count(title) + 1})" if titles.count(title) > 1 else title
        for index, title in enumerate(titles)
    ]
