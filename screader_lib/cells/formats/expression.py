"""What every format of expression offers, and how the rows of a CSR matrix are read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.chunks import ChunkReader
from screader_lib.exchange.table import LazyTable, Table
from screader_lib.genes.text_files import GENE_EXPRESSION
from screader_lib.reporting import counted

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_REPEATED = 10  # entries of one cell and gene, which are added up
VALUES_PER_BLOCK = 1_000_000
CELLS_PER_BLOCK = 32_768
# Other kinds of features: Cell Ranger, Space Ranger, Xenium; spike-ins of CELLxGENE.
NO_GENES = (
    "Antibody Capture", "CRISPR Guide Capture", "Multiplexing Capture", "Antigen Capture", "Custom",
    "Peaks", "Protein Expression", "Negative Control Probe", "Negative Control Codeword",
    "Unassigned Codeword", "Deprecated Codeword", "Genomic Control", "Blank Codeword",
)  # fmt: skip
SPIKE_IN = "spike-in"
# Rows of counts that their names tell to be no genes: spike-ins; reads without a gene, as HTSeq,
# STAR and CITE-seq-Count tell them; antibodies of TotalSeq and BD's AbSeq.
NO_GENES_BY_NAME = {
    SPIKE_IN: r"(gSpikein_)?ERCC[-.]\d{5}",
    "reads without a gene": r"__(no_feature|ambiguous|too_low_aQual|not_aligned|"
    r"alignment_not_unique)|N_(unmapped|multimapping|noFeature|ambiguous)|unmapped",
    "Antibody Capture": r".*(_TotalSeq[A-D]?|\|pAbO)",
}
ORGANISM_KEY = "organism_ontology_term_id"  # CELLxGENE's, in obs or, since schema 6, in uns

Span = tuple[int, int]


@dataclass(frozen=True)
class ReadOptions:
    """Which part of a file is read, None for the usual one.

    ``layer`` is a matrix; ``gene_column`` the column of the genes' names; ``modality`` a modality,
    assay or table of a file that may hold several; ``genome`` the one whose genes are read, of a
    matrix of several. With ``genes_only`` the matrix does not matter,
    and may be missing.
    """

    layer: str | None = None
    gene_column: str | None = None
    modality: str | None = None
    genome: str | None = None
    genes_only: bool = False


DEFAULTS = ReadOptions()


class Expression(ABC):
    """Cells × genes, read block by block.

    ``obs`` and ``genes`` are the tables of cells and genes; ``name`` is what messages call the
    file, ``format`` its format and ``matrix_name`` the matrix in it, "" where it has only one;
    ``layers`` are the names by which its other matrices are read;
    ``anndata_path`` is the h5ad or zarr store that it is as a whole, None where it is none;
    ``organism``, such as ``NCBITaxon:9606``, is empty where the file as a whole has none;
    ``species`` is the one like whose genes they are named, such as human, "" where it is unclear;
    ``log_base`` is the base that the file states for its logarithms, 0 where it states none;
    ``left_out`` says which features are no genes, and ``others`` what else of the cells is in the
    file, such as layers; both are empty for nothing. ``matrices`` are all that ``layer`` may name,
    empty where there is one. ``has_raw``: whether an AnnData has a matrix
    ``raw``. ``how_to_add`` is a line of R with ``{calls}`` that adds a table to the object.
    ``reading`` is a context that names the file in errors of reading it.
    """

    name: str
    format: str
    obs: LazyTable
    genes: Table
    matrix_name: str = ""
    layers: tuple[str, ...] = ()
    anndata_path: Path | None = None
    organism: str = ""
    species: str = ""
    log_base: float = 0.0
    left_out: str = ""
    others: str = ""
    matrices: tuple[str, ...] = ()
    has_raw: bool = False
    how_to_add: str = ""
    reading: Callable[[], AbstractContextManager] = nullcontext
    _columns: np.ndarray | None = None  # of the genes among the features; None: all are genes

    @abstractmethod
    def spans(self) -> Sequence[Span]:
        """Bounds of the blocks, from the first cell to the last."""

    @abstractmethod
    def read_features(self, start: int, stop: int) -> csr_matrix:
        """The block of one span, all features; several threads may read at a time."""

    def read(self, start: int, stop: int) -> csr_matrix:
        """The block of one span, values as stored; several threads may read at a time."""
        with self.reading():
            block = self.read_features(start, stop)
        return block if self._columns is None else block[:, self._columns]

    def set_features(self, features: Table, kinds: np.ndarray | None = None) -> None:
        """Make those of the ``features`` that are genes by their ``kinds`` the genes.

        ``kinds`` object (features,); without them all are genes but those whose names tell
        otherwise, and also where none is a kind of 10x Genomics. ScReaderError where the kinds are
        of other things only.
        """
        self.genes, self._columns, self.left_out = features, None, ""
        if kinds is None or not set(kinds) & {GENE_EXPRESSION, *NO_GENES}:
            kinds = np.full(len(features), GENE_EXPRESSION, object)
        is_gene = np.array([kind == GENE_EXPRESSION for kind in kinds], bool)
        if is_gene.any():
            kinds = np.where(is_gene, _kinds_by_name(features.index), kinds)
            is_gene = np.array([kind == GENE_EXPRESSION for kind in kinds], bool)
        others = Counter(kinds[~is_gene]).most_common()
        if not others:
            return
        listed = ", ".join(f"{count:,} {kind or 'of no kind'}" for kind, count in others)
        if not is_gene.any():
            raise ScReaderError(
                f"has no genes, only other features ({listed}).",
                file=self.name,
                remedy=f"Give the file whose features are {GENE_EXPRESSION}.",
            )
        self._columns = np.flatnonzero(is_gene)
        self.genes = features.take(self._columns)
        count = int((~is_gene).sum())
        are = "is not a gene" if count == 1 else "are not genes"
        self.left_out = f"{counted(count, 'feature')} that {are} ({listed})"

    def keep_genes(self, kept: np.ndarray, others: str) -> None:
        """Leave out all but the ``kept`` genes, bool (genes,); ``others`` says what the rest is."""
        columns = np.arange(len(kept)) if self._columns is None else self._columns
        self._columns = columns[kept]
        self.genes = self.genes.take(np.flatnonzero(kept))
        left_out = f"{counted(int((~kept).sum()), 'gene')} {others}"
        self.left_out = "; ".join(filter(None, [self.left_out, left_out]))

    @property
    def summary(self) -> str:
        """Format, matrix and size, and what is left out."""
        what = f"{self.format}, {self.matrix_name}" if self.matrix_name else self.format
        size = f"{counted(len(self.obs), 'cell')}, {counted(len(self.genes), 'gene')}"
        named = f", named as in {self.species}" if self.species else ""
        left_out = f"; left out: {self.left_out}" if self.left_out else ""
        return f"{what}: {size}{named}{left_out}"


def _kinds_by_name(names: np.ndarray) -> np.ndarray:
    """The kind of each feature, object (features,), as far as its name tells; else of a gene."""
    kinds = np.full(len(names), GENE_EXPRESSION, object)
    for kind, pattern in NO_GENES_BY_NAME.items():
        is_of_kind = re.compile(pattern).fullmatch
        kinds[[bool(is_of_kind(name)) for name in names]] = kind
    return kinds


class CompressedRows:
    """Rows of a CSR matrix of ``rows`` × ``genes``, an HDF5 or zarr group.

    ScReaderError where the group is no such matrix.
    """

    def __init__(self, group: Any, rows: int, genes: int, name: str) -> None:
        self.group = group
        self.genes = genes
        self.name = name
        self.indptr = checked_indptr(group, rows, genes, name)
        self.data = ChunkReader(group["data"])
        self.indices = ChunkReader(group["indices"])

    def spans(self) -> list[Span]:
        """Bounds of the blocks."""
        return row_spans(self.indptr)

    def read(self, start: int, stop: int) -> csr_matrix:
        """A block; ScReaderError where an index is not below ``genes``."""
        from scipy.sparse import csr_matrix

        first, last = int(self.indptr[start]), int(self.indptr[stop])
        indices = self.indices.read(first, last)
        check_indices(indices, self.genes, self.group, self.name)
        values = as_scipy_type(self.data.read(first, last))
        ends = self.indptr[start : stop + 1] - first
        return csr_matrix((values, indices, ends), shape=(stop - start, self.genes))


def row_spans(indptr: np.ndarray) -> list[Span]:
    """Spans with about ``VALUES_PER_BLOCK`` values, at most ``CELLS_PER_BLOCK`` cells."""
    spans: list[Span] = []
    start = 0
    while start < len(indptr) - 1:
        limit = int(indptr[start]) + VALUES_PER_BLOCK
        stop = int(np.searchsorted(indptr, limit, side="right")) - 1
        spans.append((start, min(start + CELLS_PER_BLOCK, max(start + 1, stop))))
        start = spans[-1][1]
    return spans


def even_spans(cells: int, genes: int) -> list[Span]:
    """Spans of a dense matrix."""
    step = min(CELLS_PER_BLOCK, max(1, VALUES_PER_BLOCK // max(1, genes)))
    return [(start, min(cells, start + step)) for start in range(0, cells, step)]


def as_scipy_type(values: np.ndarray) -> np.ndarray:
    """Values in a type that scipy computes with: half precision and booleans become float32."""
    return values.astype(np.float32) if values.dtype in (np.float16, np.bool_) else values


def check_indices(indices: np.ndarray, size: int, group: Any, name: str) -> None:
    """ScReaderError where one of ``indices`` is negative or not below ``size``."""
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        raise ScReaderError(
            f"{group.name} is damaged: an index is outside 0 … {size - 1:,}.", file=name
        )


def checked_indptr(group: Any, rows: int, columns: int, name: str) -> np.ndarray:
    """The indptr of a ``rows`` × ``columns`` sparse matrix, int64 (rows + 1,).

    ScReaderError where data, indices and indptr do not make such a matrix; the indices themselves
    are left to :func:`check_indices`.
    """
    parts: list[Any] = [group.get(part) for part in ("indptr", "indices", "data")]
    if not all(getattr(part, "ndim", 0) == 1 for part in parts):
        raise ScReaderError(f"{group.name} is not a sparse matrix.", file=name)
    indptr, indices, values = parts
    valid = (
        indptr.dtype.kind in "iu"
        and indices.dtype.kind in "iu"
        and values.dtype.kind in "biuf"
        and indptr.shape[0] == rows + 1
        and values.shape[0] == indices.shape[0]
    )
    ends = indptr[()].astype(np.int64) if valid else np.empty(0, np.int64)
    sizes = np.diff(ends)
    if not valid or ends[0] or ends[-1] != values.shape[0] or (sizes < 0).any():
        raise ScReaderError(
            f"{group.name} is damaged: its indptr, indices and data do not make "
            f"{rows:,} × {columns:,} values.",
            file=name,
        )
    if len(sizes) and sizes.max() > MOST_REPEATED * columns:
        raise ScReaderError(
            f"{group.name} is damaged: {int(sizes.max()):,} values in a row of {columns:,}.",
            file=name,
        )
    return ends


def refuse_layer(layer: str | None, name: str) -> None:
    """ScReaderError for a layer of files that have one matrix."""
    if layer is not None:
        raise ScReaderError(
            f"has no matrix {layer}: 10x files have one matrix.",
            file=name,
            remedy="Leave --layer out.",
        )
