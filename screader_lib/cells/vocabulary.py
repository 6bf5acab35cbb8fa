"""The genes that cells may have: selected from the cells, or taken from cells or a reader."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from screader_lib.cells.gene_names import ABSENT, GENE_NAMES, match_names
from screader_lib.cells.gene_texts import GeneTexts, is_other_species
from screader_lib.cells.sequences import Construction
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.exchange.table import Column, Table, strings
from screader_lib.genes.text_files import read_text

FEW_GENES = 0.5  # share of a reader's genes, below which a sample that has no more is warned of


@dataclass
class Embeddings:
    """An open gene-embeddings file: its genes, its vectors on disk, its identity."""

    name: str
    genes: Table
    vectors: h5py.Dataset
    identity: dict[str, Any]

    @classmethod
    def of(cls, opened: ExchangeFile) -> Embeddings:
        """Those of an open gene-embeddings file."""
        uns = opened.file["uns"]
        identity = {
            "model": encoding.read_text(uns, "model"),
            "provider": encoding.read_text(uns, "provider"),
            "dim": int(uns["dim"][()]),
            "sha256": opened.sha256,
        }
        genes = encoding.read_table(opened.file["obs"])
        texts, species = GeneTexts.of(identity, opened.steps), species_of(genes)
        identity["fields"] = ",".join(texts.fields)
        identity["species"] = [species] if species else sorted(texts.species)
        return cls(opened.name, genes, opened.file["X"], identity)

    @classmethod
    def of_reader(cls, opened: ExchangeFile) -> Embeddings:
        """Those of the genes of an open reader, under all names that it has of them."""
        group, identity = opened.file["genes"], encoding.read_json(opened.file, "embedding")
        ids = encoding.read_strings(group["id"])
        unknown = np.full(len(ids), "", dtype=object)
        names: dict[str, Column] = {
            name: encoding.read_strings(group[name]) if name in group else unknown
            for name in GENE_NAMES
        }
        return cls(opened.name, Table(ids, names), group["embedding"], identity)

    @property
    def texts(self) -> GeneTexts:
        """What texts the vectors are of."""
        return GeneTexts.of(self.identity, ())


def species_of(genes: Table) -> int:
    """NCBI taxonomy id of most genes, 0 where not stated."""
    if "tax_id" not in genes.columns:
        return 0
    counts = Counter(number for number in genes.strings("tax_id") if number != "0")
    return int(counts.most_common(1)[0][0]) if counts else 0


@dataclass
class Vocabulary:
    """The genes that cells may have: rows of the embeddings, and medians float32 (genes,).

    ``means`` float32 (genes,) are of normalised values, zeros included; None where not known.
    ``summary`` begins the message that ends with their share of the counts, which is a warning
    where an input has ``few`` of them. ``folds`` are those that the training cells of each fold
    have.
    """

    rows: np.ndarray
    medians: np.ndarray
    summary: str = ""
    few: bool = False
    means: np.ndarray | None = None
    folds: tuple[Vocabulary, ...] = ()

    def __post_init__(self) -> None:
        self.summary = self.summary or f"the {len(self.rows):,} selected genes carry"


@dataclass
class ReferenceGenes:
    """Genes, medians and construction of other cells or a reader, which ``--like`` names.

    ``vectors`` are the genes' embeddings on disk, ``texts`` what they are of.
    ``means`` is None in files without.
    """

    name: str
    ids: np.ndarray
    medians: np.ndarray
    construction: Construction
    vectors: h5py.Dataset
    texts: GeneTexts
    means: np.ndarray | None = None

    @classmethod
    def of(cls, opened: ExchangeFile) -> ReferenceGenes:
        """Those of an open ``cells`` or ``reader`` file."""
        file = opened.file
        if opened.kind == "reader":
            genes, uns, vectors = file["genes"], file, file["genes/embedding"]
        else:
            genes, uns, vectors = file["var"], file["uns"], file["varm/embedding"]
        return cls(
            opened.name,
            encoding.read_strings(genes["id"]),
            genes["median"][()],
            Construction.from_json(encoding.read_json(uns, "construction"), opened.name),
            vectors,
            GeneTexts.of(encoding.read_json(uns, "embedding"), opened.steps),
            genes["mean"][()] if "mean" in genes else None,
        )

    def normalise(self, by_text: bool = False) -> str:
        """How cells like these are normalised where nothing else is asked for.

        ``auto`` where they were not, or where means would be needed that are not known, as of genes
        matched ``by_text``.
        """
        own, needs_means = self.construction.normalise, self.construction.normalise != "totals"
        is_unknown = needs_means and (by_text or self.means is None)
        return "auto" if is_unknown else own.replace("none", "auto")

    def is_other_species(self, embeddings: Embeddings) -> bool:
        """Whether the embedded genes are of another species than these."""
        species, index = embeddings.texts.species, embeddings.genes.index
        return is_other_species(species, index, self.texts.species, self.ids)

    def vocabulary(self, embeddings: Embeddings) -> Vocabulary:
        """These genes as rows of the embeddings; ScReaderError where one has no embedding."""
        row_of = {gene: row for row, gene in enumerate(embeddings.genes.index)}
        missing = [gene for gene in self.ids if gene not in row_of]
        if missing:
            raise ScReaderError(
                f"{len(missing):,} of the {len(self.ids):,} genes of {self.name} have no "
                f"embedding, such as {missing[0]!r}.",
                file=embeddings.name,
                remedy="Use the embeddings that it was built with.",
            )
        rows = np.array([row_of[gene] for gene in self.ids], np.int64)
        return Vocabulary(rows, self.medians, means=self.means)


def with_medians(
    vocabulary: Vocabulary, embeddings: Embeddings, path: Path, name: str
) -> tuple[Vocabulary, int]:
    """The vocabulary with the medians of a table: gene, median, with or without a header.

    Genes are matched as those of cells are; one that the table lacks has median 0, and their
    number is the second value. ScReaderError, calling the table ``name``, where it has none of the
    genes, or something other than medians.
    """
    genes, medians = _read_medians(path, name)
    median_of: dict[int, float] = {}
    rows = match_names(strings(genes), embeddings.genes).rows.tolist()
    for gene, row, median in zip(genes, rows, medians, strict=True):
        if row != ABSENT and median_of.setdefault(row, median) != median:
            raise ScReaderError(f"gives {gene!r} two medians.", file=name)
    values = np.array([median_of.get(row, 0) for row in vocabulary.rows.tolist()], np.float32)
    missing = int((values == 0).sum())
    if missing == len(values):
        raise ScReaderError("has none of the genes.", file=name)
    folds = (with_medians(fold, embeddings, path, name)[0] for fold in vocabulary.folds)
    return replace(vocabulary, medians=values, folds=tuple(folds)), missing


def _read_medians(path: Path, name: str) -> tuple[list[str], list[float]]:
    genes: list[str] = []
    medians: list[float] = []
    for number, line in enumerate(read_text(path, name).splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split("\t" if "\t" in line else ",")
        try:
            median = float(fields[1])
        except (IndexError, ValueError):
            median = np.nan
        if 0 <= median < np.inf:
            genes.append(fields[0].strip())
            medians.append(median)
        elif number > 1:
            raise ScReaderError(
                f"line {number} is not a gene and its median.",
                file=name,
                remedy="Expected two columns: a gene and a non-negative number.",
            )
    return genes, medians
