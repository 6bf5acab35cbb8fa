"""Colours of types."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.figures.drawing.palettes import colours_of, least_distance, safe_colours


def test_identical_colours_have_no_distance_and_black_and_white_the_most() -> None:
    assert least_distance("#0072B2", "#0072B2") == pytest.approx(0)
    assert least_distance("#000000", "#FFFFFF") == pytest.approx(100, abs=0.1)


def test_red_and_green_of_one_lightness_are_close_for_somebody() -> None:
    """The simulation must see what trichromats do not."""
    assert least_distance("#C03030", "#607000") < 30


@pytest.mark.parametrize(("count", "least"), [(6, 13), (10, 13), (15, 10), (61, 4)])
def test_any_two_colours_differ_for_every_reader(count: int, least: float) -> None:
    colours = safe_colours(count)
    assert len(set(colours)) == count
    assert min(least_distance(*pair) for pair in combinations(colours, 2)) >= least


def test_a_longer_list_begins_with_the_shorter() -> None:
    assert safe_colours(61)[:14] == safe_colours(14)


def test_a_label_keeps_its_colour_whatever_the_order() -> None:
    assert colours_of(["b", "a"]) == colours_of(["a", "b", "a"])


def test_colours_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "colours.tsv"
    file.write_text("alpha cell\t#ff0000\n\nbeta\tblue\n")
    assert colours_of(["beta", "alpha cell"], str(file)) == {
        "alpha cell": "#ff0000",
        "beta": "#0000ff",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"alpha\t#ff0000\n", "no colour for 'beta'"),
        (b"alpha #ff0000\n", "line 1"),
        (b"alpha\tnothing\n", "line 1"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "colours.tsv"
    file.write_bytes(content)
    with pytest.raises(ScReaderError, match=message):
        colours_of(["alpha", "beta"], str(file))


def test_matplotlib_maps_are_sampled_or_listed() -> None:
    assert colours_of(["a", "b"], "tab10") == {"a": "#1f77b4", "b": "#ff7f0e"}
    assert len(set(colours_of("abcdefghijkl", "viridis").values())) == 12


def test_an_unknown_palette_is_refused() -> None:
    with pytest.raises(ScReaderError, match="'nothing'"):
        colours_of(["a"], "nothing")
