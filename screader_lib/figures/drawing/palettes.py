"""Colours of types that colour-blind readers can tell apart, for up to many types.

The first six are of Okabe and Ito (2008). Each further one is the colour farthest from all
before it, as seen by the worst off of four readers: trichromat, protanope, deuteranope and
tritanope (simulation: Machado, Oliveira and Fernandes 2009, severity 1). A colour depends on
its place only, not on how many follow. Beyond some fifteen types no colours suffice, so
pictures with many types number them as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.figures.drawing.plotting_packages import need

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
NOBODY = "#B8B8B8"  # unassigned or unknown
LIGHTNESS = (28.0, 78.0)  # CIE L*: neither ink nor paper
LEAST_CHROMA = 18.0  # greys are for cells without a type
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


def _linear(colours: np.ndarray) -> np.ndarray:
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (n, 3) of linear RGB (n, 3)."""
    ratio = np.clip(linear, 0, 1) @ np.array(TO_XYZ).T / np.array(WHITE)
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _seen(colours: np.ndarray) -> np.ndarray:
    """L*a*b* of RGB colours (n, 3) as each of the four readers sees them, (4, n, 3)."""
    linear = _linear(colours)
    return np.stack([_lab(linear), *(_lab(linear @ np.array(m).T) for m in MACHADO.values())])


def _rgb(colours: Sequence[str]) -> np.ndarray:
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])


def least_distance(one: str, other: str) -> float:
    """Distance (CIE 1976) of two colours for the reader who tells them apart worst."""
    seen = _seen(_rgb([one, other]))
    return float(np.linalg.norm(seen[:, 0] - seen[:, 1], axis=1).min())


@cache
def _candidates() -> tuple[np.ndarray, np.ndarray]:
    steps = np.linspace(0, 1, GRID_STEPS)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    seen = _seen(colours)
    light, chroma = seen[0, :, 0], np.hypot(seen[0, :, 1], seen[0, :, 2])
    kept = (light >= LIGHTNESS[0]) & (light <= LIGHTNESS[1]) & (chroma >= LEAST_CHROMA)
    return colours[kept], seen[:, kept]


@cache
def safe_colours(count: int) -> tuple[str, ...]:
    """``count`` colours as #rrggbb; a longer list begins with the shorter one."""
    chosen = list(OKABE_ITO[:count])
    if count <= len(chosen):
        return tuple(chosen)
    colours, seen = _candidates()
    given = _seen(_rgb([*OKABE_ITO, NOBODY]))
    nearest = np.full(len(colours), np.inf)
    for number in range(given.shape[1]):
        nearest = np.minimum(nearest, _distance(seen, given[:, number]))
    while len(chosen) < count:
        best = int(nearest.argmax())
        chosen.append("#" + "".join(f"{round(part * 255):02X}" for part in colours[best]))
        nearest = np.minimum(nearest, _distance(seen, seen[:, best]))
    return tuple(chosen)


def _distance(seen: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.linalg.norm(seen - colour[:, None], axis=2).min(axis=0)


def colours_of(labels: Iterable[str], palette: str = "") -> dict[str, str]:
    """One colour (#rrggbb) per label, by its place in sorted order.

    ``palette`` is empty or ``safe``, a matplotlib colour map, or a text file with a label, a
    tab and a colour a line. ScReaderError where it is none of these or lacks a label.
    """
    names = sorted(set(labels))
    if palette in ("", "safe"):
        return dict(zip(names, safe_colours(len(names)), strict=True))
    if palette in need("matplotlib").colormaps:
        return dict(zip(names, _sampled(palette, len(names)), strict=True))
    if Path(palette).is_file():
        return _from_file(Path(palette), names)
    raise ScReaderError(
        f"--palette: {palette!r} is neither 'safe', a matplotlib colour map nor a file.",
        remedy="A file has a label, a tab and a colour (#rrggbb) a line.",
    )


def _sampled(palette: str, count: int) -> list[str]:
    colors = need("matplotlib.colors")
    chosen = need("matplotlib").colormaps[palette]
    listed = getattr(chosen, "colors", None)
    if listed is not None and len(listed) < 64:  # a list of distinct colours, not a ramp
        return [colors.to_hex(listed[number % len(listed)]) for number in range(count)]
    return [colors.to_hex(chosen(place)) for place in np.linspace(0.05, 0.95, count)]


def _from_file(path: Path, names: Sequence[str]) -> dict[str, str]:
    colors = need("matplotlib.colors")
    found: dict[str, str] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ScReaderError("is not a text file in UTF-8.", file=path) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        label, tab, colour = line.rpartition("\t")
        if not tab or not colors.is_color_like(colour.strip()):
            raise ScReaderError(f"line {number} is not a label, a tab and a colour.", file=path)
        found[label] = colors.to_hex(colour.strip())
    missing = [name for name in names if name not in found]
    if missing:
        raise ScReaderError(f"has no colour for {missing[0]!r}.", file=path)
    return {name: found[name] for name in names}
