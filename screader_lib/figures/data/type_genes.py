"""The genes of each type of cells: their mean weights, and in how many cells they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screader_lib.cells.cells_file import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.exchange import encoding
from screader_lib.exchange.opening import ExchangeFile
from screader_lib.figures.data.cell_vectors import indices_of
from screader_lib.figures.data.prediction_data import PredictionData

BLOCK = 4096  # cells
FEW_CELLS = 5  # of a type, whose own genes are not looked for


@dataclass(frozen=True)
class TypeGenes:
    """Genes by type, float64 (types, genes): ``mean`` weight over the type's cells, ``share`` of
    its cells that have the gene in their sequence.

    ``types`` and the number of their ``cells``, int64; ``symbols`` of the genes, objects.
    """

    types: Sequence[str]
    cells: np.ndarray
    symbols: np.ndarray
    mean: np.ndarray
    share: np.ndarray

    def of_genes(self, numbers: Sequence[int]) -> TypeGenes:
        """The same of the numbered genes, in this order."""
        at = np.asarray(numbers, np.int64)
        return TypeGenes(
            self.types, self.cells, self.symbols[at], self.mean[:, at], self.share[:, at]
        )

    def marking(self, count: int) -> list[int]:
        """Numbers of genes that mark the types, at most ``count`` for each, type by type.

        Those whose mean weight is most above that in every other type; types of fewer than
        ``FEW_CELLS`` cells are left out. No gene twice.
        """
        compared = np.flatnonzero(self.cells >= FEW_CELLS)
        result: list[int] = []
        for row in compared.tolist() if len(compared) > 1 else []:
            others = self.mean[compared[compared != row]].max(0)
            above = self.mean[row] - others
            best = np.argsort(-above, kind="stable")[:count]
            result += [int(gene) for gene in best if above[gene] > 0]
        return list(dict.fromkeys(result))

    def named(self, names: Sequence[str], file: str) -> list[int]:
        """Numbers of the genes with these symbols; ScReaderError where ``file`` lacks one."""
        number_of = {str(name): number for number, name in enumerate(self.symbols)}
        for name in names:
            if name not in number_of:
                raise ScReaderError(f"has no gene {name!r}.", file=file)
        return [number_of[name] for name in names]


def read(predictions: PredictionData, opened: ExchangeFile, labels: np.ndarray) -> TypeGenes:
    """The genes of the types that ``labels``, objects (cells,), name; empty ones do not count.

    ScReaderError where the ``cells`` file lacks one of the cells of the predictions.
    """
    cells = CellSequences(opened, sequential=True)
    available = encoding.read_strings(opened.file["obs/id"])
    what = f"cells of {predictions.name}"
    rows = indices_of(predictions.ids, available, file=opened.name, what=what)
    types = sorted({*labels.tolist()} - {""})
    code_of = {name: code for code, name in enumerate(types)}
    codes = np.array([code_of.get(label, -1) for label in labels.tolist()], np.int64)
    genes = len(cells.genes)
    total, count = np.zeros((2, len(types) * genes))
    for start in range(0, len(rows), BLOCK):
        index, weight = cells.rows(rows[start : start + BLOCK])
        code = codes[start : start + BLOCK]
        used = (index >= 0) & (code >= 0)[:, None]
        place = (code[:, None] * genes + index)[used]
        total += np.bincount(place, weight[used], len(total))
        count += np.bincount(place, minlength=len(count))
    sizes = np.bincount(codes[codes >= 0], minlength=len(types))
    symbols = cells.genes.strings("symbol")
    symbols = np.where(symbols == "", cells.genes.index, symbols)
    shape, cells_of = (len(types), genes), np.maximum(sizes, 1)[:, None]
    return TypeGenes(
        types, sizes, symbols, total.reshape(shape) / cells_of, count.reshape(shape) / cells_of
    )
