"""Cells of one species beside markers of another: a line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from screader_lib.cells.formats.expression import Expression, Span
from screader_lib.exchange.lazy_table import LazyTable
from screader_lib.exchange.table import Categorical, Table, strings
from screader_lib.preparation.marker_tables import read_marker_tables
from screader_lib.preparation.species import check_cells, spelled_as
from screader_lib.reporting import Reporter

HUMAN = ["INS", "GCG", "SST", "PPY", "C1orf112", "HLA-A", "MT-ND1", "CD3D", "CD3E", "KRT19", "7SK"]
MOUSE = ["Ins1", "Gcg", "Sst", "Ppy", "Gm42", "H2-K1", "mt-Nd1", "Cd3d", "Cd3e", "Krt19", "Foxp3"]
ENSEMBL = [f"ENSG{number:011}" for number in range(20)]


class Heard(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def info(self, message: str) -> None:
        self.said.append(message)

    def warning(self, message: str) -> None:
        self.warned.append(message)


class Cells(Expression):
    """Cells of which only the species counts."""

    def __init__(self, organism: str = "") -> None:
        self.name = "x.h5ad"
        columns = {"organism_ontology_term_id": Categorical.of([organism])} if organism else {}
        self.obs = LazyTable.of(Table(strings(["cell"]), dict(columns)))

    def spans(self) -> Sequence[Span]:
        raise AssertionError("no value is needed to tell the species")

    def read(self, start: int, stop: int) -> np.ndarray:  # type: ignore[override]
        raise AssertionError("no value is needed to tell the species")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        pytest.param(HUMAN, "human", id="human"),
        pytest.param(MOUSE, "mouse", id="mouse"),
        pytest.param(ENSEMBL, "", id="ensembl"),
        pytest.param(HUMAN + MOUSE, "", id="both"),
        pytest.param(MOUSE[:5], "", id="few"),
    ],
)
def test_spelling(names: list[str], wanted: str) -> None:
    assert spelled_as(names) == wanted


@pytest.mark.parametrize(
    ("organism", "names", "species", "told"),
    [
        pytest.param("", MOUSE, "human", "as those of mouse are", id="mouse-symbols"),
        pytest.param("", HUMAN, "mouse", "as those of human are", id="human-symbols"),
        pytest.param("NCBITaxon:10090", HUMAN, "human", "of NCBITaxon:10090", id="declared"),
        pytest.param("NCBITaxon:9606", MOUSE, "mouse", "of NCBITaxon:9606", id="declared-human"),
        pytest.param("", HUMAN, "human", "", id="human"),
        pytest.param("NCBITaxon:10090", MOUSE, "mouse", "", id="mouse"),
        pytest.param("", ENSEMBL, "mouse", "", id="ensembl-says-nothing-here"),
    ],
)
def test_cells(organism: str, names: list[str], species: str, told: str) -> None:
    heard = Heard()
    check_cells(Cells(organism), names, species, heard)
    assert len(heard.warned) == bool(told)
    assert told in "".join(heard.warned)


@pytest.mark.parametrize(
    ("header", "genes", "species", "said", "warned"),
    [
        pytest.param("cell_type,gene", HUMAN, "human", 1, 0, id="no-column"),
        pytest.param("cell_type,gene", HUMAN, "mouse", 0, 1, id="no-column-human-asked-mouse"),
        pytest.param("CT,Gene", MOUSE, "human", 0, 1, id="CellMarker-of-mouse"),
        pytest.param("cell_type,gene,species", HUMAN, "human", 0, 0, id="column"),
    ],
)
def test_tables(
    tmp_path: Path, header: str, genes: list[str], species: str, said: int, warned: int
) -> None:
    rows = [f"beta,{gene}" + ",human" * header.count("species") for gene in genes]
    (tmp_path / "m.csv").write_text("\n".join([header, *rows]) + "\n")
    heard = Heard()
    read_marker_tables([tmp_path / "m.csv"], species, names=["mine.csv"], reporter=heard)
    assert (len(heard.said), len(heard.warned)) == (said, warned)
    assert all(line.startswith("mine.csv has no column of species") for line in heard.said)
