"""One block of cells to ranked genes and weights (paper, sections 3.2 and 4.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NO_GENE = -1


@dataclass(frozen=True)
class Construction:
    """How cells become sequences.

    - ``select``: the ``variable_genes`` most variable genes, or all embedded genes;
    - ``rank_by``: the cell's genes in falling order of normalised expression, or of
      expression over the gene's median; the first ``genes_per_cell`` are kept;
    - ``weight``: log1p of the normalised value, value over median, the value itself,
      1 / (1 + rank) or 1.
    """

    select: str = "variable"
    variable_genes: int = 3000
    genes_per_cell: int = 2048
    rank_by: str = "median-ratio"
    weight: str = "log"

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any], file: object) -> Construction:
        """From a file; ScReaderError where it is not one."""
        try:
            return cls(**content)
        except TypeError:
            raise ScReaderError("its construction is damaged.", file=file) from None


def mapped(block: csr_matrix, place: np.ndarray, genes: int) -> csr_matrix:
    """Columns renamed: input gene j becomes vocabulary gene ``place[j]``; −1 is dropped.

    Input genes that share a vocabulary gene are added up. Columns come out sorted.
    """
    from scipy.sparse import csr_matrix as rows

    columns = place[block.indices]
    kept = (columns != NO_GENE) & (block.data != 0)
    owner = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))[kept]
    ends = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=block.shape[0]))])
    result = rows((block.data[kept], columns[kept], ends), shape=(block.shape[0], genes))
    result.sum_duplicates()
    return result


def sequences(
    block: csr_matrix, medians: np.ndarray, construction: Construction
) -> tuple[np.ndarray, np.ndarray]:
    """Ranked genes and weights of a block.

    ``block`` holds normalised values float32 (cells, genes); ``medians`` float32 (genes,), 0
    where unknown (the gene is then ranked by its value as it is). Ties go to the gene that
    comes first in the vocabulary. Returns gene_index int32 and gene_weight float32
    (cells, k), filled with −1 and 0; a cell's row depends on that cell alone.
    """
    cells = block.shape[0]
    width = min(construction.genes_per_cell, block.shape[1])
    values, genes = block.data, block.indices
    ratios = values / np.where(medians > 0, medians, 1)[genes]
    score = ratios if construction.rank_by == "median-ratio" else values
    owner = np.repeat(np.arange(cells), np.diff(block.indptr))
    order = np.lexsort((genes, -score, owner))
    rank = np.arange(len(order)) - block.indptr[:-1][owner[order]]
    order, rank = order[rank < width], rank[rank < width]

    gene_index = np.full((cells, width), NO_GENE, np.int32)
    gene_weight = np.zeros((cells, width), np.float32)
    gene_index[owner[order], rank] = genes[order]
    gene_weight[owner[order], rank] = _weights(
        construction.weight, values[order], ratios[order], rank
    )
    return gene_index, gene_weight


def _weights(kind: str, values: np.ndarray, ratios: np.ndarray, rank: np.ndarray) -> np.ndarray:
    if kind == "log":
        return np.log1p(values)
    if kind == "median-ratio":
        return ratios
    if kind == "expression":
        return values
    if kind == "rank":
        return 1 / (1 + rank)
    return np.ones(len(values), np.float32)
