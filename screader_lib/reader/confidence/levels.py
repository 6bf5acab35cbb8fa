"""Broad types above a reader's labels, level by level, from the Cell Ontology.

Only terms that CELLxGENE lists as cell classes and subclasses are used: the Cell Ontology has many
others, such as "motile cell", that nobody asks for. A level groups labels, and each group of a
level is within one group of the level above.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.option_values import PACKAGED
from screader_lib.reader.confidence.ontology import (
    PACKAGE,
    PACKAGE_FILES,
    Ontology,
    locate_ontology,
    read_ontology,
)

Group = tuple[frozenset[int], tuple[str, str]]  # label numbers, and the term's name and id
LISTS = ("cell_class_list.json", "cell_subclass_list.json")


@dataclass(frozen=True)
class Level:
    """For each of a reader's labels the ``names`` and Cell Ontology ``ids`` of its group."""

    names: tuple[str, ...]
    ids: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, each once, in the order of the labels."""
        return tuple(dict.fromkeys(self.names))

    def sums(self, probability: np.ndarray) -> np.ndarray:
        """Probabilities (cells, labels) added up by group, float32 (cells, groups)."""
        group_of = {name: number for number, name in enumerate(self.groups)}
        covers = np.zeros((len(self.names), len(group_of)))
        covers[np.arange(len(self.names)), [group_of[name] for name in self.names]] = 1
        return (probability.astype(np.float64) @ covers).astype(np.float32)


def levels_to_json(levels: Sequence[Level]) -> dict[str, Any]:
    """For the reader file."""
    return {"levels": [{"names": level.names, "ids": level.ids} for level in levels]}


def levels_from_json(content: dict[str, Any]) -> tuple[Level, ...]:
    """From a reader file."""
    return tuple(Level(tuple(one["names"]), tuple(one["ids"])) for one in content.get("levels", ()))


def packaged_levels(names: Sequence[str], ids: Sequence[str]) -> tuple[Level, ...]:
    """The levels of labels with these Cell Ontology ids; none where the ontology is missing."""
    try:
        folder = Path(str(distribution(PACKAGE).locate_file(PACKAGE_FILES)))
        ontology = read_ontology(Path(locate_ontology(PACKAGED)))
        terms = [term for name in LISTS for term in json.loads((folder / name).read_text())]
    except (PackageNotFoundError, ScReaderError, OSError, ImportError):
        return ()
    return levels_of(names, ids, ontology, terms)


def levels_of(
    names: Sequence[str], ids: Sequence[str], ontology: Ontology, broad_terms: Iterable[str]
) -> tuple[Level, ...]:
    """Levels from the broadest to the finest above the labels themselves.

    Each splits the groups of the one before it: a group's labels are divided among the
    ``broad_terms`` that some of them are kinds of, the term with the most labels first. A label
    that is under none stays a group of its own.
    """
    found = [ontology.find(one) if one else None for one in ids]
    lineages = [ontology.lineage(term) if term else set[str]() for term in found]
    members = {
        term: frozenset(number for number, lineage in enumerate(lineages) if term in lineage)
        for term in dict.fromkeys(broad_terms)
        if term in ontology.names
    }
    ranked = sorted(members, key=lambda term: (-len(members[term]), -len(ontology.lineage(term))))
    own = tuple(zip(names, ids, strict=True))
    groups: list[Group] = [(frozenset(range(len(names))), ("", ""))]
    levels: list[Level] = []
    while True:
        parts: list[Group] = []
        for labels, _ in groups:
            left = labels
            for term in ranked:
                inside = members[term]
                if len(inside) > 1 and inside < labels and inside <= left:
                    parts.append((inside, (ontology.names[term], term)))
                    left -= inside
            parts += [(frozenset([number]), own[number]) for number in left]
        groups = parts
        if len(groups) == len(names):
            return tuple(levels)
        term_of = {number: term for labels, term in groups for number in labels}
        chosen = [term_of[number] for number in range(len(names))]
        levels.append(Level(*(tuple(column) for column in zip(*chosen, strict=True))))
