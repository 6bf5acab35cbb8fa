"""Small files of the names that the pages use: 120 cells of four types, 300 genes."""

from __future__ import annotations

import gzip
import json
import pickle  # noqa: TID251 (to write what embed-genes reads)
import shutil
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import anndata
import numpy as np
import pandas
import torch
from page_commands import ROOT, Line, run_line

DATA = ROOT / "galaxy_wrappers" / "test-data"
OF_R = ROOT / "tests" / "r_objects"
COPIES = {  # of the wrappers' test data
    "new-10x.h5": ("sample1.h5", "filtered_feature_bc_matrix.h5"),
    "descriptions.h5ad": ("descriptions.h5ad", "mouse-descriptions.h5ad"),
    "fold-1.h5ad": ("fold-1.h5ad",),
    "fold-2.h5ad": ("fold-2.h5ad",),
    "shard-1.h5ad": ("part-1.h5ad",),
    "shard-2.h5ad": ("part-2.h5ad",),
    "card.yaml": ("card.yaml",),
    "genes.txt": ("genes.txt",),
    "texts.tsv": ("mine.tsv",),
    "types.tsv": ("types.csv",),
}
COMMANDS = r"""
fetch-descriptions --genes counts.h5ad --source packaged --fields symbol,full_name -o d.h5ad
embed-genes d.h5ad -o genes.h5ad
build-cells counts.h5ad -e genes.h5ad --label cell_type -o cells.h5ad
train-reader cells.h5ad --method pooled --calibrate-on cells --warm-start-epochs 2 \
    --card card.yaml -o reader.h5
build-cells new.h5ad -e genes.h5ad --label cell_type --like reader.h5 -o new-cells.h5ad
predict cells.h5ad -r reader.h5 --explain 5 -o predictions.h5ad
fetch-descriptions --genes mouse.h5ad --organism mouse --fields symbol,full_name \
    | embed-genes -o mouse-genes.h5ad
"""
MADE = {  # further names of what is there then
    "genes.h5ad": ("gene-embeddings.h5ad", "human-genes.h5ad"),
    "cells.h5ad": ("few.h5ad", "others.h5ad", "demo-output/cells.h5ad"),
    "reader.h5": ("human-reader.h5", "data/readers/lung/lung.h5"),
    "predictions.h5ad": (
        "genept.h5ad", "screader.h5ad", "genept-fold1.h5ad", "screader-fold1.h5ad",
    ),
    "fold-1.h5ad": ("logistic-out-of-fold.h5ad", "screader-out-of-fold.h5ad"),
}  # fmt: skip


def vectors_of_words(_: object, texts: Sequence[str], *__: object) -> np.ndarray:
    """Instead of a text model, in a moment: float32 (texts, 384), the sums of words' vectors."""
    found = np.zeros((len(texts), 384), np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            random = np.random.default_rng(crc32(word.encode()))
            found[row] += random.standard_normal(384, np.float32)
    return found


def write_inputs(folder: Path, llama: Path) -> Path:
    """Fill the folder, with the model that embeds texts replaced."""
    for name, copies in COPIES.items():
        for copy in copies:
            shutil.copy(DATA / name, folder / copy)
    for place in ("llm", "models/llama"):
        shutil.copytree(llama, folder / place)
    for place in ("sample1", "sample2", "filtered_feature_bc_matrix"):
        (folder / place).mkdir()
        for name in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
            shutil.copy(DATA / f"new-{name}", folder / place / name)
    for place in ("samples", "annotated", "demo-output", "data/readers/lung"):
        (folder / place).mkdir(parents=True)
    write_counts(folder)
    write_tables(folder)
    write_vectors(folder)
    for line in COMMANDS.replace("\\\n", "").strip().splitlines():
        run_line(Line.of(line), folder)
    for name, copies in MADE.items():
        for copy in copies:
            shutil.copy(folder / name, folder / copy)
    return folder


def write_counts(folder: Path) -> None:
    """Cells with labels, donors and clusters; the same of a mouse; barcodes of two parts."""
    parts = {
        "counts": ("counts", "atlas", "baron-human", "panel"),
        "new": ("new", "my", "sample3", "samples/one", "samples/two"),
    }
    for part, names in parts.items():
        cells = anndata.read_h5ad(DATA / f"{part}.h5ad")
        for column in ("type", "cell_type1", "leiden"):
            cells.obs[column] = cells.obs["cell_type"]
        cells.obs["n_genes"] = np.diff(cells.X.indptr) * 10
        for name in names:
            cells.write_h5ad(folder / f"{name}.h5ad")
    for name, rows in {"train": slice(40, None), "test": slice(40)}.items():
        barcodes = anndata.read_h5ad(DATA / "counts.h5ad").obs_names[rows]
        (folder / f"{name}.txt").write_text("\n".join(barcodes))
    cells.var_names = cells.var_names.str.capitalize()
    for name in ("mouse", "baron-mouse"):
        cells.write_h5ad(folder / f"{name}.h5ad")
    pairs = {"mouse": cells.var_names, "human": cells.var_names.str.upper()}
    pandas.DataFrame(pairs).to_csv(folder / "mouse2human.csv", index=False)
    first = cells.obs.groupby("cell_type", observed=True).head(2)["cell_type"].rename("label")
    first.rename_axis("cell").to_csv(folder / "a-few-cells.csv")
    named = pandas.DataFrame({"cluster": first, "label": first}).drop_duplicates()
    named.to_csv(folder / "named-clusters.csv", index=False)
    for name in ("islets", "new"):
        shutil.copy(DATA / "seurat5.rds", folder / f"{name}.rds")


def write_tables(folder: Path) -> None:
    """Markers by our columns and by PanglaoDB's, labels of clusters, metrics, a registry."""
    markers = pandas.read_csv(DATA / "markers.tsv", sep="\t")
    markers.to_csv(folder / "mine.csv", index=False)
    lines = ["species\tofficial gene symbol\tcell type\torgan"]
    lines += [f"Hs\t{gene}\t{kind}\tPancreas" for kind, gene in markers.to_numpy()]
    for name in ("PanglaoDB.tsv.gz", "PanglaoDB_markers_27_Mar_2020.tsv.gz"):
        with gzip.open(folder / name, "wt") as sink:
            sink.write("\n".join([*lines, ""]))
    (folder / "edited.tsv").write_text("cluster\tlabel\n1\tAlpha cells\n2\tBeta cells\n")
    scores = {"methods": {"logistic": {"accuracy": 0.9, "macro_f1": 0.8}}}
    (folder / "metrics.json").write_text(json.dumps(scores))
    (folder / "data" / "readers.yaml").write_text("readers: []\n")


def write_vectors(folder: Path) -> None:
    """Gene vectors in the layouts of GenePT, Gene2vec and scGPT."""
    genes = anndata.read_h5ad(DATA / "counts.h5ad", backed="r").var_names.tolist()
    vectors = np.random.default_rng(0).standard_normal((len(genes), 8), np.float32)
    table = dict(zip(genes, vectors.tolist(), strict=True))
    (folder / "GenePT_gene_embedding_ada_text.pickle").write_bytes(pickle.dumps(table))
    lines = [f"{len(genes)} 8"]
    lines += [f"{gene} {' '.join(map(str, values))}" for gene, values in table.items()]
    (folder / "gene2vec_dim_200_iter_9_w2v.txt").write_text("\n".join([*lines, ""]))
    scgpt = folder / "scGPT_human"
    scgpt.mkdir()
    (scgpt / "vocab.json").write_text(json.dumps({gene: row for row, gene in enumerate(genes)}))
    (scgpt / "args.json").write_text('{"embsize": 8}')
    weights = {"embedding.weight": torch.from_numpy(vectors), "enc_norm.weight": torch.ones(8),
               "enc_norm.bias": torch.zeros(8)}  # fmt: skip
    torch.save({f"encoder.{name}": value for name, value in weights.items()},
               scgpt / "best_model.pt")  # fmt: skip
