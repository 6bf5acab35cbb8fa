"""Matrices with the genes of two species, and names with the genome before them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from cell_files import IDS, NAMES, VALUES, tenx_group
from h5py import File
from recording_reporter import RecordingReporter
from small_files import fail, genes, succeed, write_embeddings

from screader_lib.cells.formats.expression import ReadOptions
from screader_lib.cells.formats.open_expression import expression_of, open_expression
from screader_lib.cells.gene_lists import read_genes
from screader_lib.errors import ScReaderError

MOUSE = [name.capitalize() for name in genes()[:10]]
BOTH = np.hstack([VALUES, np.full((len(VALUES), 10), 7)])


def version_2(folder: Path) -> Path:
    """scverse/scanpy#2246: one group for each genome."""
    with File(folder / "x.h5", "w") as file:
        for genome, names, values in (("hg19", genes(), VALUES), ("mm10", MOUSE, BOTH[:, 40:])):
            group = tenx_group(file, genome, values)
            group["gene_names"] = [name.encode() for name in names]
            group["genes"] = [name.encode() for name in names]
    return folder / "x.h5"


def version_3(folder: Path, with_column: bool = True) -> Path:
    """As ``cellranger count`` names genes by a reference of two genomes."""
    with File(folder / "x.h5", "w") as file:
        group = tenx_group(file, "matrix", BOTH).create_group("features")
        names = [f"hg19_{name}" for name in genes()] + [f"mm10___{name}" for name in MOUSE]
        ids = [f"hg19_{one}" for one in IDS] + [f"mm10___{name}" for name in MOUSE]
        columns = {"name": names, "id": ids, "feature_type": ["Gene Expression"] * len(names)}
        if with_column:
            columns["genome"] = ["hg19"] * len(genes()) + ["mm10"] * len(MOUSE)
        for key, values in columns.items():
            group[key] = [value.encode() for value in values]
    return folder / "x.h5"


def without_column(folder: Path) -> Path:
    return version_3(folder, False)


@pytest.mark.parametrize("write", [version_2, version_3, without_column])
def test_genes_of_one_genome(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path, wanted = write(tmp_path), ReadOptions(genome="hg19")
    with open_expression(path, "x", wanted) as source:
        values = np.vstack([source.read(*span).toarray() for span in source.spans()])
        assert np.array_equal(values, VALUES) and source.genes.index.tolist() == genes()
        if write is not version_2:
            assert source.left_out == "10 genes of other genomes (mm10)"
            assert source.genes.strings("gene_ids").tolist() == IDS
    assert list(read_genes(path, "x", None, wanted).names) == genes()
    with open_expression(path, "x", ReadOptions(genome="mm10")) as source:
        assert source.genes.index.tolist() == MOUSE
        assert source.read(*source.spans()[0]).sum() == 7 * 10 * len(VALUES)


@pytest.mark.parametrize("write", [version_2, version_3, without_column])
def test_none_is_guessed(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    for genome, message in (
        (None, r"x: has .* several genomes: .*hg19.*mm10.*\. Name one with --genome"),
        ("GRCh38", r"x: has no .* GRCh38\. It has: hg19, mm10"),
    ):
        with (
            pytest.raises(ScReaderError, match=message),
            open_expression(path, "x", ReadOptions(genome=genome)),
        ):
            pass


def named(names: list[str], **var: list[str]) -> anndata.AnnData:
    obs = pandas.DataFrame(index=NAMES)
    return anndata.AnnData(VALUES, obs, pandas.DataFrame(var, index=names))


@pytest.mark.parametrize("prefix", ["GRCh38_", "GRCh38-", "hg19_", "GRCh38______"])
def test_a_prefix_is_taken_off_and_named(prefix: str) -> None:
    reporter = RecordingReporter()
    source = expression_of(named([prefix + name for name in genes()]), "x", reporter=reporter)
    assert source.genes.index.tolist() == genes()
    assert reporter.messages == [f"x: genes are named without the prefix {prefix}"]


def test_genomes_of_one_species_are_one() -> None:
    column = ["GRCh38"] * 30 + ["hg19"] * 9 + ["nan"]
    source = expression_of(named(genes(), genome=column), "x")
    assert len(source.genes) == len(genes())


def test_the_commands(tmp_path: Path) -> None:
    path = version_3(tmp_path)
    words = (path, "-e", write_embeddings(tmp_path / "e.h5ad"), "-o", tmp_path / "c.h5ad")
    assert "Name one with --genome" in fail("build-cells", *words)
    said = succeed("build-cells", *words, "--genome", "hg19").stderr
    assert "named as in human; left out: 10 genes of other genomes (mm10)." in said
    totals = anndata.read_h5ad(tmp_path / "c.h5ad").obs["total_counts"]
    assert totals.tolist() == VALUES.sum(1).tolist()
