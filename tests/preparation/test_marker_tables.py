"""Marker tables in the layouts in which they are published."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from real_data import real

from screader_lib.errors import ScReaderError
from screader_lib.preparation.marker_tables import CellType, plain_name, read_marker_tables

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
BY_TYPE = 'Tissue,CT,Gene\nPancreas,Beta cell(β cell),"INS,PDX1, NKX6-1"\nLung,AT2,SFTPC\n'
OWN = "cell_type\tgene\tontology_id\nbeta\tINS\tCL:0000169\nbeta\tIAPP\t\nalpha\tGCG\t\n"


def types(folder: Path, *contents: str, **more: object) -> list[CellType]:
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"m{number}")
        paths[-1].write_text(content)
    return read_marker_tables(paths, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(
            PANGLAO,
            [CellType("Beta cells", {"INS", "IAPP"}), CellType("T cells", {"CD3D"})],
            id="PanglaoDB",
        ),
        pytest.param(
            CELLMARKER,
            [
                CellType("Beta cell", {"MAFA"}, "CL:0000169"),
                CellType("T cell", {"CD3E"}, "CL:0000084"),
            ],
            id="CellMarker",
        ),
        pytest.param(
            BY_TYPE,
            [CellType("AT2", {"SFTPC"}), CellType("Beta cell(β cell)", {"INS", "PDX1", "NKX6-1"})],
            id="CellMarker by type",
        ),
        pytest.param(
            OWN,
            [CellType("alpha", {"GCG"}), CellType("beta", {"INS", "IAPP"}, "CL:0000169")],
            id="own",
        ),
    ],
)
def test_layouts(tmp_path: Path, content: str, wanted: list[CellType]) -> None:
    assert types(tmp_path, content) == wanted


def test_tables_are_joined_by_name(tmp_path: Path) -> None:
    beta, _ = types(tmp_path, PANGLAO, CELLMARKER)
    assert beta == CellType("Beta cells", {"INS", "IAPP", "MAFA"}, "CL:0000169")


def test_tissue_and_species(tmp_path: Path) -> None:
    assert [one.name for one in types(tmp_path, PANGLAO, tissues=["pancreas"])] == ["Beta cells"]
    assert [one.name for one in types(tmp_path, BY_TYPE, tissues=["Lung"])] == ["AT2"]
    (mouse, _) = types(tmp_path, PANGLAO, species="mouse")
    assert mouse.genes == {"INS", "INS1"}


@pytest.mark.parametrize(
    ("content", "more", "told"),
    [
        pytest.param(
            PANGLAO, {"tissues": ["Heart"]}, "Tissues: Immune system, Pancreas", id="tissue"
        ),
        pytest.param("a,b\n1,2\n", {}, "no table of markers that is known", id="layout"),
        pytest.param("", {}, "no table of markers that is known", id="empty"),
        pytest.param("cell_type,gene\n,\n", {}, "hold no type", id="blank"),
    ],
)
def test_refused(tmp_path: Path, content: str, more: dict[str, object], told: str) -> None:
    with pytest.raises(ScReaderError, match=told):
        types(tmp_path, content, **more)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Beta cells", "beta cell"),
        ("Beta cell(β cell)", "beta cell"),
        ("Gamma (PP) cells", "gamma"),
        ("(unnamed)", "(unnamed)"),
        ("Loss", "loss"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_published_tables() -> None:
    panglao = read_marker_tables([real("PanglaoDB_markers_27_Mar_2020.tsv.gz")])
    assert len(panglao) > 150
    pancreas = read_marker_tables(
        [real("PanglaoDB_markers_27_Mar_2020.tsv.gz")], tissues=["Pancreas"]
    )
    assert "INS" in next(one for one in pancreas if one.name == "Beta cells").genes
    assert len(read_marker_tables([real("CellMarker2_Human_Aug.csv")], tissues=["Pancreas"])) > 20
    assert len(read_marker_tables([real("CellMarker2_Mouse_Aug.csv")], "mouse")) > 100


def test_gzipped(tmp_path: Path) -> None:
    (tmp_path / "m.gz").write_bytes(gzip.compress(OWN.encode()))
    assert len(read_marker_tables([tmp_path / "m.gz"])) == 2
