"""What all pictures share: files, colours, names and labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from screader_lib.errors import ScReaderError
from screader_lib.exchange.schema import load
from screader_lib.figures.drawing import canvas
from screader_lib.figures.drawing.palettes import UNLABELLED, brightened, colours_of, safe_colours
from screader_lib.figures.drawing.point_labels import (
    MAX_LABELS,
    beside,
    central_point,
    without_overlap,
)
from screader_lib.figures.drawing.type_names import (
    MAX_LENGTH,
    display_names,
    method_title,
    one_line,
    with_number,
)
from screader_lib.option_values import METHODS

BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def drawn(title: str = "") -> canvas.Picture:
    with canvas.drawing():
        figure = canvas.new_figure(canvas.Style(title=title), (3, 2))
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1])
        axis.set_xlabel("γδ <T> & cell")
    return canvas.Picture(figure, canvas.DataTable(("a",), []), "A line.")


@pytest.mark.parametrize("form", canvas.FORMATS)
def test_same_bytes_whatever_the_time_and_the_users_settings(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = drawn().render(form, 80)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert first.startswith(BEGINNINGS[form])
    assert not re.search(rb"Matplotlib|CreationDate|<dc:date>", first)
    with canvas.require("matplotlib").rc_context({"lines.linewidth": 9, "font.size": 20}):
        assert drawn().render(form, 80) == first


@pytest.mark.parametrize("form", canvas.FORMATS)
def test_any_title_is_drawn_and_missing_glyphs_are_returned(form: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    assert drawn("plain βeta $\\frac{ <script>&amp;" + "x" * 400).write(path, form, 40) == ""
    missing = drawn("cell 膵島 \U00012000\U000e0101").write(path, form, 40)
    assert "\U00012000" in missing and "c" not in missing
    assert path.read_bytes().startswith(BEGINNINGS[form])


def test_alternative_text_is_in_the_file() -> None:
    assert b"A line." in drawn().render("png", 40)
    assert b"<title>A line.</title>" in drawn().render("svg", 40)


def test_what_cannot_be_drawn_is_an_error() -> None:
    with pytest.raises(ScReaderError, match="30,000 × 20,000 pixels"):
        drawn().render("png", 10_000)
    with pytest.raises(ScReaderError, match="no colour map 'nothing'"):
        canvas.colour_map("nothing")
    with pytest.raises(ScReaderError, match=r"'nowhere'.*pip install 'screader-suite\[plots\]'"):
        canvas.require("nowhere.submodule")


def test_data_table_is_tab_separated(tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    rows = [("a\tb\nc", 1 / 3), ("d", None), ("é", 2)]
    canvas.DataTable(("name", "value"), rows).write(path)
    assert path.read_text("utf-8") == "name\tvalue\na b c\t0.333333\nd\t\né\t2\n"


MACHADO = {
    "protanope": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                  (-0.003882, -0.048116, 1.051998)),
    "deuteranope": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                    (-0.011820, 0.042940, 0.968881)),
    "tritanope": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                  (0.004733, 0.691367, 0.303900)),
}  # fmt: skip
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750),
          (0.0193339, 0.1191920, 0.9503041))  # fmt: skip
WHITE = (0.95047, 1.0, 1.08883)


def perceived(colours: Sequence[str]) -> np.ndarray:
    """CIE L*a*b* of #rrggbb for trichromat, protanope, deuteranope and tritanope, (4, n, 3)."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.stack([linear, *(linear @ np.array(matrix).T for matrix in MACHADO.values())])
    ratio = np.clip(seen, 0, 1) @ np.array(TO_XYZ).T / np.array(WHITE)
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def min_distance(*colours: str) -> float:
    """Distance (CIE 1976) of the closest two colours for the reader who tells them apart worst."""
    lab = perceived(colours)
    distance = np.linalg.norm(lab[:, :, None] - lab[:, None], axis=-1).min(axis=0)
    return float(distance[np.triu_indices(len(colours), 1)].min())


@pytest.mark.parametrize(("count", "distance"), [(10, 13), (15, 13), (40, 9), (61, 7), (300, 1.5)])
def test_any_two_colours_differ_for_every_reader(count: int, distance: float) -> None:
    assert min_distance(UNLABELLED, *safe_colours(count)) >= distance
    assert safe_colours(301)[:count] == safe_colours(count)
    assert safe_colours(301)[300] == safe_colours(1)[0]


@pytest.mark.parametrize(("count", "distance"), [(6, 13), (15, 12), (40, 7), (300, 1)])
def test_on_a_dark_page_they_differ_as_well_and_stand_out(count: int, distance: float) -> None:
    bright = brightened(safe_colours(count))
    assert min_distance(*bright) >= distance
    dark = "#15181c"  # --paper of report.css
    assert min(perceived(bright)[0, :, 0]) - perceived([dark])[0, 0, 0] >= 39  # contrast of 3.5
    assert brightened(["#123456"]) == ["#123456"]


def test_colours_do_not_depend_on_the_order_of_labels() -> None:
    assert colours_of(["b", "a"]) == colours_of(["a", "b", "a"])
    assert colours_of(["a", "b"], "tab10") == {"a": "#1f77b4", "b": "#ff7f0e"}
    assert len(set(colours_of("abcdefghijkl", "viridis").values())) == 12
    with pytest.raises(ScReaderError, match="'nothing'"):
        colours_of(["a"], "nothing")


def test_colours_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "colours.tsv"
    file.write_text("alpha cell\t#ff0000\n\nbeta\tblue\n")
    expected = {"alpha cell": "#ff0000", "beta": "#0000ff"}
    assert colours_of(["beta", "alpha cell"], str(file)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"alpha\t#ff0000\n", "no colour for 'beta'"),
        (b"alpha #ff0000\n", "line 1"),
        (b"alpha\tnothing\n", "line 1"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_bad_colour_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "colours.tsv"
    file.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        colours_of(["alpha", "beta"], str(file))


def test_display_names_are_short_and_distinct() -> None:
    short = ["alpha", "γδ T cell", "膵島"]
    assert list(display_names(short).values()) == short
    long = [f"{'very ' * 40}long {number} {'tail ' * 20}" for number in range(5)]
    printed = set(display_names(long).values())
    assert len(printed) == 5
    assert all("…" in name and len(name) <= MAX_LENGTH + 4 for name in printed)
    for name in ("", "\0", "\n\t", "\ud800"):
        assert display_names([name])[name] == "(no name)"


def test_every_method_has_a_title_and_is_in_the_schema_of_readers() -> None:
    description = load("reader").element("method").description
    for method in METHODS:
        assert method_title(method) != method or method == "majority"
        assert re.search(rf"\b{method}\b(?!-)", description), method


def test_control_and_direction_characters_are_removed() -> None:
    assert one_line("a\x1b[31mb\nc") == "a [31mb c"
    assert one_line("a\u202eb\u2066c\u200f") == "abc"
    assert method_title("screader") == "scReader"
    assert method_title("someone's\nown") == "someone's own"


@pytest.mark.parametrize(
    ("name", "marked"), [("beta", False), ("خلية", True), ("תא T", True), ("膵島", False)]
)
def test_number_stays_on_its_side(name: str, marked: bool) -> None:
    for before, words in ((True, ["7", *name.split()]), (False, [*name.split(), "7"])):
        line = with_number(name, "7", before=before)
        assert one_line(line).split() == words
        assert line.startswith("\u200e") is marked


def overlaps(centres: np.ndarray, boxes: np.ndarray) -> bool:
    room = (boxes[:, None] + boxes[None]) / 2
    meets = (np.abs(centres[:, None] - centres[None]) < room - 1e-3).all(axis=2)
    np.fill_diagonal(meets, False)
    return bool(meets.any())


@pytest.mark.parametrize(
    "centres",
    [np.zeros((2, 2)), np.zeros((9, 2)), np.random.default_rng(0).uniform(0, 60, (40, 2))],
    ids=["two", "nine", "crowd"],
)
def test_overlapping_labels_are_moved_apart(centres: np.ndarray) -> None:
    boxes = np.full((len(centres), 2), 7.0)
    assert overlaps(centres, boxes)
    moved = without_overlap(centres, boxes)
    assert not overlaps(moved, boxes)
    np.testing.assert_array_equal(without_overlap(centres, boxes), moved)


@pytest.mark.parametrize(
    "centres",
    [np.array([[0.0, 0.0], [20.0, 0.0]]), np.zeros((MAX_LABELS + 1, 2))],
    ids=["free", "many"],
)
def test_labels_without_overlap_and_very_many_labels_stay(centres: np.ndarray) -> None:
    np.testing.assert_array_equal(without_overlap(centres, np.full_like(centres, 8)), centres)


def test_a_label_lies_on_a_large_group_and_beside_a_small_one_within_the_page() -> None:
    random = np.random.default_rng(0)
    large = random.normal((100, 100), 30, (900, 2))
    small = random.normal((250, 100), 1, (6, 2))
    corner = np.array([[299.0, 1.0]])
    anchors = np.array([(100.0, 100.0), (250.0, 100.0), (299.0, 1.0)])
    boxes, page = np.full((3, 2), (30.0, 8.0)), np.array([[0.0, 0.0], [300.0, 200.0]])
    found = beside(anchors, boxes, [large, small, corner], page, 7)
    np.testing.assert_array_equal(found[0], anchors[0])
    for group, centre in ((small, found[1]), (corner, found[2])):
        assert not (np.abs(group - centre) < boxes[0] / 2).all(axis=1).any()
        assert np.abs(group[0] - centre).max() < 30
    assert (np.abs(found - page.mean(axis=0)) + boxes / 2 <= page[1] / 2).all()
    assert not overlaps(found, boxes)


def test_central_point_of_a_ring_is_on_the_ring() -> None:
    angle = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    assert np.hypot(*central_point(ring)) == pytest.approx(1)
