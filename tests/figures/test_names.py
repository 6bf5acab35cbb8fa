"""Type names as they are printed."""

from __future__ import annotations

import pytest

from screader_lib.figures.drawing.type_names import (
    MOST_LETTERS,
    cleaned,
    method_title,
    printed,
    with_number,
)


def test_short_names_stay() -> None:
    assert printed(["alpha", "γδ T cell", "膵島"]) == {
        "alpha": "alpha",
        "γδ T cell": "γδ T cell",
        "膵島": "膵島",
    }


def test_long_names_are_shortened_and_stay_apart() -> None:
    names = [f"{'very ' * 40}long {number} {'tail ' * 20}" for number in range(5)]
    shown = printed(names)
    assert len(set(shown.values())) == 5
    assert all(len(name) <= MOST_LETTERS + 4 for name in shown.values())
    assert all("…" in name for name in shown.values())


@pytest.mark.parametrize("name", ["", "\0", "\n\t", "\ud800"])
def test_names_of_nothing_are_shown_as_such(name: str) -> None:
    assert printed([name])[name] == "(no name)"


def test_control_characters_become_spaces() -> None:
    assert cleaned("a\x1b[31mb\nc") == "a [31mb c"


def test_a_name_cannot_turn_the_text_around_it() -> None:
    assert cleaned("a\u202eb\u2066c\u200f") == "abc"


@pytest.mark.parametrize(
    ("name", "marked"), [("beta", False), ("خلية", True), ("תא T", True), ("膵島", False)]
)
def test_a_number_stays_on_its_side(name: str, marked: bool) -> None:
    for before, words in ((True, ["7", *name.split()]), (False, [*name.split(), "7"])):
        line = with_number(name, "7", before=before)
        assert cleaned(line).split() == words
        assert line.startswith("\u200e") is marked


def test_methods_are_known_by_their_titles() -> None:
    assert method_title("screader") == "scReader"
    assert method_title("someone's own") == "someone's own"
