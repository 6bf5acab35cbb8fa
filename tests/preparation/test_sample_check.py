"""``build-cells --check``: what a sample's file is, and all that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import anndata
import pytest
from small_files import call, counts, expression, genes, write_expression


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_expression(tmp_path / "x.h5ad")


def checked(*words: object, fails: bool = False) -> list[str]:
    result = call("build-cells", "--check", "human", *words)
    assert result.exit_code == int(fails), result.output
    return result.stdout.splitlines()


def test_a_good_sample_is_told_and_needs_no_embeddings(source: Path) -> None:
    [line] = checked(source, "--label", "cell_type", "--donor", "donor", "--where", "donor!=donor1")
    assert line == f"ok: {source}: 90 cells, 40 genes, raw counts"


def test_all_faults_of_all_samples(source: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5ad").write_text("words")
    values, _ = counts()
    scaled = expression(values - 1.0, ["unknown"] * len(values), donor="d")
    scaled.write_h5ad(tmp_path / "scaled.h5ad")
    words = [source, tmp_path / "scaled.h5ad", tmp_path / "text.h5ad", "--label", "cell_type"]
    lines = checked(*words, "--donor", "gone", fails=True)
    assert len(lines) == 5 and all(line.startswith("bad: ") for line in lines)
    told = [line.removeprefix(f"bad: {tmp_path}/") for line in lines]
    assert told[0].startswith("x.h5ad: the cells have no column 'gone'.")
    assert told[2].startswith("scaled.h5ad: no cell has a label in 'cell_type'.")
    assert told[3].startswith("scaled.h5ad: its matrix holds negative values")
    assert told[4].startswith("text.h5ad: ")


def test_conditions_are_tried(source: Path) -> None:
    [line] = checked(source, "--where", "donor=d9", fails=True)
    assert line.startswith("bad: --where 'donor=d9': no cells match.")


MOUSE = [f"Gene{number}" for number in range(40)]


@pytest.mark.parametrize(
    ("names", "organism", "told"),
    [
        (MOUSE, "", "its genes are named like those of mouse. Expected: human."),
        ([f"ENSMUSG{number:011}.1" for number in range(40)], "", "like those of mouse."),
        (genes(), "NCBITaxon:10090", "its cells are of NCBITaxon:10090. Expected: human."),
        ([f"ENSG{number:011}" for number in range(40)], "", ""),
        ([f"ENSDARG{number:011}" for number in range(40)], "", "like those of zebrafish."),
        (MOUSE[:20] + genes()[:20], "", ""),
        (genes(), "NCBITaxon:9606", ""),
    ],
)
def test_species_by_the_file_or_the_names(
    tmp_path: Path, names: list[str], organism: str, told: str
) -> None:
    data = anndata.AnnData(expression(*counts()).X)
    data.var_names = names
    if organism:
        data.obs["organism_ontology_term_id"] = organism
    data.write_h5ad(tmp_path / "x.h5ad")
    [line] = checked(tmp_path / "x.h5ad", fails=bool(told))
    assert told in line and line.startswith("bad: " if told else "ok: ")
