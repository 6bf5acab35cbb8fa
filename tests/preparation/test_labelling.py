"""Clusters' markers against a table: who wins, what is ambiguous, a user's corrections."""

from __future__ import annotations

from pathlib import Path

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.genes.text_files import read_table
from screader_lib.preparation.clustering import Marker
from screader_lib.preparation.labelling import ClusterLabel, corrected, evidence_tsv, label_clusters
from screader_lib.preparation.marker_tables import CellType

GENES = [f"G{number}" for number in range(500)]
TYPES = [
    CellType("alpha", {"G0", "G1", "G2", "G3"}, "CL:0000171"),
    CellType("beta", {"G4", "G5", "G6", "G7"}),
    CellType("twin", {"G4", "G5", "G6", "G7"}),
    CellType("absent", {"NONE1", "NONE2"}),
]


def markers(*genes: str, change: float = 2.0) -> list[Marker]:
    return [Marker(gene, change, 1e-9) for gene in genes]


def labelled(*genes: str, types: list[CellType] = TYPES) -> ClusterLabel:
    (label,) = label_clusters({"1": markers(*genes)}, {"1": 30}, types, GENES)
    return label


def test_the_type_whose_markers_it_has() -> None:
    label = labelled("G0", "G1", "G2", "G100")
    assert (label.label, label.ontology_id, label.status) == ("alpha", "CL:0000171", "assigned")
    assert label.scores[0].genes == ("G0", "G1", "G2") and label.margin == 1.0


def test_two_equal_types_are_ambiguous() -> None:
    label = labelled("G4", "G5", "G6")
    assert (label.label, label.status, label.margin) == ("ambiguous", "ambiguous", 0.0)
    assert [score.cell_type.name for score in label.scores] == ["beta", "twin"]


@pytest.mark.parametrize(
    "genes", [(), ("G100", "G101"), ("G0", "G100"), ("G0", "G1", *GENES[100:400])]
)
def test_no_evidence_or_an_overlap_that_chance_would_give_is_unknown(genes: list[str]) -> None:
    label = labelled(*genes)
    assert (label.label, label.status, label.scores) == ("unknown", "unknown", ())


def test_genes_that_mark_many_types_count_little() -> None:
    many = [CellType(f"t{number}", {"G0", "G1", f"G{10 + number}"}) for number in range(5)]
    label = labelled("G0", "G1", "G12", types=many)
    assert label.label == "t2" and label.margin > 0.3


def test_labels_do_not_depend_on_case_or_the_order_of_the_table() -> None:
    assert labelled("g0", "g1").label == "alpha"
    assert labelled("G0", "G1", "G4", types=TYPES[::-1]) == labelled("G0", "G1", "G4")


LABELS = label_clusters(
    {"1": markers("G0", "G1"), "2": markers("G4", "G5")}, {"1": 30, "2": 20}, TYPES, GENES
)


def test_evidence_can_be_edited_and_handed_back(tmp_path: Path) -> None:
    text = evidence_tsv(LABELS)
    rows = read_table(text, "evidence")
    assert [row["label"] for row in rows] == ["alpha", "ambiguous"]
    assert rows[0]["evidence"] == "alpha: G0, G1" and rows[0]["markers"] == "G0, G1"
    path = tmp_path / "e.tsv"
    path.write_text(text)
    assert corrected(LABELS, path) == LABELS
    path.write_text(text.replace("ambiguous\t\tambiguous", "beta\tCL:0000169\tambiguous"))
    one, two = corrected(LABELS, path)
    assert one == LABELS[0]
    assert (two.label, two.ontology_id, two.status) == ("beta", "CL:0000169", "corrected")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cluster,label\n3,beta\n", "has an unknown cluster '3'"),
        ("cluster,label\n1,a\n1,b\n", "has cluster 1 twice"),
        ("cluster,name\n1,a\n", "no column 'label'"),
    ],
)
def test_wrong_corrections(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(ScReaderError, match=message):
        corrected(LABELS, tmp_path / "l.csv")
