"""Broad types above labels: nested groups, broadest first, from terms that are listed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from screader_lib.reader.confidence.levels import (
    Level,
    levels_from_json,
    levels_of,
    levels_to_json,
)
from screader_lib.reader.confidence.ontology import Ontology

ONTOLOGY = Ontology(
    names={
        "CL:0": "cell", "CL:1": "leukocyte", "CL:2": "lymphocyte", "CL:3": "T cell",
        "CL:4": "CD4 T", "CL:5": "CD8 T", "CL:6": "B cell", "CL:7": "monocyte",
        "CL:8": "stem cell", "CL:9": "motile cell",
    },
    parents={
        "CL:1": ("CL:9",), "CL:2": ("CL:1",), "CL:3": ("CL:2",), "CL:4": ("CL:3",),
        "CL:5": ("CL:3",), "CL:6": ("CL:2",), "CL:7": ("CL:1",), "CL:8": ("CL:0",),
        "CL:9": ("CL:0",), "CL:0": (),
    },
)  # fmt: skip
NAMES = ("helper", "killer", "B", "mono", "stem", "mystery")
IDS = ("CL:4", "CL:5", "CL:6", "CL:7", "CL:8", "")
BROAD = ("CL:9", "CL:0", "CL:1", "CL:2", "CL:3", "CL:6")


def test_known_levels() -> None:
    """Of two terms with the same labels, the more specific names the group."""
    found = levels_of(NAMES, IDS, ONTOLOGY, BROAD)
    assert [level.groups for level in found] == [
        ("cell", "mystery"),
        ("leukocyte", "stem", "mystery"),
        ("lymphocyte", "mono", "stem", "mystery"),
        ("T cell", "B", "mono", "stem", "mystery"),
    ]
    assert found[1].ids == ("CL:1",) * 4 + ("CL:8", "")
    assert levels_from_json(levels_to_json(found)) == found


def test_each_level_splits_the_one_above() -> None:
    found = levels_of(NAMES, IDS, ONTOLOGY, BROAD)
    for above, below in pairwise(found):
        group_above = dict(zip(below.names, above.names, strict=True))
        assert all(group_above[b] == a for a, b in zip(above.names, below.names, strict=True))


def test_labels_without_terms_have_no_levels() -> None:
    assert levels_of(NAMES[:2], ("", ""), ONTOLOGY, BROAD) == ()


def test_probabilities_add_up() -> None:
    level = Level(("x", "y", "x"), ("", "", ""))
    sums = level.sums(np.array([[0.5, 0.25, 0.25]], np.float32))
    assert level.groups == ("x", "y") and sums.tolist() == [[0.75, 0.25]]
