"""OBO files, sound and hostile."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path

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
from screader_lib.reader.confidence.ontology import (
    Ontology,
    locate_ontology,
    read_ontology,
)
from screader_lib.reader.confidence.ontology_backoff import BackoffTerms


def test_terms_and_what_they_are_kinds_of(tmp_path: Path) -> None:
    found = read_ontology(write_obo(tmp_path / "cl.obo"))
    assert found.names == NAMES
    lineage = {BETA, INSULIN, PANCREATIC, ENDOCRINE, EPITHELIAL, EUKARYOTIC, CELL}
    assert found.lineage(BETA) == lineage


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
    monkeypatch.setattr(ontology, "MAX_LINE", 2000)
    (tmp_path / "x.obo").write_bytes(content)
    with pytest.raises(ScReaderError, match=told):
        read_ontology(tmp_path / "x.obo")


def test_a_parent_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    found = read_ontology(write_obo(tmp_path / "cl.obo", stanza("id: A:1", "is_a: A:2")))
    assert found.lineage("A:1") == {"A:1"} and found.names["A:1"] == "A:1"


@pytest.fixture(scope="module")
def packaged() -> Ontology:
    return read_ontology(Path(locate_ontology("packaged")))


def test_the_packaged_cell_ontology(packaged: Ontology) -> None:
    assert len(packaged.names) > 3_000 and packaged.names[CELL] == "cell"
    assert packaged.find("CL:0000003") == CELL  # replaced
    assert packaged.find("CL:0000002") is None  # obsolete
    assert {BETA, INSULIN, PANCREATIC, ENDOCRINE, EPITHELIAL, CELL} <= packaged.lineage(BETA)
    assert all(CELL in packaged.lineage(term) for term in packaged.names)


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ontology, "PACKAGE", "no-such-package")
    with pytest.raises(ScReaderError, match=r"screader-suite\[ontology\]"):
        locate_ontology("packaged")
    assert locate_ontology("cl.obo") == "cl.obo"


def escaped(text: str) -> str:
    for letter in "\\!{}:,":
        text = text.replace(letter, "\\" + letter)
    return text


def write_with_quirks(path: Path, known: Ontology, newline: str) -> Path:
    """An ontology as OBO, with what real files have: comments, modifiers, escapes, other tags."""
    old = {new: gone for gone, new in known.replacements.items()}
    stanzas = ["format-version: 1.4\nidspace: dce http://purl.org/dc/elements/1.1/\nontology: cl\n"]
    for term in sorted(known.names, reverse=True):
        lines = ["[Term]", f"id: {term} ! x"]
        lines += [f'name: {escaped(known.names[term])} {{by="z", at="x ! y"}} ! a comment']
        lines += ['def: "Said to be\\nis_a: CL:0000100 ! no." [PMID:1, "x \\] y"]']
        lines += ["! is_a: CL:0000101", 'synonym: "is_a: CL:0000102" EXACT []']
        lines += [f"alt_id: {old[term]}"] if term in old else []
        for parent in known.parents[term]:
            lines.append(f'is_a: {parent} {{source="PMID:1", is_inferred="true"}} ! it is')
        lines += ["relationship: part_of CL:0000103", "is_obsolete: false ! not yet", ""]
        stanzas.append("\n".join(lines))
    stanzas.append("[Typedef]\nid: part_of\nname: part of\nis_a: overlaps\nalt_id: CL:0000010\n")
    stanzas.append("[Instance]\nid: CL:0000011\nname: no term\ninstance_of: CL:0000000\n")
    path.write_bytes("\n".join(stanzas).replace("\n", newline).encode())
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_cell_ontology_as_obo(tmp_path: Path, packaged: Ontology, newline: str) -> None:
    found = read_ontology(write_with_quirks(tmp_path / "cl.obo", packaged, newline))
    assert found.names == packaged.names and found.parents == packaged.parents
    assert found.replacements and all(
        found.find(gone) == packaged.find(gone) for gone in found.replacements
    )


def test_common_ancestors_in_the_cell_ontology(packaged: Ontology) -> None:
    """The most specific common ancestor of two labels, found by going through all terms."""
    labels = sorted(packaged.names)[400:3_000:173]
    backoff = BackoffTerms.of(packaged, labels)
    lineages = [packaged.lineage(label) for label in labels]
    below = Counter(above for term in packaged.names for above in packaged.lineage(term))
    for first, second in combinations(range(0, len(labels), 3), 2):
        common = lineages[first] & lineages[second]
        covered = {term: sum(term in lineage for lineage in lineages) for term in common}
        candidates = [t for t in common if covered[t] < len(labels) and packaged.parents[t]]
        wanted = min(candidates, key=lambda t: (covered[t], below[t], t), default=None)
        probability = np.zeros((1, len(labels)), np.float32)
        probability[0, [first, second]] = 0.6, 0.4
        [number] = backoff.back_off(probability, np.array([first]), 0.9)
        assert (None if number < 0 else backoff.candidates[number]) == wanted


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
