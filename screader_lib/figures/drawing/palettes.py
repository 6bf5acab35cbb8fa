"""Colours of cell types that colour-blind readers can tell apart, for up to many types.

The first six are those of Okabe and Ito (2008). Each further colour is the one farthest from all
before it, as perceived by the worst off of four readers: trichromat, protanope, deuteranope and
tritanope (simulation: Machado, Oliveira and Fernandes 2009, severity 1). A colour depends only
on its index, not on how many follow. Beyond some fifteen types no set of colours suffices, so
pictures with many types number them as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.figures.drawing.canvas import require

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
UNLABELLED = "#B8B8B8"  # unassigned or unknown
LIGHTNESS = (28.0, 78.0)  # CIE L*: neither ink nor paper
MIN_CHROMA = 18.0  # greys are for cells without a type
GRID_STEPS = 18

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


@cache
def safe_colours(count: int) -> tuple[str, ...]:
    """``count`` colours as #rrggbb; a longer list begins with the shorter one."""
    result = list(OKABE_ITO[:count])
    if count <= len(result):
        return tuple(result)
    colours, perceived = _candidates()
    known = _perceived(_rgb([*OKABE_ITO, UNLABELLED]))
    nearest = np.min([_distance(perceived, known[:, i]) for i in range(known.shape[1])], axis=0)
    while len(result) < count:
        best = int(nearest.argmax())
        result.append("#" + "".join(f"{round(part * 255):02X}" for part in colours[best]))
        nearest = np.minimum(nearest, _distance(perceived, perceived[:, best]))
    return tuple(result)


def min_distance(one: str, other: str) -> float:
    """Distance (CIE 1976) of two colours for the reader who tells them apart worst."""
    perceived = _perceived(_rgb([one, other]))
    return float(_distance(perceived[:, :1], perceived[:, 1])[0])


def _distance(perceived: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.linalg.norm(perceived - colour[:, None], axis=2).min(axis=0)


@cache
def _candidates() -> tuple[np.ndarray, np.ndarray]:
    steps = np.linspace(0, 1, GRID_STEPS)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    perceived = _perceived(colours)
    light, chroma = perceived[0, :, 0], np.hypot(perceived[0, :, 1], perceived[0, :, 2])
    usable = (light >= LIGHTNESS[0]) & (light <= LIGHTNESS[1]) & (chroma >= MIN_CHROMA)
    return colours[usable], perceived[:, usable]


def _rgb(colours: Sequence[str]) -> np.ndarray:
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])


def _perceived(colours: np.ndarray) -> np.ndarray:
    """L*a*b* of RGB colours (n, 3) as each of the four readers sees them, (4, n, 3)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return np.stack([_lab(linear), *(_lab(linear @ np.array(m).T) for m in MACHADO.values())])


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (n, 3) of linear RGB (n, 3)."""
    ratio = np.clip(linear, 0, 1) @ np.array(TO_XYZ).T / np.array(WHITE)
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


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
