"""Which cells and genes are kept: counts, genes, mitochondrial share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.reporting import SILENT, Reporter

if TYPE_CHECKING:
    import anndata

MITOCHONDRIAL = re.compile(r"mt[-.]", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """Least and most a cell may have, and the cells that a gene must be seen in.

    ``most_mitochondrial`` is in per cent of a cell's counts; None is no limit.
    """

    fewest_counts: int = 0
    fewest_genes: int = 200
    most_genes: int | None = None
    most_mitochondrial: float | None = 20.0
    fewest_cells: int = 3


def kept(data: anndata.AnnData, limits: Limits, reporter: Reporter = SILENT) -> anndata.AnnData:
    """The cells and genes within the limits, with ``total_counts``, ``n_genes``, ``percent_mito``.

    Cells are judged first, then genes by the cells that are left. ScReaderError where nothing is.
    """
    counts = np.asarray(data.X.sum(1), np.float64).ravel()
    genes = np.asarray((data.X != 0).sum(1)).ravel()
    is_mitochondrial = np.array([bool(MITOCHONDRIAL.match(name)) for name in data.var_names])
    mitochondrial = np.asarray(data.X[:, is_mitochondrial].sum(1), np.float64).ravel()
    percent = 100 * mitochondrial / np.maximum(counts, 1)
    data.obs["total_counts"] = counts.astype(np.float32)
    data.obs["n_genes"] = genes.astype(np.int32)
    data.obs["percent_mito"] = percent.astype(np.float32)
    if not is_mitochondrial.any():
        reporter.info("no gene is called MT-…, so mitochondrial shares are 0.")
    reasons = {
        f"fewer than {limits.fewest_counts:,} counts": counts < limits.fewest_counts,
        f"fewer than {limits.fewest_genes:,} genes": genes < limits.fewest_genes,
        f"more than {limits.most_genes or 0:,} genes": genes > (limits.most_genes or np.inf),
        f"more than {limits.most_mitochondrial:g} % mitochondrial"
        if limits.most_mitochondrial is not None
        else "": percent > (np.inf if limits.most_mitochondrial is None
                            else limits.most_mitochondrial),
    }  # fmt: skip
    out = np.zeros(len(counts), bool)
    for reason, fails in reasons.items():
        out |= fails
        if fails.any():
            reporter.info(f"{int(fails.sum()):,} cells have {reason}.")
    cells = data[~out]
    seen = np.asarray((cells.X != 0).sum(0)).ravel() >= limits.fewest_cells
    if not len(cells) or not seen.any():
        raise ScReaderError(
            f"none of the {data.n_obs:,} cells and {data.n_vars:,} genes passes quality control.",
            remedy="Lower --min-genes, --min-counts or --min-cells, or raise --max-mito.",
        )
    reporter.info(
        f"{cells.n_obs:,} of {data.n_obs:,} cells and {int(seen.sum()):,} of {data.n_vars:,} "
        "genes are kept."
    )
    return cells[:, seen].copy()
