"""Pictures as files: formats, sameness, numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.figures.drawing.canvas import (
    FORMATS,
    Numbers,
    Picture,
    Style,
    colour_map,
    drawing,
    new_figure,
)
from screader_lib.figures.drawing.plotting_packages import need

BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def drawn(title: str = "") -> Picture:
    with drawing():
        figure = new_figure(Style(title=title), (3, 2))
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1])
        axis.set_xlabel("γδ <T> & cell")
    return Picture(figure, Numbers(("a",), []), "A line.")


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_bytes_every_time(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn().render(form, 80)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert first.startswith(BEGINNINGS[form])
    assert drawn().render(form, 80) == first
    assert b"Matplotlib" not in first
    assert not re.search(rb"CreationDate|<dc:date>", first)


def test_a_users_own_settings_change_nothing() -> None:
    first = drawn().render("png", 80)
    matplotlib = need("matplotlib")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20}):
        assert drawn().render("png", 80) == first


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("title", ["$\\frac{", "膵島 ☃ \U0001f9ec", "<script>&amp;", "x" * 400])
def test_any_title_is_drawn(form: str, title: str) -> None:
    assert drawn(title).render(form, 40)


@pytest.mark.parametrize("form", FORMATS)
def test_letters_that_no_font_has_are_told(form: str, tmp_path: Path) -> None:
    assert drawn("plain βeta $x$").write(tmp_path / "a", form, 40) == ""
    missing = drawn("cell \U00012000\U000e0101").write(tmp_path / "b", form, 40)
    assert "\U00012000" in missing and "c" not in missing


def test_the_alternative_text_is_in_the_file() -> None:
    assert b"A line." in drawn().render("png", 40)
    assert b"<title>A line.</title>" in drawn().render("svg", 40)


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(ScReaderError, match="30,000 × 20,000 pixels"):
        drawn().render("png", 10_000)


def test_numbers_are_a_table(tmp_path: Path) -> None:
    path = tmp_path / "n.tsv"
    Numbers(("name", "value"), [("a\tb\nc", 1 / 3), ("d", None), ("é", 2)]).write(path)
    assert path.read_text("utf-8") == "name\tvalue\na b c\t0.333333\nd\t\né\t2\n"


def test_an_unknown_colour_map_is_refused() -> None:
    with pytest.raises(ScReaderError, match="no colour map 'nothing'"):
        colour_map("nothing")


def test_a_missing_package_names_what_to_install() -> None:
    with pytest.raises(ScReaderError, match=r"'nowhere'.*pip install 'screader-suite\[plots\]'"):
        need("nowhere.submodule")
