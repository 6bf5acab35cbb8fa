"""An ontology of the Cell Ontology's size, written with the quirks of its OBO file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CELLS, FOREIGN, OBSOLETE = 3_000, 11_800, 200
HEADER = """format-version: 1.4
data-version: cl/releases/2026-11-01/cl.owl
subsetdef: blood_and_immune_upper_slim "a subset"
synonymtypedef: abbreviation "Abbreviation" EXACT
idspace: dce http://purl.org/dc/elements/1.1/
default-namespace: cell
ontology: cl
"""
TYPEDEF = """[Typedef]
id: part_of
name: part of
namespace: external
xref: BFO:0000050
is_transitive: true
is_a: overlaps ! overlaps
alt_id: CL:0000010
"""
INSTANCE = """[Instance]
id: CL:0000011
name: no term at all
instance_of: CL:0000000
"""


@dataclass
class Large:
    """What the file says: ``names``, direct ``parents``, and where other ids lead."""

    names: dict[str, str] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    obsolete: list[str] = field(default_factory=list)
    lineages: dict[str, set[str]] = field(default_factory=dict)

    def lineage(self, term: str) -> set[str]:
        """The term and all above it; each term's is worked out once."""
        if term not in self.lineages:
            above = [self.lineage(parent) for parent in self.parents[term]]
            self.lineages[term] = {term}.union(*above)
        return self.lineages[term]


def cell(number: int) -> str:
    """The id of a cell type."""
    return f"CL:{number:07}"


def foreign(number: int) -> str:
    """The id of a term that CL imports."""
    return f"{('UBERON', 'GO')[number % 2]}:{number:07}"


def invented(seed: int = 0) -> Large:
    """Terms of which each has one to three parents made before it."""
    random = np.random.default_rng(seed)
    large = Large()
    for count, name_of, told in ((CELLS, cell, "cell"), (FOREIGN, foreign, "part")):
        for number in range(count):
            term = name_of(number + 100)
            large.names[term] = f"{told} {number}, CD4-positive: {{alpha-beta}} ! of \\ lineage"
            wanted = min(number, int(random.integers(1, 4)))
            earlier = {int(one) for one in random.integers(number // 8, max(number, 1), wanted)}
            large.parents[term] = [name_of(one + 100) for one in sorted(earlier)]
    for number in range(OBSOLETE):
        term = cell(9_000_000 + number)
        large.obsolete.append(term)
        if number % 2:
            large.others[term] = cell(100 + number)
        large.others[cell(8_000_000 + number)] = cell(150 + number)
    return large


def escaped(text: str) -> str:
    """A name as OBO writes it."""
    for letter in "\\!{}:,":
        text = text.replace(letter, "\\" + letter)
    return text


def stanzas(large: Large) -> Iterator[str]:
    """All of them; the foreign ones first, as what a term is a kind of may come later."""
    alternative = {new: old for old, new in large.others.items() if old.startswith("CL:8")}
    for term in sorted(large.names, reverse=True):
        name = large.names[term]
        lines = [
            f"id: {term} ! {name[:4]}",
            f'name: {escaped(name)} {{comment="x ! y", by="z"}} ! a comment',
        ]
        lines += ['def: "Is \\"said\\" to be\\nis_a: CL:0000100 ! no." [PMID:1, "x \\] y"]']
        lines += ["! is_a: CL:0000101", 'synonym: "is_a: CL:0000102" EXACT []', "subset: x"]
        lines += [f"alt_id: {alternative[term]}"] if term in alternative else []
        for parent in large.parents[term]:
            lines.append(f'is_a: {parent} {{source="PMID:1", is_inferred="true"}} ! {parent} is')
        lines += ["relationship: part_of CL:0000103 ! not a kind of", "intersection_of: CL:0000104"]
        lines += ["disjoint_from: CL:0000105", "is_obsolete: false ! not yet"]
        yield "\n".join(["[Term]", *lines, ""])
    for term in large.obsolete:
        lines = [f"id: {term}", "name: obsolete", "is_obsolete: true ! gone"]
        lines += [f"replaced_by: {large.others[term]} ! see"] if term in large.others else []
        lines += ["consider: CL:0000100"]
        yield "\n".join(["[Term]", *lines, ""])
    yield TYPEDEF
    yield INSTANCE


def write(path: Path, large: Large, newline: str = "\n") -> Path:
    """As a file."""
    path.write_bytes("\n".join([HEADER, *stanzas(large)]).replace("\n", newline).encode())
    return path
