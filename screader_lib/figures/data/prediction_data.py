"""A predictions file as the pictures see it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Column
from screader_lib.figures.drawing.type_names import method_title

ASSIGNED, UNASSIGNED, BACKED_OFF = "assigned", "unassigned", "backed-off"
NOT_A_LABEL = ("", "nan", "NaN", "NA", "None")


class PredictionData:
    """The calls in an open ``predictions`` file; everything is read when it is first used.

    ``title`` is what pictures call the method.
    """

    def __init__(self, opened: ExchangeFile, title: str = "") -> None:
        self.opened = opened
        self.name = opened.name
        self._file: h5py.File = opened.file
        self.method = encoding.read_text(self._file["uns"], "method")
        self.title = title or method_title(self.method)

    def __len__(self) -> int:
        return int(self._file["obsm/probability"].shape[0])

    @cached_property
    def ids(self) -> np.ndarray:
        """Cell names, objects (cells,)."""
        return encoding.read_strings(self._file["obs/id"])

    @cached_property
    def labels(self) -> list[str]:
        """The labels that the reader knows, in the order of the probabilities' columns."""
        return [str(label) for label in encoding.read_strings(self._file["uns/labels"])]

    @cached_property
    def predicted(self) -> np.ndarray:
        """Most probable label, objects (cells,)."""
        return self._strings("predicted_label")

    @cached_property
    def second(self) -> np.ndarray:
        """Second most probable label, objects (cells,)."""
        return self._strings("second_label")

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted label, float32 (cells,)."""
        return self._file["obs/confidence"][()]

    @cached_property
    def status(self) -> np.ndarray:
        """What became of the call, objects (cells,): assigned, unassigned or backed-off."""
        return self._strings("status")

    @cached_property
    def assigned(self) -> np.ndarray:
        """Whether the predicted label counts as the call, bool (cells,)."""
        return self.status == ASSIGNED

    @cached_property
    def unassigned(self) -> np.ndarray:
        """Whether the cell is called nothing at all, bool (cells,)."""
        return self.status == UNASSIGNED

    @cached_property
    def backed_off(self) -> np.ndarray:
        """Whether the cell is called by a term above its predicted label, bool (cells,)."""
        return self.status == BACKED_OFF

    @cached_property
    def at_last(self) -> np.ndarray:
        """What the cell is called at last, objects (cells,); empty where nothing."""
        if "assigned_label" in self._file["obs"]:
            return self._strings("assigned_label")
        return np.where(self.assigned, self.predicted, "")

    @cached_property
    def true(self) -> np.ndarray:
        """True label, objects (cells,); empty where unknown."""
        if "true_label" not in self._file["obs"]:
            return np.full(len(self), "", object)
        found = self._strings("true_label")
        return np.where(np.isin(found, NOT_A_LABEL), "", found)

    @cached_property
    def known(self) -> np.ndarray:
        """Whether the true label is known, bool (cells,)."""
        return self.true != ""

    @cached_property
    def probability(self) -> np.ndarray:
        """Probability of each label, float32 (cells, labels)."""
        return self._file["obsm/probability"][()]

    @property
    def has_vectors(self) -> bool:
        """Whether the cells have vectors; gathered calls of several readers have none."""
        return "X_screader" in self._file["obsm"]

    @property
    def vectors(self) -> h5py.Dataset:
        """The cell vectors, float32 (cells, hidden), still on disk; ScReaderError without any."""
        if not self.has_vectors:
            raise ScReaderError(
                "has no cell vectors: its calls are of several readers.",
                file=self.name,
                remedy="Give the predictions of one reader.",
            )
        return self._file["obsm/X_screader"]

    @cached_property
    def all_labels(self) -> list[str]:
        """Labels that the reader knows or that cells truly have, sorted."""
        return sorted({*self.labels, *self.true[self.known]})

    @property
    def columns(self) -> list[str]:
        """Names of the cells' columns."""
        return [str(name) for name in np.atleast_1d(self._file["obs"].attrs["column-order"])]

    def column(self, name: str) -> Column:
        """A column of the cells; ScReaderError naming those there are where it is missing."""
        if name not in self.columns:
            raise ScReaderError(
                f"has no column {name!r} for its cells.",
                file=self.name,
                remedy=f"It has: {', '.join(self.columns)}.",
            )
        return encoding.read_column(self._file["obs"][name])

    def need_true(self) -> None:
        """ScReaderError where no cell's true label is known."""
        if not self.known.any():
            raise ScReaderError(
                "no cell has a true label to compare with.",
                file=self.name,
                remedy="Give build-cells the column of the labels with --label.",
            )

    def _strings(self, name: str) -> np.ndarray:
        column = encoding.read_column(self._file["obs"][name])
        if isinstance(column, Categorical):
            return column.strings()
        return column.astype(str).astype(object)


def distinct_titles(calls: Sequence[PredictionData]) -> list[str]:
    """Titles of several files, numbered where two would be the same."""
    titles = [one.title for one in calls]
    return [
        f"{title} ({titles[:number].count(title) + 1})" if titles.count(title) > 1 else title
        for number, title in enumerate(titles)
    ]
