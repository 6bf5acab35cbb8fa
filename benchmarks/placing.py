"""How well cells are placed in a picture among a sample that has a UMAP.

    python benchmarks/placing.py pbmc_facs.h5ad cell_type --sample 800

Prints a row of Markdown for a UMAP of all cells, and for others placed at the median of so many of
their nearest neighbours in the sample: the share of a cell's ten nearest neighbours in the picture
that have its label, and the trustworthiness of every other cell's 15 (1: all are near in the
components, too).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata
import numpy as np
import scanpy
from sklearn.manifold import trustworthiness

from screader_lib.figures.data import projection
from screader_lib.figures.data.cell_vectors import Vectors

GENES = 1500


def main() -> None:
    """Read, project, place, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("label")
    parser.add_argument("--sample", type=int, default=800)
    options = parser.parse_args()
    data = anndata.read_h5ad(options.file)
    codes = np.unique(data.obs[options.label].astype(str), return_inverse=True)[1]
    scanpy.pp.normalize_total(data, target_sum=1e4)
    scanpy.pp.log1p(data)
    scanpy.pp.highly_variable_genes(data, n_top_genes=GENES)
    values = data[:, data.var["highly_variable"]].X
    values = np.asarray(getattr(values, "toarray", lambda: values)(), np.float32)
    every = Vectors(len(values), values.shape[1], lambda start, stop: values[start:stop])
    components = projection.principal_components(every)
    rows = np.sort(np.random.default_rng(0).choice(len(values), options.sample, replace=False))

    def row(name: str, places: np.ndarray) -> None:
        purity = projection.neighbour_purity(places.astype(float), codes)
        trust = trustworthiness(components[::2], places[::2], n_neighbors=15)
        print(f"| {name} | {purity:.3f} | {trust:.3f} |", flush=True)

    small = Vectors(len(rows), components.shape[1], lambda a, b: components[rows[a:b]])
    whole = Vectors(len(components), components.shape[1], lambda a, b: components[a:b])
    print("| places | same label | trustworthiness |\n|---|---|---|")
    row("UMAP of all cells", projection.project(whole))
    fitted = projection.project(small)
    for neighbours in (1, 3, 5, 10):
        projection.PLACED_BY = neighbours
        placed = projection.placed(components, rows, fitted)
        row(f"median of {neighbours} in the sample", placed)


if __name__ == "__main__":
    main()
