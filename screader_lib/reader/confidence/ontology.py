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
from typing import BinaryIO

from screader_lib.errors import ScReaderError
from screader_lib.option_values import PACKAGED

PACKAGE = "cellxgene-ontology-guide"
PACKAGE_FILES = "cellxgene_ontology_guide/data"
COMPRESSED_JSON = ".json.zst"
MAX_LINE = 1 << 20  # bytes
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
    """

    names: dict[str, str] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    replacements: dict[str, str] = field(default_factory=dict)

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
        return _reachable(term, self.parents)

    def children(self) -> dict[str, tuple[str, ...]]:
        """The terms directly below each term that has any."""
        below: dict[str, list[str]] = {}
        for term, parents in self.parents.items():
            for parent in parents:
                below.setdefault(parent, []).append(term)
        return {term: tuple(terms) for term, terms in below.items()}


def _reachable(start: str, edges: dict[str, tuple[str, ...]]) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        for term in edges.get(waiting.pop(), ()):
            if term not in reached:
                reached.add(term)
                waiting.append(term)
    return reached


def count_descendants(term: str, children: dict[str, tuple[str, ...]]) -> int:
    """How many terms are kinds of ``term``, itself among them; see Ontology.children."""
    return len(_reachable(term, children))


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
    with path.open("rb") as stream:
        for stanza in _stanzas(stream, file):
            _add_term(ontology, parents, stanza)
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
        distances = entry["ancestors"]  # the parents' is 1, but 3 and more across other ontologies
        nearest = min(distances.values(), default=0)
        ontology.parents[term] = tuple(
            t for t, distance in distances.items() if distance == nearest
        )
    return ontology


def _add_term(ontology: Ontology, parents: dict[str, list[str]], stanza: Stanza) -> None:
    term = stanza["id"][0]
    if stanza.get("is_obsolete", [""])[0] == "true":
        for other in stanza.get("replaced_by", [])[:1]:
            ontology.replacements[term] = other
        return
    ontology.names.setdefault(term, stanza.get("name", [term])[0])
    parents.setdefault(term, []).extend(stanza.get("is_a", []))
    for other in stanza.get("alt_id", []):
        ontology.replacements.setdefault(other, term)


def _stanzas(stream: BinaryIO, file: object) -> Iterator[Stanza]:
    """The ``TAGS`` of each ``[Term]``."""
    stanza: Stanza | None = None
    first = 0

    def finished() -> Iterator[Stanza]:
        if stanza is not None:
            if not stanza.get("id", [""])[0]:
                raise ScReaderError(
                    f"line {first}: a [Term] has no id.",
                    file=file,
                    remedy="Give an intact OBO file.",
                )
            yield stanza

    for number, line in _lines(stream, file):
        if line.startswith("["):
            yield from finished()
            stanza, first = ({} if line == "[Term]" else None), number
        elif stanza is not None:
            tag, colon, value = line.partition(":")
            if colon and tag in TAGS:
                stanza.setdefault(tag, []).append(_value(tag, value))
    yield from finished()


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


def _lines(stream: BinaryIO, file: object) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that ends in a backslash continues on the next."""
    number, before = 0, ""
    while raw := stream.readline(MAX_LINE + 1):
        number += 1
        if len(raw) + len(before) > MAX_LINE:
            raise ScReaderError(
                f"line {number} is longer than {MAX_LINE:,} bytes; an OBO file is needed.",
                file=file,
            )
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ScReaderError(
                f"line {number} is not UTF-8; an OBO file in plain text is needed.", file=file
            ) from None
        if (len(line) - len(line.rstrip("\\"))) % 2:
            before += line[:-1]
            continue
        yield number, (before + line).strip()
        before = ""
    if before:
        yield number, before.strip()
