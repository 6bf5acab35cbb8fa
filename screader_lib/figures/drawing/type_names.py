"""Names of cell types and methods as they are printed in a figure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MAX_LENGTH = 40
LEFT_TO_RIGHT = "\u200e"
DIRECTIONS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

# Methods as uns/method names them, and their titles in figures and tables.
METHODS = {
    "screader": "scReader",
    "screader-random": "scReader, LLM randomly initialised",
    "pooled": "scReader without the LLM",
    "genept": "GenePT with a projector",
    "genept-w": "GenePT-w with logistic regression",
    "genept-w-knn": "GenePT-w with nearest neighbours",
    "genept-s": "GenePT-s with logistic regression",
    "genept-s-knn": "GenePT-s with nearest neighbours",
    "logistic": "logistic regression on log counts",
    "components": "logistic regression on components",
    "few-labels": "few labels with unlabelled cells",
    "majority": "majority",
    "examples": "labels from examples",
    "types": "types by markers and texts",
}


def method_title(method: str) -> str:
    """The title of a method in figures and tables."""
    return METHODS.get(method, one_line(method) or "reader")


def one_line(name: str) -> str:
    """``name`` without control characters, which neither SVG nor PDF can hold.

    Characters that change the direction of the text around them are removed as well.
    """
    visible = "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cs", "Co", "Cn") else letter
        for letter in name
        if letter not in DIRECTIONS
    )
    return " ".join(visible.split())


def with_number(name: str, number: str, *, before: bool = False) -> str:
    """A name and its number in one line, in this order whichever way the name is written."""
    parts = [number, name] if before else [name, number]
    if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in name):
        return LEFT_TO_RIGHT + f"  {LEFT_TO_RIGHT}".join(parts)
    return "  ".join(parts)


def display_names(names: Sequence[str], max_length: int = MAX_LENGTH) -> dict[str, str]:
    """Each name → how it is printed: one line of about ``max_length`` at most, all distinct."""
    result: dict[str, str] = {}
    for name in names:
        short = _shortened(one_line(name), max_length) or "(no name)"
        unique, number = short, 2
        while unique in result.values():
            unique, number = f"{short} [{number}]", number + 1
        result[name] = unique
    return result


def _shortened(name: str, max_length: int) -> str:
    if len(name) <= max_length:
        return name
    head = (max_length - 1) * 2 // 3
    return f"{name[:head].rstrip()}…{name[len(name) - (max_length - 1 - head) :].lstrip()}"
