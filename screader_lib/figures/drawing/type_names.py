"""Names of types as they are printed in a picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MOST_LETTERS = 40
LEFT_TO_RIGHT = "\u200e"
DIRECTIONS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

# Methods as uns/method names them, and how a reader of the picture knows them.
METHODS = {
    "screader": "scReader",
    "screader-random": "scReader, random LLM",
    "genept": "GenePT",
    "genept-w": "GenePT-w + logistic regression",
    "genept-w-knn": "GenePT-w + nearest neighbours",
    "genept-s": "GenePT-s + logistic regression",
    "genept-s-knn": "GenePT-s + nearest neighbours",
    "logistic": "logistic regression on counts",
    "majority": "majority",
    "pooled": "scReader without an LLM",
}


def method_title(method: str) -> str:
    """The printed name of a method."""
    return METHODS.get(method, cleaned(method) or "reader")


def cleaned(name: str) -> str:
    """One line without control characters, which neither SVG nor PDF can hold.

    Nor with those that turn the direction of the text around a name.
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


def _shortened(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    head = (most - 1) * 2 // 3
    return f"{name[:head].rstrip()}…{name[len(name) - (most - 1 - head) :].lstrip()}"


def printed(names: Sequence[str], most: int = MOST_LETTERS) -> dict[str, str]:
    """Each name → how it is printed: one line, at most about ``most`` letters, all distinct."""
    result: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        short = _shortened(cleaned(name), most) or "(no name)"
        number = 2
        unique = short
        while unique in taken:
            unique = f"{short} [{number}]"
            number += 1
        taken.add(unique)
        result[name] = unique
    return result
