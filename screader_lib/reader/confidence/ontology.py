"""An ontology's terms and what they are kinds of, from an OBO file.

OBO flat file format 1.4: stanzas ``[Term]`` with tags ``id``, ``name``, ``is_a``, ``alt_id``,
``is_obsolete`` and ``replaced_by``; other stanzas and tags are passed over. What a term is part
of, or develops from (``relationship``), is no kind of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from screader_lib.errors import ScReaderError

LONGEST_LINE = 1 << 20  # bytes
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

    ``others`` leads from alternative and replaced ids to the terms that stand for them.
    """

    names: dict[str, str] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def find(self, identifier: str) -> str | None:
        """The term of an id, also as ``CL_0000169`` or a web address that ends so; else None."""
        if identifier in self.names:
            return identifier
        last = identifier.strip().rpartition("/")[2]
        term = last if ":" in last else last.replace("_", ":", 1)
        met: set[str] = set()
        while term not in self.names and term in self.others and term not in met:
            met.add(term)
            term = self.others[term]
        return term if term in self.names else None

    def lineage(self, term: str) -> set[str]:
        """The term and all that it is a kind of."""
        return _reached(term, self.parents)

    def kinds(self) -> dict[str, tuple[str, ...]]:
        """The terms directly below each term that has any."""
        below: dict[str, list[str]] = {}
        for term, parents in self.parents.items():
            for parent in parents:
                below.setdefault(parent, []).append(term)
        return {term: tuple(found) for term, found in below.items()}


def _reached(start: str, edges: dict[str, tuple[str, ...]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        for term in edges.get(waiting.pop(), ()):
            if term not in found:
                found.add(term)
                waiting.append(term)
    return found


def count_below(term: str, kinds: dict[str, tuple[str, ...]]) -> int:
    """How many terms are kinds of ``term``, itself among them; ``kinds`` as Ontology gives it."""
    return len(_reached(term, kinds))


def read_ontology(path: Path, name: object = None) -> Ontology:
    """The terms of an OBO file that are not obsolete.

    ScReaderError, in one line naming ``name`` or the path, where it is none, or where a term is a
    kind of itself by way of others.
    """
    shown = path if name is None else name
    found = Ontology()
    parents: dict[str, list[str]] = {}
    with path.open("rb") as stream:
        for stanza in _stanzas(stream, shown):
            _take(found, parents, stanza)
    if not found.names:
        raise ScReaderError(
            "holds no [Term], wanted an ontology in OBO format.",
            file=shown,
            remedy="Give the cl.obo of the Cell Ontology.",
        )
    for term, above in parents.items():
        known = (found.find(parent) for parent in above)
        found.parents[term] = tuple(dict.fromkeys(p for p in known if p))
    _check_no_cycle(found, shown)
    return found


def _take(found: Ontology, parents: dict[str, list[str]], stanza: Stanza) -> None:
    term = stanza["id"][0]
    if stanza.get("is_obsolete", [""])[0] == "true":
        for other in stanza.get("replaced_by", [])[:1]:
            found.others[term] = other
        return
    found.names.setdefault(term, stanza.get("name", [term])[0])
    parents.setdefault(term, []).extend(stanza.get("is_a", []))
    for other in stanza.get("alt_id", []):
        found.others.setdefault(other, term)


def _stanzas(stream: BinaryIO, shown: object) -> Iterator[Stanza]:
    """The wanted tags of each ``[Term]``."""
    stanza: Stanza | None = None
    first = number = 0
    for number, line in _lines(stream, shown):
        if line.startswith("["):
            yield from _finished(stanza, first, shown)
            stanza, first = ({} if line == "[Term]" else None), number
        elif stanza is not None:
            tag, colon, value = line.partition(":")
            if colon and tag in TAGS:
                stanza.setdefault(tag, []).append(_value(tag, value))
    yield from _finished(stanza, first, shown)


def _finished(stanza: Stanza | None, line: int, shown: object) -> Iterator[Stanza]:
    if stanza is None:
        return
    if not stanza.get("id", [""])[0]:
        raise ScReaderError(
            f"line {line}: a [Term] has no id.", file=shown, remedy="Give an intact OBO file."
        )
    yield stanza


def _value(tag: str, value: str) -> str:
    """A tag's value without trailing modifiers and comment, what is escaped read as it is."""
    text = value.strip() if tag == "name" else next(iter(value.split()), "")
    found: list[str] = []
    for piece in PIECE.finditer(text):
        if piece["end"]:
            break
        escaped = piece["escaped"]
        found.append(piece["plain"] if escaped is None else ESCAPES.get(escaped, escaped))
    return "".join(found).strip()


def _lines(stream: BinaryIO, shown: object) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that ends in an escaped line break goes on in the next."""
    number, before = 0, ""
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) + len(before) > LONGEST_LINE:
            raise ScReaderError(
                f"line {number} is longer than {LONGEST_LINE:,} bytes, wanted an OBO file.",
                file=shown,
            )
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ScReaderError(
                f"line {number} is not UTF-8, wanted an OBO file as plain text.", file=shown
            ) from None
        if (len(line) - len(line.rstrip("\\"))) % 2:
            before += line[:-1]
            continue
        yield number, (before + line).strip()
        before = ""
    if before:
        yield number, before.strip()


def _check_no_cycle(found: Ontology, shown: object) -> None:
    """ScReaderError where terms are kinds of each other; Kahn's algorithm."""
    left = {term: len(parents) for term, parents in found.parents.items()}
    ready = [term for term, count in left.items() if not count]
    kinds = found.kinds()
    while ready:
        for term in kinds.get(ready.pop(), ()):
            left[term] -= 1
            if not left[term]:
                ready.append(term)
    stuck = min((term for term, count in left.items() if count), default=None)
    if stuck is not None:
        raise ScReaderError(
            f"{stuck} or a term above it is a kind of itself (is_a goes round in a circle).",
            file=shown,
            remedy="Give an intact ontology.",
        )
