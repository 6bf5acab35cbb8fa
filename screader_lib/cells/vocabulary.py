"""The genes that cells may have: chosen from the cells, or taken from cells or a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from screader_lib.cells.sequences import Construction
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table


@dataclass
class Embeddings:
    """An open gene-embeddings file: its genes, its vectors on disk, its identity."""

    name: str
    genes: Table
    vectors: h5py.Dataset
    identity: dict[str, Any]


@dataclass
class Vocabulary:
    """The genes that cells may have: rows of the embeddings, and medians float32 (genes,)."""

    rows: np.ndarray
    medians: np.ndarray


@dataclass
class Known:
    """Gene choice taken from other cells or a reader: ids, their medians, its construction."""

    name: str
    ids: np.ndarray
    medians: np.ndarray
    construction: Construction

    def vocabulary(self, embeddings: Embeddings) -> Vocabulary:
        """Its genes as rows of the embeddings; ScReaderError where one has no embedding."""
        place = {gene: row for row, gene in enumerate(embeddings.genes.index)}
        missing = [gene for gene in self.ids if gene not in place]
        if missing:
            raise ScReaderError(
                f"{len(missing):,} of the {len(self.ids):,} genes of {self.name} have no "
                f"embedding, such as {missing[0]!r}.",
                file=embeddings.name,
                remedy="Use the embeddings that it was built with.",
            )
        return Vocabulary(np.array([place[gene] for gene in self.ids], np.int64), self.medians)
