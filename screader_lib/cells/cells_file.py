"""A ``cells`` file as the reader sees it: numpy and h5py only."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.lazy_table import LazyTable, stored_table
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Categorical, Table

KEPT_IN_MEMORY = 512 << 20
WINDOW = 1024  # rows that are read at once where not all are kept
WINDOWS = 8


class CellSequences:
    """Sequences of an open ``cells`` file, read by rows; ``width`` genes a cell at most."""

    def __init__(
        self, opened: ExchangeFile, width: int | None = None, in_passing: bool = False
    ) -> None:
        """``in_passing``: rows are asked for from first to last, so few are kept in memory."""
        self.opened = opened
        self.in_passing = in_passing
        self._windows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._index = opened.file["obsm/gene_index"]
        self._weight = opened.file["obsm/gene_weight"]
        self.width = min(width or self._index.shape[1], self._index.shape[1])

    def __len__(self) -> int:
        return int(self._index.shape[0])

    @cached_property
    def obs(self) -> Table:
        """The cells' table."""
        return encoding.read_table(self.opened.file["obs"])

    @property
    def lazy_obs(self) -> LazyTable:
        """The cells' table, to be read piece by piece."""
        return stored_table(self.opened.file["obs"])

    @cached_property
    def genes(self) -> Table:
        """The vocabulary's table, with ``median``."""
        return encoding.read_table(self.opened.file["var"])

    @cached_property
    def embedding(self) -> np.ndarray:
        """Text embedding of the vocabulary, float32 (genes, dim)."""
        return self.opened.file["varm/embedding"][()]

    @property
    def embedding_identity(self) -> dict:
        """model, provider, dim and sha256 of the embedding."""
        return encoding.read_json(self.opened.file["uns"], "embedding")

    @property
    def construction(self) -> dict:
        """How the sequences were built."""
        return encoding.read_json(self.opened.file["uns"], "construction")

    @cached_property
    def lengths(self) -> np.ndarray:
        """Genes of each cell, at most ``width``, int64 (cells,)."""
        stored = self.opened.file["obs/genes_in_sequence"][()]
        return np.minimum(stored, self.width).astype(np.int64)

    @property
    def labels(self) -> Categorical | None:
        """The cells' labels, None where the file has none."""
        column = self.obs.columns.get("label")
        return column if isinstance(column, Categorical) else None

    @cached_property
    def _kept(self) -> tuple[np.ndarray, np.ndarray] | None:
        """All sequences, where they fit into little memory."""
        if self.in_passing or len(self) * self.width * 8 > KEPT_IN_MEMORY:
            return None
        index = self._checked(self._index[:, : self.width], self.lengths)
        return index, self._weight[:, : self.width]

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """gene_index int32 and gene_weight float32 (rows, width) of the numbered cells."""
        if self._kept is not None:
            return self._kept[0][numbers], self._kept[1][numbers].astype(np.float32, copy=False)
        if self.in_passing and len(np.unique(numbers // WINDOW)) <= WINDOWS:
            return self._by_windows(numbers)
        ascending, back = np.unique(numbers, return_inverse=True)
        index = self._index[ascending, : self.width]
        weight = self._weight[ascending, : self.width]
        return self._checked(index, self.lengths[ascending])[back], weight[back].astype(
            np.float32, copy=False
        )

    def _by_windows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index = np.empty((len(numbers), self.width), np.int32)
        weight = np.empty((len(numbers), self.width), np.float32)
        for window in np.unique(numbers // WINDOW):
            inside = numbers // WINDOW == window
            place = numbers[inside] - window * WINDOW
            found, weights = self._window(int(window))
            index[inside], weight[inside] = found[place], weights[place]
        return index, weight

    def _window(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        if number not in self._windows:
            if len(self._windows) == WINDOWS:
                del self._windows[next(iter(self._windows))]
            rows = slice(number * WINDOW, (number + 1) * WINDOW)
            index = self._checked(self._index[rows, : self.width], self.lengths[rows])
            self._windows[number] = index, self._weight[rows, : self.width]
        return self._windows[number]

    def _checked(self, index: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        genes = self.embedding.shape[0]
        if index.size and (index.max() >= genes or index.min() < -1):
            raise ScReaderError(
                f"obsm/gene_index has an entry outside −1 … {genes - 1}.", file=self.opened.name
            )
        filled = index >= 0
        if (filled[:, 1:] & ~filled[:, :-1]).any():
            raise ScReaderError("obsm/gene_index has a gap.", file=self.opened.name)
        if (filled.sum(1) != lengths).any():
            raise ScReaderError(
                "obs/genes_in_sequence does not count what obsm/gene_index holds.",
                file=self.opened.name,
            )
        return index.astype(np.int32, copy=False)
