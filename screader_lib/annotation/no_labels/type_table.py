"""The types that a person names: a table, or terms of the Cell Ontology.

Columns of the table: ``type``, and optionally ``ontology_id``, ``markers`` and
``negative_markers``, genes separated by commas, semicolons or spaces, and ``text``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from screader_lib.annotation.clusters import bare_name
from screader_lib.errors import ScReaderError
from screader_lib.genes.text_files import read_table, read_text
from screader_lib.option_values import PACKAGED
from screader_lib.preparation.marker_tables import CellType
from screader_lib.reader.confidence.ontology import Ontology, locate_ontology, read_ontology
from screader_lib.reader.task import Labels
from screader_lib.reporting import SILENT, Reporter

TYPE, ID, MARKERS, NEGATIVE, TEXT = "type", "ontology_id", "markers", "negative_markers", "text"
TERM = re.compile(r"cl:", re.IGNORECASE)
NUMBER = re.compile(r"(?:CL[:_])?(\d{7})$", re.IGNORECASE)
SEPARATORS = re.compile(r"[\s,;|]+")
MOST_TYPES = 1000


@dataclass(frozen=True)
class NamedType:
    """What cells may be called: ``name``, and what is known of it.

    ``synonyms`` are its other names, ``text`` all that is written about it, ``markers`` and
    ``negative_markers`` genes in upper case.
    """

    name: str
    ontology_id: str = ""
    synonyms: tuple[str, ...] = ()
    text: str = ""
    markers: frozenset[str] = frozenset()
    negative_markers: frozenset[str] = frozenset()

    def is_in(self, table: CellType) -> bool:
        """Whether a type of a marker table is this one, by its id or one of the names."""
        if self.ontology_id and table.ontology_id == self.ontology_id:
            return True
        return bare_name(table.name) in self._bare_names

    def is_same(self, other: NamedType) -> bool:
        """Whether another type is this one, by its id or name."""
        if self.ontology_id and other.ontology_id:
            return self.ontology_id == other.ontology_id
        return bare_name(other.name) in self._bare_names

    @cached_property
    def _bare_names(self) -> frozenset[str]:
        return frozenset(bare_name(name) for name in (self.name, *self.synonyms))


def is_term(word: str) -> bool:
    """Whether a word is ``cl:`` with an id or a name, and no file."""
    return TERM.match(word) is not None


def read_types(
    tables: Mapping[str, Path],
    terms: Sequence[str],
    reporter: Reporter = SILENT,
    labels: Labels | None = None,
) -> list[NamedType]:
    """The types of tables, under the names that messages use, and of terms, in this order.

    Those that a reader has among its ``labels`` come last, unless they are named too. What the Cell
    Ontology knows of them is filled in. ScReaderError where a table has no types, a
    term is not known, a type occurs twice, or there are fewer than two.
    """
    types = [one for name, path in tables.items() for one in _read(path, name)]
    types += [NamedType(term[3:].strip(), "", (term,)) for term in terms]
    ontology = _ontology(bool(terms), reporter)
    found = [_filled(one, ontology) for one in types]
    for kind in ("name", "ontology_id"):
        counts = Counter(value for one in found if (value := getattr(one, kind)))
        twice = [value for value, count in counts.items() if count > 1]
        if twice:
            raise ScReaderError(f"type {twice[0]!r} is named twice.", file="--types")
    if labels is not None:
        pairs = zip(labels.names, labels.ontology_ids, strict=True)
        of_reader = (_filled(NamedType(*pair), ontology, is_sure=False) for pair in pairs)
        found += [one for one in of_reader if not any(map(one.is_same, found))]
    if not 2 <= len(found) <= MOST_TYPES:
        raise ScReaderError(
            f"{len(found):,} types are named; from 2 to {MOST_TYPES:,} are compared.",
            file="--types",
            remedy="Name all types that the cells may be of.",
        )
    return found


def _read(path: Path, name: str) -> list[NamedType]:
    rows = read_table(read_text(path, name), name, TYPE)
    types = []
    for number, row in enumerate(rows, 2):
        if None in row:
            raise ScReaderError(
                f"line {number} has more columns than the header.",
                file=name,
                remedy="Genes in a csv are separated by spaces or semicolons, or quoted.",
            )
        values = {key: (value or "").strip() for key, value in row.items()}
        given = values.get(ID, "")
        if not values[TYPE] and any(values.values()):
            raise ScReaderError(f"line {number} has no type.", file=name)
        if given and not NUMBER.match(given):
            raise ScReaderError(
                f"line {number}: {given!r} is not an id of the Cell Ontology, such as CL:0000236.",
                file=name,
            )
        markers, negative = (_genes(values.get(column, "")) for column in (MARKERS, NEGATIVE))
        if markers & negative:
            raise ScReaderError(
                f"{min(markers & negative)} is both a marker and a negative marker of "
                f"{values[TYPE]!r}.",
                file=name,
            )
        if values[TYPE]:
            text = values.get(TEXT, "")
            types.append(NamedType(values[TYPE], given, (), text, markers, negative))
    if not types:
        raise ScReaderError("names no type.", file=name)
    return types


def _genes(listed: str) -> frozenset[str]:
    return frozenset(filter(None, SEPARATORS.split(listed.upper())))


def _ontology(is_needed: bool, reporter: Reporter) -> Ontology | None:
    """The packaged one; None, with a warning, where it is not installed and not needed."""
    try:
        return read_ontology(Path(locate_ontology(PACKAGED)))
    except ScReaderError as error:
        if is_needed:
            raise
        reporter.warning(f"types are identified without their definitions: {error}")
        return None


def _filled(one: NamedType, ontology: Ontology | None, is_sure: bool = True) -> NamedType:
    """``one`` with id, synonyms and text of its term; that of a name only if it is one's alone."""
    term, asked = None, one.synonyms[0] if one.synonyms else ""
    if ontology is not None:
        number = NUMBER.match(one.ontology_id or one.name)
        term = ontology.find(f"CL:{number[1]}") if number else _named(one.name, ontology)
    if term is None or ontology is None:
        if is_sure and ontology is not None and (asked or one.ontology_id):
            raise ScReaderError(
                f"no term of the Cell Ontology is {asked or one.ontology_id!r}.",
                file="--types",
                remedy="Give an id (cl:0000236), a term's name or one of its synonyms.",
            )
        return replace(one, text=f"{one.name}. {one.text}")
    label = ontology.names[term]
    synonyms = (label, *ontology.synonyms.get(term, ()))
    kinds = [ontology.names[parent] for parent in ontology.parents.get(term, ())]
    said = (one.name, *synonyms, one.text, ontology.definitions.get(term, ""), *kinds)
    name = label if asked else one.name
    return replace(one, name=name, ontology_id=term, synonyms=synonyms, text=". ".join(said))


def _named(name: str, ontology: Ontology) -> str | None:
    wanted = bare_name(name)
    found = [term for term in ontology.names if bare_name(ontology.names[term]) == wanted]
    found = found or [
        term for term, others in ontology.synonyms.items() if wanted in map(bare_name, others)
    ]
    return found[0] if len(found) == 1 else None
