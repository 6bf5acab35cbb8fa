"""Make the wrappers' test data from the cells and models that the Python index carries.

python galaxy_wrappers/make_test_data.py    writes galaxy_wrappers/test-data

Real cells (Baron et al. 2016, human pancreas) of four types, 300 genes. The same packages give
the same bytes. No file is larger than a megabyte.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas
from scipy import io, sparse

from screader_lib.demo import LABEL, extract_cells

HERE = Path(__file__).parent
TARGET = HERE / "test-data"
OBJECTS_OF_R = HERE.parent / "tests/r_objects"
TYPES = ("alpha", "beta", "delta", "ductal")
MARKERS = {
    "Alpha cells": ("GCG", "TTR", "IRX2", "LOXL4"),
    "Beta cells": ("INS", "IAPP", "ADCYAP1", "MAFA"),
    "Delta cells": ("SST", "RBP4", "LEPR", "HHEX"),
    "Ductal cells": ("KRT19", "SOX9", "CFTR", "SPP1"),
}
ONTOLOGY = {
    "CL:0000164": ("enteroendocrine cell", ""),
    "CL:0008024": ("pancreatic endocrine cell", "CL:0000164"),
    "CL:0000171": ("pancreatic A cell", "CL:0008024"),
    "CL:0000169": ("type B pancreatic cell", "CL:0008024"),
    "CL:0000173": ("pancreatic D cell", "CL:0008024"),
    "CL:0002079": ("pancreatic ductal cell", ""),
}
GENES = 300
TRAINING, NEW = 30, 12  # cells a type
LARGEST = 1_000_000  # bytes
QUICK = ("--projector-layers", "1", "--warm-start-epochs", "6", "--genes-per-cell", "64")


def run(*words: object) -> None:
    """One executable in the target folder, without network, always at the same time of day."""
    environment = {"SCREADER_OFFLINE": "1", "SOURCE_DATE_EPOCH": "0", "OMP_NUM_THREADS": "1"}
    executable = Path(sysconfig.get_path("scripts")) / str(words[0])
    command = [str(executable), *map(str, words[1:]), "--quiet"]
    subprocess.run(command, cwd=TARGET, env=os.environ | environment, check=True)


def select() -> tuple[anndata.AnnData, anndata.AnnData]:
    """Cells to learn from, and cells of which one donor is new."""
    with tempfile.TemporaryDirectory() as folder:
        extract_cells(Path(folder) / "all.h5ad")
        cells = anndata.read_h5ad(Path(folder) / "all.h5ad")
    rows: dict[str, list[int]] = {"training": [], "new": []}
    kinds, donors = cells.obs[LABEL].astype(str).to_numpy(), cells.obs["donor"].astype(str)
    for kind in TYPES:
        of_type = kinds == kind
        rows["training"] += list(np.flatnonzero(of_type & (donors != "human4"))[:TRAINING])
        rows["new"] += list(np.flatnonzero(of_type & (donors == "human4"))[:NEW])
    counts = sparse.csr_matrix(cells.X)[rows["training"]]
    depth = np.asarray(counts.sum(1))
    spread = np.log1p(counts.multiply(1e4 / depth).toarray()).var(0)
    markers = {gene for genes in MARKERS.values() for gene in genes}
    spread[cells.var_names.isin(markers)] = np.inf
    columns = np.sort(np.argsort(-spread, kind="stable")[:GENES])
    return part(cells, rows["training"], columns), part(cells, rows["new"], columns)


def part(cells: anndata.AnnData, rows: list[int], columns: np.ndarray) -> anndata.AnnData:
    """The selected cells and genes, with a few columns of obs."""
    cells = cells[rows, columns]
    names = {"cell_type": LABEL, "cell_ontology_id": "cell_ontology_id", "donor": "donor"}
    obs = pandas.DataFrame(
        {new: pandas.Categorical(cells.obs[old].astype(str)) for new, old in names.items()},
        index=cells.obs_names,
    )
    values = sparse.csr_matrix(cells.X).astype(np.float32)
    return anndata.AnnData(values, obs, pandas.DataFrame(index=cells.var_names))


def write_tenx(cells: anndata.AnnData) -> None:
    """The same cells as Cell Ranger writes them: HDF5, and half of them in three text files."""
    names, barcodes = list(cells.var_names), list(cells.obs_names)
    counts = cells.X.T.tocsc().astype(np.int32)
    with h5py.File(TARGET / "new-10x.h5", "w", track_order=False) as file:
        matrix = file.create_group("matrix")
        matrix["shape"] = np.array(counts.shape, np.int32)
        for key in ("data", "indices", "indptr"):
            matrix.create_dataset(key, data=getattr(counts, key), compression="gzip")
        matrix["barcodes"] = np.array(barcodes, "S")
        features = matrix.create_group("features")
        features["id"] = features["name"] = np.array(names, "S")
        features["feature_type"] = np.array(["Gene Expression"] * len(names), "S")
        features["genome"] = np.array(["GRCh38"] * len(names), "S")
    io.mmwrite(TARGET / "new-matrix.mtx", counts[:, ::2])
    lines = [f"{name}\t{name}\tGene Expression\n" for name in names]
    (TARGET / "new-features.tsv").write_text("".join(lines), "utf-8")
    few = "".join(f"{name}\n" for name in barcodes[::2])
    (TARGET / "new-barcodes.tsv").write_text(few, "utf-8")


def write_loom(cells: anndata.AnnData) -> None:
    """The same cells as loompy writes them."""
    with h5py.File(TARGET / "new.loom", "w") as file:
        file.create_dataset("matrix", data=cells.X.T.toarray(), compression="gzip")
        file.create_group("layers")
        file["row_attrs/Gene"] = np.array(list(cells.var_names), "S")
        file["col_attrs/CellID"] = np.array(list(cells.obs_names), "S")
        file["col_attrs/cell_type"] = np.array(list(cells.obs["cell_type"]), "S")
        file.attrs["LOOM_SPEC_VERSION"] = "3.0.0"


def write_zarr(cells: anndata.AnnData) -> None:
    """The same cells as a zipped store, at the same time of day."""
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(TARGET / "new.zarr.zip", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        cells.write_zarr(folder)
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                packed.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes())


def write_texts(cells: anndata.AnnData) -> None:
    """Lists and tables that people upload."""
    genes = [*(name for names in MARKERS.values() for name in names), "no_such_gene"]
    texts = {
        "genes.txt": [*genes, "PDX-1", "ENSG00000254647.7"],
        "texts.tsv": ["symbol\ttext", "INS\tThe hormone insulin.", "GCG\tThe hormone glucagon."],
        "examples.tsv": ["cluster\tlabel", "alpha\tA", "beta\tB", "delta\tD"],
        "types.tsv": [
            "type\tontology_id\tmarkers",
            *(f"{kind}\t\t{' '.join(genes)}" for kind, genes in MARKERS.items()),
        ],
        "markers.tsv": [
            "cell_type\tgene",
            *(f"{kind}\t{gene}" for kind, names in MARKERS.items() for gene in names),
        ],
        "medians.tsv": ["gene\tmedian", *(f"{gene}\t2.5" for gene in cells.var_names)],
        "orthologs.tsv": ["human\tother", *(f"{gene}\t{gene}" for gene in cells.var_names)],
        "palette.tsv": ["alpha\t#0072B2", "beta\t#D55E00", "delta\t#009E73", "ductal\t#CC79A7"],
    }
    for name, lines in texts.items():
        (TARGET / name).write_text("\n".join(lines) + "\n", "utf-8")
    terms = ["format-version: 1.2"]
    for number, (name, parent) in ONTOLOGY.items():
        terms += ["", "[Term]", f"id: {number}", f"name: {name}"]
        terms += [f"is_a: {parent}"] if parent else []
    (TARGET / "cl.obo").write_text("\n".join(terms) + "\n", "utf-8")


def write_ncbi(genes: list[str]) -> None:
    """Small files laid out as NCBI's gene_info and gene_summary, of the packaged facts."""
    source = HERE.parent / "screader_lib/genes/facts/9606.genes.tsv.gz"
    header = (
        "#tax_id GeneID Symbol LocusTag Synonyms dbXrefs chromosome map_location description "
        "type_of_gene Symbol_from_nomenclature_authority Full_name_from_nomenclature_authority "
        "Nomenclature_status Other_designations Modification_date Feature_type"
    )
    infos, summaries = [header.replace(" ", "\t")], ["#tax_id\tGeneID\tSource\tSummary"]
    with gzip.open(source, "rt") as facts:
        keys = next(facts).rstrip("\n").split("\t")
        for line in facts:
            fact = dict(zip(keys, line.rstrip("\n").split("\t"), strict=False))
            if fact["symbol"] not in genes:
                continue
            name, symbol, number = fact["full_name"], fact["symbol"], fact["gene_id"]
            ensembl = f"Ensembl:{fact['ensembl_id']}" if fact["ensembl_id"] else "-"
            infos.append(
                f"9606\t{number}\t{symbol}\t-\t{fact['aliases'] or '-'}\t{ensembl}\t-\t-\t{name}\t"
                f"{fact['gene_type']}\t{symbol}\t{name}\tO\t-\t20250101\t-"
            )
            summaries.append(f"9606\t{number}\tmade\tThis gene is known as {name}.")
    (TARGET / "gene_info.tsv").write_text("\n".join(infos) + "\n", "utf-8")
    (TARGET / "gene_summary.tsv").write_text("\n".join(summaries) + "\n", "utf-8")


def write_vectors() -> None:
    """The genes' all-MiniLM-L6-v2 vectors in 32 dimensions, as an npz to import."""
    run("embed-genes", "descriptions.h5ad", "-o", "full.h5ad")
    with h5py.File(TARGET / "full.h5ad") as file:
        vectors, names = file["X"][:].astype(np.float64), file["obs/id"].asstr()[:]
    vectors -= vectors.mean(0)
    left, sizes, _ = np.linalg.svd(vectors, full_matrices=False)
    reduced = np.round(left[:, :32] * sizes[:32], 3).astype(np.float32)
    np.savez_compressed(TARGET / "vectors.npz", genes=np.array(names, "U"), vectors=reduced)
    (TARGET / "full.h5ad").unlink()


def write_llama() -> None:
    """A tiny Llama with random weights: stands for an LLM of the server's data table."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2,
        max_position_embeddings=256,
    )  # fmt: skip
    folder = TARGET / "tiny-llama"
    LlamaModel(config).save_pretrained(folder)
    words = {word: number for number, word in enumerate(["?", "genes", "cell", "type"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    row = "{0}\tTiny Llama ({1})\t{1}\ttext\t\t1\t${{__HERE__}}/tiny-llama\n"
    kinds = {"tests/tiny-llama": "text-generation", "tests/tiny-encoder": "feature-extraction"}
    lines = [row.format(value, kind) for value, kind in kinds.items()]
    (TARGET / "huggingface.loc").write_text("".join(lines), "utf-8")


def write_exchange() -> None:
    """What one tool hands to the next."""
    run("embed-genes", "descriptions.h5ad", "--import", "vectors.npz", "-o", "embeddings.h5ad")
    labelled = ("-e", "embeddings.h5ad", "--label", "cell_type")
    run("build-cells", "counts.h5ad", *labelled, "-k", 64, "-o", "cells.h5ad")
    run("build-cells", "new.h5ad", *labelled, "--like", "cells.h5ad", "-o", "new-cells.h5ad")
    pooled = ("--method", "pooled", *QUICK)
    run("train-reader", "cells.h5ad", *pooled, "-o", "reader.h5")
    run("train-reader", "cells.h5ad", "--method", "majority", "-o", "majority.h5")
    llm = ("--llm", "tiny-llama", "--epochs", 1)
    run("train-reader", "cells.h5ad", *llm, *QUICK, "-o", "reader-llama.h5")
    run("predict", "new-cells.h5ad", "-r", "reader.h5", "--explain", 5, "-o", "predictions.h5ad")
    run("predict", "new-cells.h5ad", "-r", "majority.h5", "-o", "majority-predictions.h5ad")
    for fold in (1, 2):
        reader, calls = f"fold-{fold}-reader.h5", f"fold-{fold}.h5ad"
        run("train-reader", "cells.h5ad", *pooled, "--folds", 2, "--fold", fold, "-o", reader)
        run("predict", "cells.h5ad", "-r", reader, "--held-out", "-o", calls)
        run("predict", "new-cells.h5ad", "-r", "reader.h5", "--shard", f"{fold}/2",
            "-o", f"shard-{fold}.h5ad")  # fmt: skip
    (TARGET / "fold-2-reader.h5").unlink()
    row = "tests/majority\tMajority\t${__HERE__}/majority.h5\n"
    (TARGET / "screader_readers.loc").write_text(row, "utf-8")


def main() -> None:
    """Write everything anew, then check the sizes."""
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    training, new = select()
    training.write_h5ad(TARGET / "counts.h5ad", compression="gzip")
    new.write_h5ad(TARGET / "new.h5ad", compression="gzip")
    write_tenx(new)
    write_loom(new)
    write_zarr(new)
    for name in ("part.RData", "seurat5.rds"):
        shutil.copyfile(OBJECTS_OF_R / name, TARGET / name)
    write_texts(training)
    run("fetch-descriptions", "--genes", "counts.h5ad", "--source", "packaged",
        "-o", "descriptions.h5ad")  # fmt: skip
    write_ncbi([gene for names in MARKERS.values() for gene in names])
    write_vectors()
    write_llama()
    write_exchange()
    for path in TARGET.rglob("*"):
        assert path.stat().st_size < LARGEST, path


if __name__ == "__main__":
    main()
