"""One block of cells to ranked genes and weights (paper, sections 3.2 and 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.option_values import NORMALISATIONS, RANKINGS, SELECTIONS, WEIGHTS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NO_GENE = -1
SIXTEEN_BITS = 0xFFFF


@dataclass(frozen=True)
class Construction:
    """How cells become sequences.

    - ``select``: the ``variable_genes`` most variable genes, or all embedded genes;
    - ``rank_by``: the cell's genes in falling order of normalised expression, or of
      expression over the gene's median; the first ``genes_per_cell`` are kept;
    - ``normalise``: ``totals``, ``reader``, or ``none`` where logs of an input, or of the
      cells that these are like, stay as given;
    - ``weight``: log1p of the normalised value, that value over the gene's median, the normalised
      value itself, the count as it is (``expression``), 1 / (1 + rank) or 1.
    """

    select: str = "variable"
    variable_genes: int = 3000
    genes_per_cell: int = 2048
    rank_by: str = "median-ratio"
    weight: str = "log"
    normalise: str = "totals"

    @property
    def needs_counts(self) -> bool:
        """Whether weights are of the counts, not of the normalised values."""
        return self.weight == "expression"

    @classmethod
    def from_json(cls, content: dict[str, Any], file: object) -> Construction:
        """From a file; ScReaderError where a value is unknown."""
        try:
            result = cls(**content)
        except TypeError:
            raise ScReaderError("its construction is damaged.", file=file) from None
        known = {
            "select": SELECTIONS, "rank_by": RANKINGS, "weight": WEIGHTS,
            "normalise": NORMALISATIONS,
        }  # fmt: skip
        for name, values in known.items():
            value = getattr(result, name)
            if value not in values:
                raise ScReaderError(
                    f"its construction has {name} {value!r}; expected {', '.join(values)}.",
                    file=file,
                )
        return result


def map_genes(
    block: csr_matrix,
    columns: np.ndarray,
    genes: int,
    rescale: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> csr_matrix:
    """The block with gene j as column ``columns[j]`` of ``genes``; −1 is dropped.

    ``rescale`` turns values (n,) of cells (n,) into those of the result. Genes that share a column
    are added up. Columns come out sorted.
    """
    from scipy.sparse import csr_matrix as rows

    indices = np.take(columns, block.indices)
    mapped = np.flatnonzero((indices != NO_GENE) & (block.data != 0))
    ends = np.searchsorted(mapped, block.indptr).astype(np.int64)
    indices, values = indices[mapped], block.data[mapped]
    if rescale is not None:
        values = rescale(values, np.repeat(np.arange(block.shape[0]), np.diff(ends)))
    result = rows((values, indices, ends), shape=(block.shape[0], genes))
    falls = np.flatnonzero(indices[1:] <= indices[:-1]) + 1
    if not np.isin(falls, ends).all():  # a row does not ascend
        if result.dtype.kind in "iu":  # sums of few bits would overflow
            result = result.astype(np.int64)
        result.sum_duplicates()
    return result


def rank_genes(
    block: csr_matrix,
    medians: np.ndarray,
    construction: Construction,
    counts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Ranked genes and weights of a block.

    ``block`` holds normalised values float32 (cells, genes), columns ascending; ``medians``
    float32 (genes,), 0 where unknown (the gene is then ranked by its value as it is); ``counts``
    (values,) what each was before, which weight ``expression`` needs. Ties go to the gene that
    comes first in the vocabulary. Returns gene_index int32 and gene_weight float32 (cells, width),
    filled with −1 and 0, where ``width`` is the length of the longest sequence; a cell's row
    depends on that cell alone.
    """
    lengths = np.diff(block.indptr)
    order, ratios = ranked(block, medians, construction)
    width = min(construction.genes_per_cell, int(lengths.max(initial=0)))
    filled = np.arange(width) < np.minimum(lengths, width)[:, None]
    gene_index = np.full(filled.shape, NO_GENE, np.int32)
    gene_weight = np.zeros(filled.shape, np.float32)
    gene_index[filled] = block.indices[order]
    rank = np.broadcast_to(np.arange(width), filled.shape)[filled]
    values = block.data if counts is None else counts
    gene_weight[filled] = _weights(construction.weight, values[order], ratios[order], rank)
    return gene_index, gene_weight


def sequence_weights(
    block: csr_matrix,
    medians: np.ndarray,
    construction: Construction,
    counts: np.ndarray | None = None,
) -> csr_matrix:
    """The weights in the sequences of a block, CSR float32 (cells, genes), as :func:`rank_genes`.

    The genes of a cell are in no order that means something: they are ranked only where ranks are
    weights, or decide which genes a cell keeps.
    """
    from scipy.sparse import csr_matrix as rows

    longest = int(np.diff(block.indptr).max(initial=0))
    if construction.weight == "rank" or longest > construction.genes_per_cell:
        return weight_matrix(*rank_genes(block, medians, construction, counts), block.shape[1])
    values = block.data if counts is None else counts
    if construction.weight == "median-ratio":
        values = _over_medians(block, medians)
    weights = _weights(construction.weight, values, values, values)
    return rows((weights.astype(np.float32, copy=False), block.indices, block.indptr), block.shape)


def ranked(
    block: csr_matrix, medians: np.ndarray, construction: Construction
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the values in sequences, cell by cell, and all values over medians.

    As :func:`rank_genes`, of which it is the order: int64 (values in sequences,), and float32
    (values,).
    """
    lengths = np.diff(block.indptr)
    ratios = _over_medians(block, medians)
    score = ratios if construction.rank_by == "median-ratio" else block.data
    order = falling_order(score, block.indices, lengths)
    if construction.genes_per_cell < lengths.max(initial=0):
        rank = np.arange(len(order)) - np.repeat(block.indptr[:-1], lengths)
        order = order[rank < construction.genes_per_cell]
    return order, ratios


def falling_order(score: np.ndarray, genes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Order of the values: by cell, then falling ``score``, then rising gene.

    Scores are positive float32, whose bits sort as they do: the cell's number, the inverted score
    and the gene's index in the cell make one number, and numbers are sorted fast.
    """
    cells = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    if max(len(lengths), int(lengths.max(initial=0))) > SIXTEEN_BITS:
        return np.lexsort((genes, -score, cells))
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    keys = (np.arange(len(score)) - first).astype(np.uint64)
    keys |= (~score.view(np.uint32)).astype(np.uint64) << np.uint64(16)
    keys |= cells << np.uint64(48)
    keys.sort()
    return (keys & np.uint64(SIXTEEN_BITS)).astype(np.int64) + first


def _over_medians(block: csr_matrix, medians: np.ndarray) -> np.ndarray:
    return block.data / np.where(medians > 0, medians, np.float32(1))[block.indices]


def _weights(kind: str, values: np.ndarray, ratios: np.ndarray, rank: np.ndarray) -> np.ndarray:
    if kind == "log":
        return np.log1p(values)
    if kind == "median-ratio":
        return ratios
    if kind in ("normalised", "expression"):
        return values
    if kind == "rank":
        return 1 / (1 + rank)
    return np.ones(len(values), np.float32)


def rescaled_weights(kind: str, weights: np.ndarray, factor: float) -> np.ndarray:
    """Ranked weights (cells, width), 0 where there is no gene, of values ``factor`` times as high.

    Weights by rank are those of the ranks as they are now.
    """
    if kind == "log":
        return np.log1p(np.expm1(weights) * np.float32(factor))
    if kind in ("median-ratio", "normalised"):
        return weights * np.float32(factor)
    if kind == "rank":
        return np.where(weights > 0, 1 / (1 + np.arange(weights.shape[1], dtype=np.float32)), 0)
    return weights


def weight_matrix(genes: np.ndarray, weights: np.ndarray, count: int) -> csr_matrix:
    """Sequences as CSR float32 (cells, ``count`` genes): the weight of each gene in each cell.

    ``genes`` int (cells, width), −1 for none; ``weights`` float32 (cells, width).
    """
    from scipy.sparse import csr_matrix as rows

    is_gene = genes >= 0
    ends = np.concatenate([[0], np.cumsum(is_gene.sum(1))])
    values = weights[is_gene].astype(np.float32, copy=False)
    return rows((values, genes[is_gene], ends), (len(genes), count))


def sequences_of(
    matrix: csr_matrix, values: np.ndarray, known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Genes int32, −1 for none, and ``values`` of its stored elements, (cells, the most of a cell).

    Where ``known``, bool (stored elements,), is given, the others are none.
    """
    known = np.ones(len(values), bool) if known is None else known
    lengths = np.diff(matrix.indptr)
    filled = np.arange(lengths.max(initial=0)) < lengths[:, None]
    genes, padded = np.full(filled.shape, NO_GENE, np.int32), np.zeros(filled.shape, values.dtype)
    genes[filled] = np.where(known, matrix.indices, NO_GENE)
    padded[filled] = np.where(known, values, 0)
    return genes, padded


def as_columns(matrix: csr_matrix, column: np.ndarray, count: int) -> csr_matrix:
    """The same with gene j as column ``column[j]``, int (genes,), of ``count``; −1 is dropped."""
    from scipy.sparse import csr_matrix as rows

    if len(column) == count and (column == np.arange(count)).all():
        return matrix
    indices = column[matrix.indices]
    kept = indices >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return rows((matrix.data[kept], indices[kept], ends), (matrix.shape[0], count))
