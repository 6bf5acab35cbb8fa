"""OBO files, sound and hostile."""

from __future__ import annotations

from pathlib import Path

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
from screader_lib.reader import ontology
from screader_lib.reader.ontology import count_below, read_ontology


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
