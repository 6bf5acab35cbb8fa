"""Few real cells for the images' pipeline: Baron et al. 2016, from the package ``came``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TYPES = ("alpha", "beta", "ductal")
EACH, GENES = 30, 300
MARKERS = {"alpha": ("GCG", "TTR", "CHGB"), "beta": ("INS", "IAPP"), "ductal": ("KRT19", "SPP1")}


def write_folder(folder: Path) -> None:
    """Write counts.h5ad (90 cells of three types, 300 genes) and markers.tsv."""
    import anndata

    from screader_lib.demo import LABEL, extract_cells

    whole = folder / "whole.h5ad"
    extract_cells(whole)
    cells = anndata.read_h5ad(whole)
    whole.unlink()
    labels = cells.obs[LABEL].astype(str).to_numpy()
    rows = np.concatenate([np.flatnonzero(labels == kind)[:EACH] for kind in TYPES])
    few = cells[rows]
    expressed = np.asarray(few.X.sum(axis=0)).ravel()
    few = few[:, np.sort(np.argsort(-expressed, kind="stable")[:GENES])]
    few = anndata.AnnData(few.X, obs=few.obs[[LABEL]].astype(str), var=few.var[[]])
    few.obs.columns = ["cell_type"]
    few.write_h5ad(folder / "counts.h5ad")
    lines = [f"{kind}\t{gene}\n" for kind, genes in MARKERS.items() for gene in genes]
    (folder / "markers.tsv").write_text("cell_type\tgene\n" + "".join(lines), "utf-8")
