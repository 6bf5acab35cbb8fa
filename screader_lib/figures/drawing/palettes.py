"""Colours of cell types and methods.

The safe palette (``templates/safe_colours.txt``) can be told apart by colour-blind readers. Its
colours depend only on the index, not on how many follow. Beyond some fifteen types no set of
colours suffices, so figures with many types number them as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.figures.drawing.canvas import require

UNLABELLED = "#B8B8B8"  # unassigned or unknown


def colours_of(labels: Iterable[str], palette: str = "") -> dict[str, str]:
    """One colour (#rrggbb) per label, by its rank in sorted order.

    ``palette`` is empty or ``safe``, a matplotlib colour map, or a text file with a label, a
    tab and a colour per line. ScReaderError where it is none of these or lacks a label.
    """
    names = sorted(set(labels))
    if palette in ("", "safe"):
        return dict(zip(names, safe_colours(len(names)), strict=True))
    if palette in require("matplotlib").colormaps:
        return dict(zip(names, _from_colour_map(palette, len(names)), strict=True))
    if Path(palette).is_file():
        return _from_file(Path(palette), names)
    raise ScReaderError(
        f"--palette: {palette!r} is neither 'safe', a matplotlib colour map nor a file.",
        remedy="A file has a label, a tab and a colour (#rrggbb) per line.",
    )


def method_colours(count: int, palette: str) -> list[str]:
    """Colours (#rrggbb) of so many methods, in their order."""
    return list(colours_of([f"{index:03}" for index in range(count)], palette).values())


def safe_colours(count: int) -> list[str]:
    """``count`` colours as #rrggbb; a longer list begins with the shorter one.

    Colours repeat after 300.
    """
    return list(islice(cycle(_listed("safe_colours.txt")), count))


def brightened(colours: Sequence[str]) -> list[str]:
    """The colours (#rrggbb) as they stand out from a dark page; others than the safe ones stay."""
    bright = dict(zip(_listed("safe_colours.txt"), _listed("bright_colours.txt"), strict=True))
    return [bright.get(colour, colour) for colour in colours]


def _listed(name: str) -> list[str]:
    lines = (resources.files("screader_lib.figures") / "templates" / name).read_text("utf-8")
    return [line for line in lines.splitlines() if not line.startswith("# ")]


def _from_colour_map(name: str, count: int) -> list[str]:
    to_hex = require("matplotlib.colors").to_hex
    colour_map = require("matplotlib").colormaps[name]
    listed = getattr(colour_map, "colors", None)
    if listed is not None and len(listed) < 64:  # a list of distinct colours, not a ramp
        return [to_hex(listed[index % len(listed)]) for index in range(count)]
    return [to_hex(colour_map(position)) for position in np.linspace(0.05, 0.95, count)]


def _from_file(path: Path, names: Sequence[str]) -> dict[str, str]:
    colors = require("matplotlib.colors")
    colours: dict[str, str] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ScReaderError("is not a text file in UTF-8.", file=path) from None
    for number, line in enumerate(lines, 1):
        label, tab, colour = line.rpartition("\t")
        if not line.strip():
            continue
        if not tab or not colors.is_color_like(colour.strip()):
            raise ScReaderError(f"line {number} is not a label, a tab and a colour.", file=path)
        colours[label] = colors.to_hex(colour.strip())
    missing = [name for name in names if name not in colours]
    if missing:
        raise ScReaderError(f"has no colour for {missing[0]!r}.", file=path)
    return {name: colours[name] for name in names}
