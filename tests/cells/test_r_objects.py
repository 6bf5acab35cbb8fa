"""Genuine objects of R are read without R, and calls find their way back.

What they hold is in the README of ``tests/r_objects``.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
from recording_reporter import RecordingReporter
from small_files import fail, succeed, write_embeddings

from screader_lib.cells.formats import r_tree
from screader_lib.cells.formats.expression import DEFAULTS, Expression, ReadOptions
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.cells.gene_lists import read_genes
from screader_lib.errors import ScReaderError

OBJECTS = Path(__file__).parents[1] / "r_objects"
SEURAT = OBJECTS / "seurat4.rds"
COUNTS = 346_347  # all of them


def values_of(source: Expression) -> np.ndarray:
    return np.vstack([source.read(*span).toarray() for span in source.spans()])


def read(path: Path, wanted: ReadOptions = DEFAULTS) -> np.ndarray:
    with open_expression(path, path.name, wanted) as source:
        return values_of(source)


def edited(folder: Path, old: bytes, new: bytes) -> Path:
    """The Seurat object of version 4 with a text in it replaced; R writes its length before."""
    content = gzip.decompress(SEURAT.read_bytes())
    size = [len(text).to_bytes(4, "big") for text in (old, new)]
    assert size[0] + old in content
    (folder / "x.rds").write_bytes(gzip.compress(content.replace(size[0] + old, size[1] + new)))
    return folder / "x.rds"


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("seurat4", "Seurat 4.1, assay RNA, counts"),
        ("seurat5", "Seurat 5.4, assay RNA, counts"),
        ("seurat5_split", "Seurat 5.4, assay RNA, counts"),
        ("sce", "SingleCellExperiment, counts"),
        ("matrix", "dgCMatrix of R"),
    ],
)
def test_the_same_cells(file: str, what: str) -> None:
    path = OBJECTS / f"{file}.rds"
    with open_expression(path, file) as source:
        assert source.summary == f"{what}: 90 cells, 800 genes, named as in human"
        values = values_of(source)
        assert values.sum() == COUNTS and np.array_equal(values, read(OBJECTS / "matrix.rds"))
        assert source.obs.load().index[[0, 89]].tolist() == ["cell000", "cell089"]
        assert source.genes.index[[0, 1, 799]].tolist() == ["ABCC8", "ACADVL", "ZYX"]
        if file != "matrix":
            obs = source.obs.load()
            assert obs.strings("cell_type")[:3].tolist() == ["beta", "ductal", "beta"]
            assert obs.strings("donor")[:3].tolist() == ["human3", "human1", "human2"]
    assert read_genes(path, file).names[:2] == ("ABCC8", "ACADVL")


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("dense.rds", "matrix of R"),
        ("integer.rds", "matrix of R"),
        ("triplets.rds", "dgTMatrix of R"),
        ("rows.rds", "dgRMatrix of R"),
        ("frame.rds", "data.frame of R"),
        ("assay.rds", "Assay, counts"),
        ("one.RData", "Seurat 4.1, assay RNA, counts"),
        ("integrated.rds", "Seurat 4.1, assay RNA, counts"),
    ],
)
def test_other_kinds(file: str, what: str) -> None:
    with open_expression(OBJECTS / file, file) as source:
        assert source.summary == f"{what}: 12 cells, 20 genes, named as in human"
        expected = np.outer(np.arange(1, 13), np.arange(1, 21)) % 5
        assert np.array_equal(values_of(source), expected)
        assert source.obs.load().index[11] == "cell011" and source.genes.index[19] == "GENE19"


def test_layers() -> None:
    logs = read(SEURAT, ReadOptions(layer="data"))
    counts = read(SEURAT)
    totals = counts.sum(1, keepdims=True)
    np.testing.assert_allclose(logs, np.log1p(counts / totals * 1e4), atol=1e-9)
    part = read(OBJECTS / "seurat5_split.rds", ReadOptions(layer="counts.human3"))
    assert part.shape == (49, 800)
    for file, layer, listed in (
        ("seurat4", "scale.data", "It has: counts, data"),
        ("sce", "x", "It has: counts, logcounts"),
    ):
        with pytest.raises(ScReaderError, match=listed):
            read(OBJECTS / f"{file}.rds", ReadOptions(layer=layer))


def test_an_active_assay_without_counts() -> None:
    """As integration leaves it."""
    path, reporter = OBJECTS / "integrated.rds", RecordingReporter()
    with open_expression(path, "x.rds", DEFAULTS, reporter) as source:
        assert source.others == "assay integrated"
        assert source.obs.load().strings("ident")[:3].tolist() == ["a", "b", "a"]
    assert "x.rds: the assay RNA is read, not integrated, the active one" in reporter.messages[1]
    with open_expression(path, "x.rds", ReadOptions(modality="integrated")) as source:
        assert source.matrix_name == "data" and len(source.genes) == 10
    with pytest.raises(ScReaderError, match=r"has no assay ADT\. It has: RNA, integrated"):
        read(path, ReadOptions(modality="ADT"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("two.RData", r"holds 2 objects with cells: x, y\. In R, save the one"),
        ("list.rds", r"list with 2 objects of cells in it: x\[\[1\]\], x\[\[2\]\]\. In R, save"),
        ("lists.rds", r"saveRDS\(x\[\['umicount'\]\]\[\['exon'\]\]\[\['all'\]\], 'x\.rds'\)"),
        ("table.rds", r"has no expression matrix in it \(data\.frame\)\. In R, of a table"),
        ("delayed.rds", r"its matrix is one of DelayedArray, whose values may be.*as\(m, 'dgC"),
        ("nameless.rds", "has no names of rows, which are its genes"),
    ],
)
def test_what_is_not_read(file: str, message: str) -> None:
    with pytest.raises(ScReaderError, match=message):
        read(OBJECTS / file)


def test_objects_of_other_packages(tmp_path: Path) -> None:
    with pytest.raises(ScReaderError, match=r"version 2\. In R.*UpdateSeuratObject"):
        read(edited(tmp_path, b"Seurat", b"seurat"))
    with pytest.raises(ScReaderError, match=r"assay RNA is one of BPCells, .*\. In R.*dgCMatrix"):
        read(edited(tmp_path, b"Matrix", b"BPCells"))


def test_a_matrix_with_cells_in_its_rows() -> None:
    with open_expression(OBJECTS / "transposed.rds", "x") as source:
        assert source.summary == "dgCMatrix of R, cells in rows: 12 cells, 3 genes"
        assert source.genes.index.tolist() == ["INS", "GCG", "SST"]
        assert np.array_equal(values_of(source), np.outer(np.arange(1, 13), [1, 2, 3]) % 5)


def test_missing_counts_are_refused(tmp_path: Path) -> None:
    words = ("-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    message = fail("build-cells", OBJECTS / "missing.rds", *words)
    assert "missing.rds: its matrix holds NaN or infinite values" in message


def test_damaged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = SEURAT.read_bytes()
    (tmp_path / "x.rds").write_bytes(content[:9000])
    with pytest.raises(ScReaderError, match=r"x\.rds: is damaged or cut off"):
        read(tmp_path / "x.rds")
    (tmp_path / "x.rds").write_bytes(b"X\n\0\0\0\3\0\4\2\2\0\3\5\0\0\0\0\5UTF-8\0\0\2\x13")
    with pytest.raises(ScReaderError, match=r"x\.rds: is damaged, or a kind of R's files"):
        read(tmp_path / "x.rds")
    depth = sys.getrecursionlimit()
    monkeypatch.setitem(sys.modules, "rdata.parser", None)
    with pytest.raises(ScReaderError, match=r"needs the package rdata\. Run: pip install rdata"):
        read(SEURAT)
    assert depth == sys.getrecursionlimit()


def test_cells_with_labels(tmp_path: Path) -> None:
    genes = list(read_genes(SEURAT, "x").names)
    words = ("-e", write_embeddings(tmp_path / "e.h5ad", genes), "--label", "cell_type")
    said = succeed("build-cells", SEURAT, *words, "-o", tmp_path / "c.h5ad").stderr
    assert "files of R go through memory as a whole (1.0 MB unpacked" in said
    made = anndata.read_h5ad(tmp_path / "c.h5ad")
    assert made.obs["total_counts"].sum() == COUNTS and made.obs["label"].nunique() == 6


@pytest.mark.parametrize(
    ("file", "calls", "line"),
    [
        ("seurat5", "calls.csv", "x <- AddMetaData(x, read.csv('{}', row.names = 1, na"),
        ("seurat5", "calls.tsv.gz", "x <- AddMetaData(x, read.delim('{}', row.names = 1, na"),
        ("sce", "calls.csv", "colData(x) <- cbind(colData(x), read.csv('{}', row.names = 1, na"),
    ],
)
def test_calls_and_the_line_of_r_that_adds_them(
    tmp_path: Path, file: str, calls: str, line: str
) -> None:
    table = tmp_path / calls
    words = ("-r", "human-pancreas", "--calls", table, "-o", tmp_path / "out.h5ad")
    said = succeed("annotate", OBJECTS / f"{file}.rds", *words).stderr
    assert f"in R: {line.format(table)}" in said
    made = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert made.X.sum() == COUNTS and made.obs["screader_label"].notna().sum() > 80
    assert (
        made.obs["screader_label"].astype(str) == made.obs["cell_type"].astype(str)
    ).mean() > 0.9


def test_nodes_of_the_tree() -> None:
    frame = r_tree.read_r(OBJECTS / "table.rds", "x", RecordingReporter())[""].frame()
    assert len(frame) == 90 and frame.strings("cell_type")[0] == "beta"


def test_an_object_of_r_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x.rds"
    path.write_bytes(SEURAT.read_bytes())
    message = fail("annotate", path, "-r", "human-pancreas", "--in-place")
    assert "x.rds: is not an h5ad to add to (Seurat 4.1, assay RNA). Write one: -o" in message
    assert path.read_bytes() == SEURAT.read_bytes()
