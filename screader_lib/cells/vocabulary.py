"""The genes that cells may have: chosen from the cells, or taken from cells or a reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib.cells.gene_names import ABSENT, match_genes
from screader_lib.cells.sequences import Construction
from screader_lib.errors import ScReaderError
from screader_lib.exchange.table import Table, strings
from screader_lib.genes.text_files import read_text


@dataclass
class Embeddings:
    """An open gene-embeddings file: its genes, its vectors on disk, its identity."""

    name: str
    genes: Table
    vectors: h5py.Dataset
    identity: dict[str, Any]


@dataclass
class Vocabulary:
    """The genes that cells may have: rows of the embeddings, and medians float32 (genes,).

    ``told`` begins the line that ends with their share of the expression.
    """

    rows: np.ndarray
    medians: np.ndarray
    told: str = ""

    def __post_init__(self) -> None:
        self.told = self.told or f"the {len(self.rows):,} genes of the sequences hold"


def with_medians(
    vocabulary: Vocabulary, embeddings: Embeddings, path: Path, shown: str
) -> tuple[Vocabulary, int]:
    """The vocabulary with the medians of a table: gene, median, with or without a header.

    Genes are matched as those of cells are; one that the table lacks has median 0, and their
    number is the second value. ScReaderError where the table holds none of the genes, or something
    other than medians.
    """
    names, medians = _read_medians(path, shown)
    rows = match_genes(strings(names), embeddings.genes).rows
    by_row: dict[int, float] = {}
    for name, row, value in zip(names, rows, medians, strict=True):
        if row != ABSENT and by_row.setdefault(int(row), value) != value:
            raise ScReaderError(f"gives {name!r} two medians.", file=shown)
    found = np.array([by_row.get(int(row), 0) for row in vocabulary.rows], np.float32)
    lacking = int((found == 0).sum())
    if lacking == len(found):
        raise ScReaderError("names none of the genes.", file=shown)
    return Vocabulary(vocabulary.rows, found), lacking


def _read_medians(path: Path, shown: str) -> tuple[list[str], list[float]]:
    names: list[str] = []
    medians: list[float] = []
    for number, line in enumerate(read_text(path, shown).splitlines(), start=1):
        fields = line.split("\t" if "\t" in line else ",")
        if not line.strip():
            continue
        try:
            value = float(fields[1])
            sound = value >= 0 and np.isfinite(value)
        except (IndexError, ValueError):
            sound = False
        if sound:
            names.append(fields[0].strip())
            medians.append(value)
        elif number > 1:
            raise ScReaderError(
                f"line {number} is no gene and median.",
                file=shown,
                remedy="Wanted are two columns: gene, and a number that is not negative.",
            )
    return names, medians


@dataclass
class ReferenceGenes:
    """Gene choice taken from other cells or a reader: ids, their medians, its construction.

    ``vectors`` are the genes' embeddings on disk, by the model that ``identity`` names; ``species``
    the NCBI taxonomy ids that its history tells, none where it is mute.
    """

    name: str
    ids: np.ndarray
    medians: np.ndarray
    construction: Construction
    vectors: h5py.Dataset
    identity: dict[str, Any]
    species: frozenset[int] = frozenset()

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
