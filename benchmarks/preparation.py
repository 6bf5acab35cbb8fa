"""`prepare-cells` on labelled cells, blind to the labels, and beside Seurat 4.

    python benchmarks/preparation.py baron_human.h5ad PanglaoDB_markers_27_Mar_2020.tsv.gz \
        CellMarker2_Human_Aug.csv

Needs Rscript with Seurat (Debian: r-cran-seurat). Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np
import pandas
from scipy.io import mmwrite
from sklearn.metrics import adjusted_rand_score

from screader_lib.preparation.marker_tables import plain_name

LABEL = "cell_type1"
TISSUES = ("Pancreas", "Immune system", "Vasculature", "Connective tissue")
RIGHT = {  # what the tables call the published types, but for case, brackets and plural
    "acinar": {"Acinar cells"},
    "activated_stellate": {"Pancreatic stellate cells"},
    "alpha": {"Alpha cells"},
    "beta": {"Beta cells"},
    "delta": {"Delta cells"},
    "ductal": {"Ductal cells"},
    "endothelial": {"Endothelial cells"},
    "epsilon": {"Epsilon cells"},
    "gamma": {"Gamma (PP) cells"},
    "macrophage": {"Macrophages"},
    "mast": {"Mast cells"},
    "quiescent_stellate": {"Pancreatic stellate cells"},
    "schwann": {"Peri-islet Schwann cells", "Schwann cells"},
    "t_cell": {"T cells", "T memory cells", "T cytotoxic cells", "Gamma delta T cells"},
}


def prepare(counts: Path, folder: Path, *more: str) -> tuple[anndata.AnnData, float]:
    """The output of one run, and its seconds."""
    output = folder / "prepared.h5ad"
    command = [str(Path(sys.executable).with_name("prepare-cells")), "-q", str(counts)]
    command += [*more, "-o", str(output)]
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    return anndata.read_h5ad(output), time.perf_counter() - begin


def labels_table(counts: Path, panglao: Path, cellmarker: Path, folder: Path) -> anndata.AnnData:
    """Labels against the published ones, by several marker tables; returns the last output."""
    right_names = {key: {plain_name(name) for name in names} for key, names in RIGHT.items()}
    tables = {
        "PanglaoDB, pancreas": ((panglao,), TISSUES[:1]),
        f"PanglaoDB, {', '.join(TISSUES).lower()}": ((panglao,), TISSUES),
        "PanglaoDB and CellMarker, pancreas": ((panglao, cellmarker), TISSUES[:1]),
    }
    print("| marker tables, tissues | clusters | ARI with the types | labelled | correct, of "
          "those labelled | correct, of all | seconds |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for title, (paths, tissues) in tables.items():
        words = [word for path in paths for word in ("--markers", str(path))]
        words += [word for name in tissues for word in ("--tissue", name)]
        made, seconds = prepare(counts, folder, *words)
        labels, truth = made.obs["label"].astype(str), made.obs[LABEL].astype(str)
        known = ~labels.isin(["unknown", "ambiguous"]).to_numpy()
        pairs = zip(labels, truth, strict=True)
        right = np.array([plain_name(a) in right_names[b] for a, b in pairs])
        agreement = adjusted_rand_score(truth, made.obs["cluster"])
        clusters = made.obs["cluster"].nunique()
        print(
            f"| {title} | {clusters} | {agreement:.3f} | {known.mean():.1%} "
            f"| {right[known].mean():.1%} | {right.mean():.1%} | {seconds:.0f} |",
            flush=True,
        )
    return made


def seurat_table(counts: Path, ours: anndata.AnnData, folder: Path) -> None:
    """The steps beside Seurat's, on the cells and genes that prepare-cells kept."""
    raw = anndata.read_h5ad(counts)[ours.obs_names, ours.var_names]
    mmwrite(folder / "counts.mtx", raw.X.T.tocoo())
    seurat_names = [name.replace("_", "-") for name in ours.var_names]
    for name, values in (
        ("genes.txt", seurat_names),
        ("cells.txt", ours.obs_names),
        ("our_clusters.txt", ours.obs["cluster"]),
    ):
        (folder / name).write_text("\n".join(map(str, values)) + "\n")
    script = Path(__file__).with_suffix(".R")
    subprocess.run(["Rscript", str(script), str(folder)], check=True)
    version = (folder / "version.txt").read_text().strip()
    print(f"\nSeurat {version}; its steps up to clusters took "
          f"{float((folder / 'seconds.txt').read_text()):.0f} seconds.\n")  # fmt: skip
    print("| step | agreement |")
    print("|---|---|")
    variable = set((folder / "variable.txt").read_text().split())
    own = {seurat_names[n] for n in np.flatnonzero(ours.var["highly_variable"])}
    print(f"| variable genes in both, of 2,000 | {len(variable & own):,} |")
    pca = pandas.read_csv(folder / "pca.csv", index_col=0).to_numpy()
    print(f"| PCA: correlations of the components, in order | {_components(ours, pca)} |")
    theirs = pandas.read_csv(folder / "clusters.csv")["cluster"]
    truth = ours.obs[LABEL].astype(str)
    print(f"| ARI between both clusterings ({theirs.nunique()} clusters of Seurat's) "
          f"| {adjusted_rand_score(theirs, ours.obs['cluster']):.3f} |")  # fmt: skip
    print(f"| ARI of Seurat's clusters with the types | {adjusted_rand_score(truth, theirs):.3f} |")
    _markers(ours, folder, dict(zip(seurat_names, ours.var_names, strict=True)))


def _components(ours: anndata.AnnData, pca: np.ndarray) -> str:
    pairs = zip(ours.obsm["X_pca"].T, pca.T, strict=True)
    return ", ".join(f"{abs(np.corrcoef(a, b)[0, 1]):.3f}" for a, b in pairs)


def _markers(ours: anndata.AnnData, folder: Path, names: dict[str, str]) -> None:
    """Markers of the same clusters: which are in both, and how far fold changes differ."""
    found = json.loads(ours.uns["prepare_cells"]["markers"])
    own = {(c, one["gene"]): one["fold_change"] for c, many in found.items() for one in many}
    with (folder / "markers.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if float(row["p_val_adj"]) < 0.05]
    theirs = {(row["cluster"], names[row["gene"]]): float(row["avg_log2FC"]) for row in rows}
    both = set(own) & set(theirs)
    difference = max(abs(own[key] - theirs[key]) for key in both)
    print(f"| markers of the same clusters: prepare-cells, Seurat, shared | {len(own):,}, "
          f"{len(theirs):,}, {len(both):,} |")  # fmt: skip
    print(f"| largest difference in fold change (log2) | {difference:.2g} |")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=Path)
    parser.add_argument("panglao", type=Path)
    parser.add_argument("cellmarker", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = labels_table(options.counts, options.panglao, options.cellmarker, folder)
        seurat_table(options.counts, ours, folder)


if __name__ == "__main__":
    main()
