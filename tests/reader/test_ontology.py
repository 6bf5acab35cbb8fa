"""OBO files, sound and hostile."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

import large_ontology
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obo_files import (
    ALPHA,
    BETA,
    CELL,
    ENDOCRINE,
    EPITHELIAL,
    EUKARYOTIC,
    INSULIN,
    NAMES,
    PANCREATIC,
    write_obo,
)

from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence import ontology
from screader_lib.reader.confidence.ontology import count_below, read_ontology
from screader_lib.reader.confidence.ontology_backoff import Lattice


def test_terms_and_what_they_are_kinds_of(tmp_path: Path) -> None:
    found = read_ontology(write_obo(tmp_path / "cl.obo"))
    assert found.names == NAMES
    lineage = {BETA, INSULIN, PANCREATIC, ENDOCRINE, EPITHELIAL, EUKARYOTIC, CELL}
    assert found.lineage(BETA) == lineage
    assert count_below(PANCREATIC, found.kinds()) == 5
    assert count_below(CELL, found.kinds()) == len(NAMES)


@pytest.mark.parametrize(
    ("asked", "term"),
    [
        (BETA, BETA),
        ("CL_0000169", BETA),
        ("http://purl.obolibrary.org/obo/CL_0000169", BETA),
        pytest.param("CL:9999999", ALPHA, id="alternative id"),
        pytest.param("CL:0000001", BETA, id="replaced"),
        pytest.param("CL:0000002", None, id="obsolete"),
        pytest.param("part_of", None, id="no term"),
        ("", None),
    ],
)
def test_finding(tmp_path: Path, asked: str, term: str | None) -> None:
    assert read_ontology(write_obo(tmp_path / "cl.obo")).find(asked) == term


def stanza(*lines: str) -> str:
    return "\n".join(["", "[Term]", *lines, ""])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param(stanza("name: nobody"), "has no id", id="no id"),
        pytest.param(stanza("id:", "name: nobody"), "has no id", id="empty id"),
        pytest.param(stanza("id: A:1", "is_a: A:1"), "kind of itself", id="of itself"),
        pytest.param(
            stanza("id: A:1", "is_a: A:2") + stanza("id: A:2", "is_a: A:1"), "A:1", id="circle"
        ),
        pytest.param(stanza(f"id: {CELL}", f"is_a: {BETA}"), "kind of itself", id="root below"),
    ],
)
def test_hostile_terms(tmp_path: Path, more: str, told: str) -> None:
    path = write_obo(tmp_path / "cl.obo", more)
    with pytest.raises(ScReaderError, match=told) as caught:
        read_ontology(path)
    assert "cl.obo" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", "no \\[Term\\]", id="empty"),
        pytest.param(b"<?xml version='1.0'?><rdf:RDF/>", "no \\[Term\\]", id="OWL"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(50), "not UTF-8", id="HDF5"),
        pytest.param(b"x" * 3000, "longer than", id="one long line"),
    ],
)
def test_no_ontology(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    monkeypatch.setattr(ontology, "LONGEST_LINE", 2000)
    (tmp_path / "x.obo").write_bytes(content)
    with pytest.raises(ScReaderError, match=told):
        read_ontology(tmp_path / "x.obo")


def test_a_parent_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    found = read_ontology(write_obo(tmp_path / "cl.obo", stanza("id: A:1", "is_a: A:2")))
    assert found.lineage("A:1") == {"A:1"} and found.names["A:1"] == "A:1"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_ontology_of_the_real_size(tmp_path: Path, newline: str) -> None:
    large = large_ontology.invented()
    found = read_ontology(large_ontology.write(tmp_path / "cl.obo", large, newline))
    assert found.names == large.names
    assert {term: set(above) for term, above in found.parents.items()} == {
        term: set(above) for term, above in large.parents.items()
    }
    terms = list(large.names)[5:3_000:61]
    assert all(found.lineage(term) == large.lineage(term) for term in terms)
    assert max(len(found.lineage(term)) for term in terms) > 10
    assert {old: found.find(old) for old in large.others} == large.others
    gone = [term for term in large.obsolete if term not in large.others]
    assert gone and not any(map(found.find, gone))


def test_common_ancestors_in_an_ontology_of_the_real_size(tmp_path: Path) -> None:
    """The most specific common ancestor of two labels, found by going through all terms."""
    large = large_ontology.invented()
    found = read_ontology(large_ontology.write(tmp_path / "cl.obo", large))
    labels = [large_ontology.cell(number) for number in range(400, 3_000, 173)]
    lattice = Lattice.of(found, labels)
    lineages = [large.lineage(label) for label in labels]
    cells = [term for term in large.names if term.startswith("CL:")]
    below = Counter(above for term in cells for above in large.lineage(term))
    for first, second in combinations(range(0, len(labels), 3), 2):
        common = lineages[first] & lineages[second]
        covered = {term: sum(term in lineage for lineage in lineages) for term in common}
        open_to = [t for t in common if covered[t] < len(labels) and large.parents[t]]
        wanted = min(open_to, key=lambda t: (covered[t], below[t], t), default=None)
        probability = np.zeros((1, len(labels)), np.float32)
        probability[0, [first, second]] = 0.6, 0.4
        [number] = lattice.back_off(probability, np.array([first]), 0.9)
        assert (None if number < 0 else lattice.open[number]) == wanted


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("T cell", "T cell"),
        ("T cell ! of the thymus", "T cell"),
        ('T cell {source="a ! b", by="}"} ! so', "T cell"),
        ("CD4\\, \\{x\\} \\! cell", "CD4, {x} ! cell"),
        ("mind {the} gap, it's here!", "mind {the} gap, it's here!"),
        ("a\\Wb\\tc\\nd", "a b c d"),
        ("T \\\ncell", "T cell"),
        ("T \\\r\ncell", "T cell"),
        ("of \\\\", "of \\"),
    ],
)
def test_names_as_the_guide_writes_them(tmp_path: Path, written: str, read: str) -> None:
    path = write_obo(tmp_path / "cl.obo", stanza("id: A:1 ! x", f"name: {written}"))
    assert read_ontology(path).names["A:1"] == read


def test_replaced_by_a_term_that_was_replaced(tmp_path: Path) -> None:
    gone = "is_obsolete: true"
    more = stanza("id: A:1", gone, "replaced_by: A:2") + stanza(
        "id: A:2", gone, f"replaced_by: {BETA}"
    )
    more += stanza("id: A:3", gone, "replaced_by: A:4") + stanza(
        "id: A:4", gone, "replaced_by: A:3"
    )
    found = read_ontology(write_obo(tmp_path / "cl.obo", more + stanza("id: A:5", "is_a: A:1")))
    assert found.find("A:1") == BETA and found.find("A:3") is None
    assert BETA in found.lineage("A:5")


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200), cut=st.integers(0, 2000))
def test_damage_is_one_line_or_none(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int
) -> None:
    path = write_obo(tmp_path_factory.mktemp("obo") / "cl.obo")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + content + whole[cut:])
    try:
        read_ontology(path)
    except ScReaderError as error:
        assert "\n" not in str(error)
