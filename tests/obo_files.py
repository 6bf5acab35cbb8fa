"""A part of the Cell Ontology as an OBO file."""

from __future__ import annotations

from pathlib import Path

CELL, EUKARYOTIC, EPITHELIAL = "CL:0000000", "CL:0000255", "CL:0000066"
ENDOCRINE, PANCREATIC, INSULIN = "CL:0000163", "CL:0008024", "CL:0000168"
ALPHA, BETA, DELTA = "CL:0000171", "CL:0000169", "CL:0000173"
ACINAR, ENDOTHELIAL = "CL:0002064", "CL:0000115"
TERMS: dict[str, tuple[str, list[str]]] = {  # a part of the Cell Ontology around the pancreas
    CELL: ("cell", []),
    EUKARYOTIC: ("eukaryotic cell", [CELL]),
    EPITHELIAL: ("epithelial cell", [EUKARYOTIC]),
    ENDOCRINE: ("endocrine cell", [EPITHELIAL]),
    PANCREATIC: ("pancreatic endocrine cell", [ENDOCRINE]),
    INSULIN: ("insulin secreting cell", [EUKARYOTIC]),
    ALPHA: ("pancreatic A cell", [PANCREATIC]),
    BETA: ("type B pancreatic cell", [INSULIN, PANCREATIC]),
    DELTA: ("pancreatic D cell", [PANCREATIC]),
    ACINAR: ("pancreatic acinar cell", [EPITHELIAL]),
    ENDOTHELIAL: ("endothelial cell", [EUKARYOTIC]),
}


def stanza(*lines: str, kind: str = "Term") -> str:
    return "\n".join([f"[{kind}]", *lines, "", ""])


def gone(term: str, *lines: str) -> str:
    return stanza(f"id: {term}", "name: an old name", "is_obsolete: true", *lines)


def write_obo(path: Path, *more: str, newline: str = "\n") -> Path:
    """The terms as OBO, with what real files have: comments, modifiers, other tags and stanzas."""
    stanzas = ["format-version: 1.4\nidspace: dce http://purl.org/dc/elements/1.1/\n\n"]
    for term, (name, parents) in TERMS.items():
        lines = [f"id: {term} ! x", f'name: {name} {{by="z", at="x ! y"}} ! a comment']
        lines += [f'def: "Said to be\\nis_a: {ACINAR} ! no." [PMID:1, "x \\] y"]']
        lines += [f"! is_a: {ACINAR}", f'synonym: "is_a: {ACINAR}" EXACT []']
        lines += ["alt_id: CL:9999999"] if term == ALPHA else []
        lines += [f'is_a: {parent} {{source="x"}} ! {TERMS[parent][0]}' for parent in parents]
        lines += [f"relationship: part_of {ACINAR}", "is_obsolete: false ! not yet"]
        stanzas.append(stanza(*lines))
    stanzas += [gone("CL:0000001", f"replaced_by: {BETA}"), gone("CL:0000002")]
    stanzas += [stanza("id: part_of", "name: part of", "is_a: part_of", kind="Typedef"), *more]
    path.write_bytes("".join(stanzas).replace("\n", newline).encode())
    return path
