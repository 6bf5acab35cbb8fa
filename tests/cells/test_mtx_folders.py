"""Folders with Matrix Market files, as each writer and each archive leaves them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from cell_files import IDS, NAMES, VALUES
from scipy import io, sparse
from small_files import fail, genes, succeed, write_embeddings

from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.gene_lists import read_genes
from screader_lib.errors import ScReaderError

PREFIXES = ("GSM1_a_", "GSM2_b-")
FEATURES = [f"{one}\t{gene}\tGene Expression" for one, gene in zip(IDS, genes(), strict=True)]


def write(path: Path, lines: list[str], packed: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if packed else content)


def write_matrix(path: Path, values: np.ndarray = VALUES.T) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = path.suffix == ".gz"
    plain = path.with_suffix("") if packed else path
    io.mmwrite(plain, sparse.coo_matrix(values), field="integer")
    if packed:
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()


def sample(
    folder: Path,
    prefix: str = "",
    features: list[str] = FEATURES,
    barcodes: list[str] = NAMES,
    end: str = "",
    genes_name: str = "features.tsv",
) -> Path:
    write_matrix(folder / f"{prefix}matrix.mtx{end}")
    write(folder / f"{prefix}{genes_name}{end}", features, bool(end))
    write(folder / f"{prefix}barcodes.tsv{end}", barcodes, bool(end))
    return folder


def one_prefix(folder: Path) -> Path:  # scverse/scanpy#3214
    return sample(folder, PREFIXES[0], end=".gz", genes_name="genes.tsv")


def shared_features(folder: Path) -> Path:  # scverse/scanpy#2161
    sample(folder, PREFIXES[0], end=".gz")
    (folder / "GSM1_a_features.tsv.gz").rename(folder / "GSE9_features.tsv.gz")
    return folder


def the_matrix(folder: Path) -> Path:
    return sample(folder, "x_") / "x_matrix.mtx"


def names_kept_when_unpacked(folder: Path) -> Path:  # satijalab/seurat#6632
    sample(folder)
    for path in list(folder.iterdir()):
        path.rename(f"{path}.gz")
    return folder


def quoted(folder: Path) -> Path:  # written by R's write.table
    rows = [f'"{one}"\t"{gene}"' for one, gene in zip(IDS, genes(), strict=True)]
    return sample(folder, features=rows, barcodes=[f'"{name}"' for name in NAMES])


def one_column(folder: Path) -> Path:  # satijalab/seurat#1388, scverse/scanpy#2053
    return sample(folder, features=genes())


def headers(folder: Path) -> Path:  # satijalab/seurat#2740
    return sample(folder, features=["gene_id\tgene_name", *FEATURES], barcodes=["x", *NAMES])


def transposed(folder: Path) -> Path:
    sample(folder)
    write_matrix(folder / "matrix.mtx", VALUES)
    return folder


def without_banner(folder: Path, banner: str = "") -> Path:  # brianhie/geosketch#4
    sample(folder)
    path = folder / "matrix.mtx"
    entries = [line for line in path.read_text().splitlines() if not line.startswith("%")]
    write(path, [*filter(None, banner.split("\n")), *entries])
    return folder


def starsolo_of_2019(folder: Path) -> Path:  # alexdobin/STAR#556
    return without_banner(folder, "%%\n%")


def starsolo_multimappers(folder: Path) -> Path:  # alexdobin/STAR#1628: zeros are written
    sample(folder)
    lines = (folder / "matrix.mtx").read_text().splitlines()
    rows, columns = np.nonzero(VALUES.T == 0)
    size = [str(number) for number in (*VALUES.T.shape, len(lines) - 3 + len(rows))]
    zeros = [f"{row + 1} {column + 1} 0" for row, column in zip(rows, columns, strict=True)]
    head = ["%%MatrixMarket matrix coordinate real general", "%", " ".join(size)]
    write(folder / "UniqueAndMult-EM.mtx", [*head, *lines[3:], *zeros])
    write_matrix(folder / "matrix.mtx", VALUES.T * 0 + 1)
    return folder / "UniqueAndMult-EM.mtx"


def windows(folder: Path) -> Path:
    for path in sample(folder).iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    return folder


def cell_ranger_multi(folder: Path) -> Path:  # alexyermanos/Platypus#19
    place = folder / "outs" / "per_sample_outs" / "s1" / "count"
    sample(place / "sample_filtered_feature_bc_matrix", end=".gz")
    write_matrix(folder / "outs" / "multi" / "count" / "raw_feature_bc_matrix" / "matrix.mtx")
    return folder


def outs(folder: Path) -> Path:  # of cellranger count
    sample(folder / "outs" / "filtered_feature_bc_matrix", end=".gz")
    write_matrix(folder / "outs" / "raw_feature_bc_matrix" / "matrix.mtx")
    return folder / "outs"


def cell_ranger_2(folder: Path) -> Path:
    place = folder / "filtered_gene_bc_matrices" / "GRCh38"
    sample(place, features=FEATURES, genes_name="genes.tsv")
    return folder


def kb_python(folder: Path) -> Path:  # pachterlab/kb_python#265: cells in rows
    write_matrix(folder / "cells_x_genes.mtx", VALUES)
    write(folder / "cells_x_genes.genes.txt", IDS)
    write(folder / "cells_x_genes.genes.names.txt", genes())
    write(folder / "cells_x_genes.barcodes.txt", NAMES)
    return folder


def kb_python_nuclei(folder: Path) -> Path:
    kb_python(folder)
    (folder / "cells_x_genes.mtx").rename(folder / "cells_x_genes.total.mtx")
    write_matrix(folder / "cells_x_genes.nascent.mtx", VALUES * 0 + 1)
    return folder


def alevin_fry(folder: Path) -> Path:
    write_matrix(folder / "alevin" / "quants_mat.mtx", VALUES)
    write(folder / "alevin" / "quants_mat_cols.txt", genes())
    write(folder / "alevin" / "quants_mat_rows.txt", NAMES)
    return folder


def alevin_fry_usa(folder: Path) -> Path:
    """Spliced, unspliced and ambiguous counts: the first and the last are the gene's."""
    half = VALUES // 2
    write_matrix(folder / "quants_mat.mtx", np.hstack([half, VALUES * 0 + 3, VALUES - half]))
    write(
        folder / "quants_mat_cols.txt", [f"{g}{end}" for end in ("", "-U", "-A") for g in genes()]
    )
    write(folder / "quants_mat_rows.txt", NAMES)
    return folder


def parse_biosciences(folder: Path) -> Path:
    write_matrix(folder / "DGE.mtx", VALUES)
    rows = [f"{one},{gene},hg38" for one, gene in zip(IDS, genes(), strict=True)]
    write(folder / "all_genes.csv", ["gene_id,gene_name,genome", *rows])
    cells = [f"{name},sample1,3" for name in NAMES]
    write(folder / "cell_metadata.csv", ["bc_wells,sample,species", *cells])
    return folder


@pytest.mark.parametrize(
    "make",
    [
        one_prefix, shared_features, the_matrix, names_kept_when_unpacked, quoted, one_column,
        headers, transposed, outs, cell_ranger_2, kb_python, kb_python_nuclei, alevin_fry,
        parse_biosciences, without_banner, starsolo_of_2019, starsolo_multimappers, windows,
        cell_ranger_multi,
    ],
)  # fmt: skip
def test_the_same_cells(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with open_expression(path, "x") as source:
        values = np.vstack([source.read(*span).toarray() for span in source.spans()])
        assert np.array_equal(values, VALUES)
        assert source.genes.index.tolist() == genes()
        assert source.obs.load().index.tolist() == NAMES
    assert list(read_genes(path, "x").names) == genes()


def test_spliced_and_ambiguous_counts_are_added(tmp_path: Path) -> None:
    words = ("-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    said = succeed("build-cells", alevin_fry_usa(tmp_path / "x"), *words).stderr
    assert "left out: 40 features that are not genes (40 unspliced)." in said
    totals = anndata.read_h5ad(tmp_path / "c.h5ad").obs["total_counts"]
    assert totals.tolist() == VALUES.sum(1).tolist()


def test_several_samples_are_several_inputs(tmp_path: Path) -> None:
    for prefix in PREFIXES:
        sample(tmp_path / "geo", prefix, end=".gz")
    words = ("-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    said = succeed("build-cells", tmp_path / "geo", *words).stderr
    assert "geo/GSM1_a: 10x files GSM1_a_*: 30 cells, 40 genes, named as in human." in said
    made = anndata.read_h5ad(tmp_path / "c.h5ad")
    assert made.obs["batch"].value_counts().to_dict() == {"GSM1_a": 30, "GSM2_b": 30}
    assert list(read_genes(tmp_path / "geo", "geo").names) == genes()
    message = fail("prepare-cells", tmp_path / "geo", "-o", tmp_path / "p.h5ad")
    assert "holds 2 samples. Give one of GSM1_a_matrix.mtx.gz, GSM2_b-matrix.mtx.gz" in message


def test_folders_that_do_not_say_which(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sample(tmp_path / name)
    with (
        pytest.raises(ScReaderError, match=r"has 2 folders with a matrix in it: a, b\. Give one"),
        open_expression(tmp_path, "x"),
    ):
        pass


def test_lists_that_do_not_fit(tmp_path: Path) -> None:
    sample(tmp_path, barcodes=["cell-1", *NAMES])  # no header
    message = r"matrix\.mtx: is a matrix of 40 × 30, but the lists .* have 40 genes and 31 cells"
    with pytest.raises(ScReaderError, match=message), open_expression(tmp_path, "x"):
        pass
