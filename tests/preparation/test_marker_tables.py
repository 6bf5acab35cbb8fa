"""Marker tables in the layouts in which they are published, and their species."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from real_data import real
from recording_reporter import RecordingReporter

from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.errors import ScReaderError
from screader_lib.genes.spelling import species_by_spelling
from screader_lib.preparation.marker_tables import (
    CellType,
    check_species,
    plain_name,
    read_marker_tables,
)

HUMAN = ["INS", "GCG", "SST", "PPY", "C1orf112", "HLA-A", "MT-ND1", "CD3D", "CD3E", "KRT19", "7SK"]
MOUSE = ["Ins1", "Gcg", "Sst", "Ppy", "Gm42", "H2-K1", "mt-Nd1", "Cd3d", "Cd3e", "Krt19", "Foxp3"]
ENSEMBL = [f"ENSG{number:011}" for number in range(20)]
PANGLAO = """species\tofficial gene symbol\tcell type\torgan
Mm Hs\tINS\tBeta cells\tPancreas
Hs\tIAPP\tBeta cells\tPancreas
Mm\tIns1\tBeta cells\tPancreas
Mm Hs\tCD3D\tT cells\tImmune system
"""
CELLMARKER = """species,tissue_class,tissue_type,cell_name,cellontology_id,Symbol
Human,Pancreas,Islet,Beta cell,CL_0000169,MAFA
Human,Pancreas,Islet,Beta cell,CL_0000169,NA
Human,Blood,Blood,T cell,CL_0000084,CD3E
Mouse,Pancreas,Islet,Beta cell,CL_0000169,Mafa
"""
INDEXED = ",cell_type,gene\n0,beta,INS\n1,beta,IAPP\n"
BY_TYPE = 'Tissue,CT,Gene\nPancreas,Beta cell(β cell),"INS,PDX1, NKX6-1"\nLung,AT2,SFTPC\n'
OWN = "cell_type\tgene\tontology_id\nbeta\tINS\tCL:0000169\nbeta\tIAPP\t\nalpha\tGCG\t\n"


def types(folder: Path, *contents: str, **settings: object) -> list[CellType]:
    paths = [folder / f"m{number}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    return read_marker_tables(paths, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ([PANGLAO], "Beta cells: IAPP INS | T cells: CD3D"),
        ([CELLMARKER], "Beta cell CL:0000169: MAFA | T cell CL:0000084: CD3E"),
        ([BY_TYPE], "AT2: SFTPC | Beta cell(β cell): INS NKX6-1 PDX1"),
        ([OWN], "alpha: GCG | beta CL:0000169: IAPP INS"),
        ([INDEXED], "beta: IAPP INS"),
        (
            [PANGLAO, CELLMARKER],
            "Beta cells CL:0000169: IAPP INS MAFA | T cells CL:0000084: CD3D CD3E",
        ),
    ],
)
def test_layouts(tmp_path: Path, contents: list[str], expected: str) -> None:
    read = [
        f"{' '.join(filter(None, (one.name, one.ontology_id)))}: {' '.join(sorted(one.genes))}"
        for one in types(tmp_path, *contents)
    ]
    assert " | ".join(read) == expected


def test_tissue_and_species(tmp_path: Path) -> None:
    assert [one.name for one in types(tmp_path, PANGLAO, tissues=["pancreas"])] == ["Beta cells"]
    assert [one.name for one in types(tmp_path, BY_TYPE, tissues=["Lung"])] == ["AT2"]
    (mouse, _) = types(tmp_path, PANGLAO, species="mouse")
    assert mouse.genes == {"INS", "INS1"}


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (PANGLAO, {"tissues": ["Heart"]}, "Tissues: Immune system, Pancreas"),
        ("a,b\n1,2\n", {}, "not a marker table in a known layout"),
        ("cell_type,gene\n,\n", {}, "have no cell type"),
    ],
)
def test_refused(tmp_path: Path, content: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ScReaderError, match=message):
        types(tmp_path, content, **settings)


def test_plain_names() -> None:
    names = ["Beta cells", "Beta cell(β cell)", "Gamma (PP) cells", "(unnamed)", "Loss"]
    assert [*map(plain_name, names)] == ["beta cell", "beta cell", "gamma", "(unnamed)", "loss"]


def test_published_tables() -> None:
    panglao = {
        one.name: one for one in read_marker_tables([real("PanglaoDB_markers_27_Mar_2020.tsv.gz")])
    }
    assert len(panglao) > 150 and "INS" in panglao["Beta cells"].genes
    assert len(read_marker_tables([real("CellMarker2_Human_Aug.csv")], tissues=["Pancreas"])) > 20
    assert len(read_marker_tables([real("CellMarker2_Mouse_Aug.csv")], "mouse")) > 100


def test_species_by_spelling() -> None:
    names = [HUMAN, MOUSE, ENSEMBL, HUMAN + MOUSE, MOUSE[:5]]
    assert [*map(species_by_spelling, names)] == ["human", "mouse", "", "", ""]


@pytest.mark.parametrize(
    ("organism", "names", "species", "warning"),
    [
        ("", MOUSE, "human", "like those of mouse"),
        ("", HUMAN, "mouse", "like those of human"),
        ("NCBITaxon:10090", HUMAN, "human", "of NCBITaxon:10090"),
        ("NCBITaxon:10090", MOUSE, "mouse", ""),
        ("", ENSEMBL, "mouse", ""),
    ],
)
def test_species_of_cells(
    tmp_path: Path, organism: str, names: list[str], species: str, warning: str
) -> None:
    obs = pandas.DataFrame(index=["cell"])
    if organism:
        obs["organism_ontology_term_id"] = pandas.Categorical([organism])
    values = np.ones((1, len(names)), np.float32)
    data = anndata.AnnData(values, obs, pandas.DataFrame(index=names))
    data.write_h5ad(tmp_path / "x.h5ad")
    reporter = RecordingReporter()
    with open_expression(tmp_path / "x.h5ad", "x.h5ad") as source:
        check_species(source, names, species, reporter)
    assert len(reporter.warnings) == bool(warning)
    assert warning in "".join(reporter.warnings)


@pytest.mark.parametrize(
    ("header", "genes", "species", "messages", "warnings"),
    [
        ("cell_type,gene", HUMAN, "human", 1, 0),
        ("cell_type,gene", HUMAN, "mouse", 0, 1),
        ("CT,Gene", MOUSE, "human", 0, 1),
        ("cell_type,gene,species", HUMAN, "human", 0, 0),
    ],
)
def test_species_of_tables(
    tmp_path: Path, header: str, genes: list[str], species: str, messages: int, warnings: int
) -> None:
    rows = [f"beta,{gene}" + ",human" * header.count("species") for gene in genes]
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]) + "\n")
    reporter = RecordingReporter()
    read_marker_tables([tmp_path / "m.csv"], species, names=["mine.csv"], reporter=reporter)
    assert (len(reporter.messages), len(reporter.warnings)) == (messages, warnings)
    assert all(line.startswith("mine.csv has no species column") for line in reporter.messages)
