"""An ontology's terms and what they are kinds of: the packaged Cell Ontology, or an OBO file.

The Cell Ontology comes in the package cellxgene-ontology-guide (MIT), of which only the data file
is read. OBO flat file format 1.4: stanzas ``[Term]`` with tags ``id``, ``name``, ``is_a``,
``alt_id``, ``is_obsolete`` and ``replaced_by``; other stanzas and tags are skipped. What a term is
part of, or develops from (``relationship``), is not what it is a kind of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.option_values import PACKAGED

PACKAGE = "cellxgene-ontology-guide"
PACKAGE_FILES = "cellxgene_ontology_guide/data"
COMPRESSED_JSON = ".json.zst"
MAX_LINE = 1 << 20  # characters
TAGS = ("id", "name", "is_a", "alt_id", "is_obsolete", "replaced_by")
ESCAPES = {"n": " ", "t": " ", "W": " "}  # a name stays on its line
MODIFIER = r'[\w:.-]+\s*=\s*"(?:\\.|[^"\\])*"'
PIECE = re.compile(
    r"\\(?P<escaped>.)"
    rf"|(?P<end>\s!.*|\{{{MODIFIER}(?:\s*,\s*{MODIFIER})*\}}\s*(?:!.*)?)$"
    r"|(?P<plain>[^\\\s{]+|.)"
)

Stanza = dict[str, list[str]]


@dataclass
class Ontology:
    """Terms by id: their ``names``, and ``parents``, the terms that each is a kind of.

    ``replacements`` leads from alternative and replaced ids to the terms that stand for them.
    ``synonyms`` and ``definitions`` are read of the packaged ontology only.
    """

    names: dict[str, str] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    replacements: dict[str, str] = field(default_factory=dict)
    synonyms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)

    def find(self, identifier: str) -> str | None:
        """The term of an id, also as ``CL_0000169`` or a web address that ends so; else None."""
        if identifier in self.names:
            return identifier
        last = identifier.strip().rpartition("/")[2]
        term = last if ":" in last else last.replace("_", ":", 1)
        seen: set[str] = set()
        while term not in self.names and term in self.replacements and term not in seen:
            seen.add(term)
            term = self.replacements[term]
        return term if term in self.names else None

    def lineage(self, term: str) -> set[str]:
        """The term and all that it is a kind of."""
        reached, waiting = {term}, [term]
        while waiting:
            above = set(self.parents.get(waiting.pop(), ())) - reached
            reached |= above
            waiting.extend(above)
        return reached


def locate_ontology(name: str) -> str:
    """The path of the packaged Cell Ontology for ``packaged``; other names as they are.

    ScReaderError where the package is not installed.
    """
    if name != PACKAGED:
        return name
    try:
        folder = Path(str(distribution(PACKAGE).locate_file(PACKAGE_FILES)))
        return str(max(folder.glob(f"CL-ontology-*{COMPRESSED_JSON}")))  # named by date
    except (PackageNotFoundError, ValueError):
        raise ScReaderError(
            f"the Cell Ontology is not installed (package {PACKAGE}).",
            remedy="pip install 'screader-suite[ontology]', or give its file, cl.obo.",
        ) from None


def read_ontology(path: Path, name: object = None) -> Ontology:
    """The terms that are not obsolete, of an OBO file or of the packaged Cell Ontology.

    ScReaderError, in one line naming ``name`` or the path, where the file is neither, or where a
    term is a kind of itself by way of others.
    """
    file = path if name is None else name
    if path.name.endswith(COMPRESSED_JSON):
        return _read_packaged(path)
    ontology = Ontology()
    parents: dict[str, list[str]] = {}
    for number, stanza in enumerate(_read_terms(path, file), 1):
        term = stanza.get("id", [""])[0]
        if not term:
            raise ScReaderError(
                f"[Term] {number} has no id.", file=file, remedy="Give an intact OBO file."
            )
        if stanza.get("is_obsolete", [""])[0] == "true":
            if "replaced_by" in stanza:
                ontology.replacements[term] = stanza["replaced_by"][0]
            continue
        ontology.names.setdefault(term, stanza.get("name", [term])[0])
        parents.setdefault(term, []).extend(stanza.get("is_a", []))
        for other in stanza.get("alt_id", []):
            ontology.replacements.setdefault(other, term)
    if not ontology.names:
        raise ScReaderError(
            "has no [Term]; an ontology in OBO format is needed.",
            file=file,
            remedy="Give the cl.obo of the Cell Ontology.",
        )
    for term, above in parents.items():
        known = (ontology.find(parent) for parent in above)
        ontology.parents[term] = tuple(dict.fromkeys(parent for parent in known if parent))
    try:
        TopologicalSorter(ontology.parents).prepare()
    except CycleError as error:
        raise ScReaderError(
            f"{min(error.args[1])} is a kind of itself (a cycle of is_a).",
            file=file,
            remedy="Give an intact ontology.",
        ) from None
    return ontology


def _read_packaged(path: Path) -> Ontology:
    """From zstandard-compressed JSON: id → label, deprecated, replaced_by, ancestor → distance."""
    import zstandard

    with path.open("rb") as stream:
        content = json.load(zstandard.ZstdDecompressor().stream_reader(stream))
    ontology = Ontology()
    for term, entry in content.items():
        if entry["deprecated"]:
            if "replaced_by" in entry:
                ontology.replacements[term] = entry["replaced_by"]
            continue
        ontology.names[term] = entry["label"]
        ontology.synonyms[term] = tuple(entry.get("synonyms", ()))
        ontology.definitions[term] = entry.get("description", "")
        distances = entry["ancestors"]  # the parents' is 1, but 3 and more across other ontologies
        nearest = min(distances.values(), default=0)
        ontology.parents[term] = tuple(
            t for t, distance in distances.items() if distance == nearest
        )
    return ontology


def _read_terms(path: Path, file: object) -> list[Stanza]:
    """The ``TAGS`` of each ``[Term]``; those before the first stanza, or of others, are dropped."""
    terms: list[Stanza] = []
    stanza: Stanza = {}
    for line in _lines(path, file):
        if line.startswith("["):
            stanza = {}
            if line == "[Term]":
                terms.append(stanza)
        tag, _, value = line.partition(":")
        if tag in TAGS:
            stanza.setdefault(tag, []).append(_value(tag, value))
    return terms


def _value(tag: str, value: str) -> str:
    """A tag's value, unescaped, without trailing modifiers and comment."""
    text = value.strip() if tag == "name" else next(iter(value.split()), "")
    pieces: list[str] = []
    for piece in PIECE.finditer(text):
        if piece["end"]:
            break
        escaped = piece["escaped"]
        pieces.append(piece["plain"] if escaped is None else ESCAPES.get(escaped, escaped))
    return "".join(pieces).strip()


def _lines(path: Path, file: object) -> Iterator[str]:
    """Lines; one that ends in a backslash continues on the next."""
    line = ""
    with path.open(encoding="utf-8-sig") as stream:
        try:
            while part := stream.readline(MAX_LINE + 1):
                part = part.rstrip("\n")
                is_continued = (len(part) - len(part.rstrip("\\"))) % 2
                line += part[: len(part) - is_continued]
                if len(line) > MAX_LINE:
                    raise ScReaderError(
                        f"has a line longer than {MAX_LINE:,} characters; an OBO file is needed.",
                        file=file,
                    )
                if not is_continued:
                    yield line.strip()
                    line = ""
        except UnicodeDecodeError:
            raise ScReaderError(
                "is not UTF-8; an OBO file in plain text is needed.", file=file
            ) from None
    yield line.strip()
