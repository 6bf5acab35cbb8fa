"""Clusters' markers against a table: who wins, who cannot be told apart, a person's word."""

from __future__ import annotations

from pathlib import Path

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.genes.text_files import read_table
from screader_lib.preparation.cluster_markers import Marker
from screader_lib.preparation.corrections import corrected, evidence_tsv
from screader_lib.preparation.labelling import ClusterLabel, label_clusters
from screader_lib.preparation.marker_tables import CellType

GENES = [f"G{number}" for number in range(500)]
TYPES = [
    CellType("alpha", {"G0", "G1", "G2", "G3"}, "CL:0000171"),
    CellType("beta", {"G4", "G5", "G6", "G7"}),
    CellType("twin", {"G4", "G5", "G6", "G7"}),
    CellType("absent", {"NONE1", "NONE2"}),
]


def markers(*genes: str, change: float = 2.0) -> list[Marker]:
    return [Marker(gene, change, 0.9, 0.1, 1e-9) for gene in genes]


def called(*genes: str, types: list[CellType] = TYPES) -> ClusterLabel:
    (call,) = label_clusters({"1": markers(*genes)}, {"1": 30}, types, GENES)
    return call


def test_the_type_whose_markers_it_has() -> None:
    call = called("G0", "G1", "G2", "G100")
    assert (call.label, call.ontology_id, call.status) == ("alpha", "CL:0000171", "assigned")
    assert call.scores[0].genes == ("G0", "G1", "G2") and call.margin == 1.0


def test_two_types_alike_are_ambiguous() -> None:
    call = called("G4", "G5", "G6")
    assert (call.label, call.status, call.margin) == ("ambiguous", "ambiguous", 0.0)
    assert [score.cell_type.name for score in call.scores] == ["beta", "twin"]


@pytest.mark.parametrize("genes", [(), ("G100", "G101"), ("G0",), ("G0", "G100")])
def test_no_evidence_is_unknown(genes: tuple[str, ...]) -> None:
    call = called(*genes)
    assert (call.label, call.status, call.scores) == ("unknown", "unknown", ())


def test_an_overlap_that_chance_would_give_is_unknown() -> None:
    assert called("G0", "G1", *GENES[100:400]).status == "unknown"


def test_what_marks_many_types_tells_little() -> None:
    many = [CellType(f"t{number}", {"G0", "G1", f"G{10 + number}"}) for number in range(5)]
    call = called("G0", "G1", "G12", types=many)
    assert call.label == "t2" and call.margin > 0.3


def test_case_does_not_matter() -> None:
    assert called("g0", "g1").label == "alpha"


def test_calls_do_not_hang_on_the_order_of_the_table() -> None:
    assert called("G0", "G1", "G4", types=TYPES[::-1]) == called("G0", "G1", "G4")


CALLS = label_clusters(
    {"1": markers("G0", "G1"), "2": markers("G4", "G5")}, {"1": 30, "2": 20}, TYPES, GENES
)


def test_evidence_can_be_edited_and_handed_back(tmp_path: Path) -> None:
    text = evidence_tsv(CALLS)
    rows = read_table(text, "evidence")
    assert [row["label"] for row in rows] == ["alpha", "ambiguous"]
    assert rows[0]["evidence"] == "alpha: G0, G1" and rows[0]["markers"] == "G0, G1"
    path = tmp_path / "e.tsv"
    path.write_text(text)
    assert corrected(CALLS, path) == CALLS
    path.write_text(text.replace("ambiguous\t\tambiguous", "beta\tCL:0000169\tambiguous"))
    one, two = corrected(CALLS, path)
    assert one == CALLS[0]
    assert (two.label, two.ontology_id, two.status) == ("beta", "CL:0000169", "corrected")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("cluster,label\n3,beta\n", "names a cluster '3'"),
        ("cluster,label\n1,a\n1,b\n", "names cluster 1 twice"),
        ("cluster,name\n1,a\n", "no column 'label'"),
    ],
)
def test_wrong_corrections(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(ScReaderError, match=told):
        corrected(CALLS, tmp_path / "l.csv")
