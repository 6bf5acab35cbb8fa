"""A small part of the Cell Ontology around the pancreas, written as OBO."""

from __future__ import annotations

from pathlib import Path

CELL, EUKARYOTIC = "CL:0000000", "CL:0000255"
EPITHELIAL, ENDOCRINE, PANCREATIC = "CL:0000066", "CL:0000163", "CL:0008024"
ALPHA, BETA, DELTA, PP = "CL:0000171", "CL:0000169", "CL:0000173", "CL:0002275"
INSULIN, ACINAR, ENDOTHELIAL = "CL:0000168", "CL:0002064", "CL:0000115"

NAMES = {
    CELL: "cell",
    EUKARYOTIC: "eukaryotic cell",
    EPITHELIAL: "epithelial cell",
    ENDOCRINE: "endocrine cell",
    PANCREATIC: "pancreatic endocrine cell",
    INSULIN: "insulin secreting cell",
    ALPHA: "pancreatic A cell",
    BETA: "type B pancreatic cell",
    DELTA: "pancreatic D cell",
    PP: "pancreatic PP cell",
    ACINAR: "pancreatic acinar cell",
    ENDOTHELIAL: "endothelial cell",
}
PARENTS = {
    EUKARYOTIC: [CELL],
    EPITHELIAL: [EUKARYOTIC],
    ENDOCRINE: [EPITHELIAL],
    PANCREATIC: [ENDOCRINE],
    INSULIN: [EUKARYOTIC],
    ALPHA: [PANCREATIC],
    BETA: [INSULIN, PANCREATIC],
    DELTA: [PANCREATIC],
    PP: [PANCREATIC],
    ACINAR: [EPITHELIAL],
    ENDOTHELIAL: [EUKARYOTIC],
}
REST = """
[Term]
id: CL:0000001
name: an old name of the B cell
is_obsolete: true
replaced_by: CL:0000169

[Term]
id: CL:0000002
name: gone for good
is_obsolete: true

[Typedef]
id: part_of
name: part of
is_a: part_of
"""


def write_obo(path: Path, more: str = REST) -> Path:
    """The terms in OBO 1.4."""
    stanzas = ["format-version: 1.2\nontology: small\n"]
    for term, name in NAMES.items():
        lines = ["[Term]", f"id: {term}", f"name: {name}", 'def: "is_a: nothing" [x]']
        lines += [f'is_a: {p} {{source="x"}} ! {NAMES[p]}' for p in PARENTS.get(term, [])]
        lines += ["alt_id: CL:9999999"] if term == ALPHA else []
        stanzas.append("\n".join(lines) + "\n")
    path.write_text("\n".join(stanzas) + more, "utf-8")
    return path
